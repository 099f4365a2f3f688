"""Seed data: the IEEE 33-bus feeder and one reading of each bus at its nominal load."""

from __future__ import annotations

from importlib.resources import files

from gridos.domain.network import Network
from gridos.storage import networks, pool

# The moment of the nominal readings: fixed, so that seeding again stores nothing new.
NOMINAL_AT = "2026-01-01T00:00:00Z"


def network() -> Network:
    """The network as published, with its source."""
    return Network.model_validate_json((files("gridos") / "data" / "ieee33.json").read_bytes())


def seed(database_url: str) -> int:
    """Stores what is missing of the network and its readings; returns the number of buses."""
    published = network()
    with pool.connect(database_url) as connection, connection.transaction():
        networks.store(connection, published)
        connection.cursor().executemany(
            "INSERT INTO reading (bus_id, measured_at, kw, kvar)"
            " VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
            [(published.bus_id(b.number), NOMINAL_AT, b.kw, b.kvar) for b in published.buses],
        )
    return len(published.buses)
