"""Feeders, buses and lines."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import psycopg
from flask import current_app
from psycopg import Connection

from gridos.storage.pool import connection, fetch

if TYPE_CHECKING:
    # Its models need pydantic, which most pods never do.
    from gridos.domain.network import Network

# Above any statement's: a file of 10,000 buses is stored in one transaction.
IMPORT_TIMEOUT_MS = 20_000
IMPORT_S = IMPORT_TIMEOUT_MS / 1000 + 5.0
# Ids that are kept in memory, and how long one is believed to be unknown.
MAX_KNOWN, MAX_UNKNOWN = 100_000, 10_000
UNKNOWN_FOR_S = 5.0


class NetworkExists(Exception):
    """A feeder of this id is stored already, and differently."""


def list_feeders() -> list[dict[str, Any]]:
    """Every feeder with its number of buses, in order of their ids."""
    return fetch(
        """
        SELECT f.id, f.name, f.rated_kva, f.nominal_kv, count(b.id) AS buses
        FROM feeder f LEFT JOIN bus b ON b.feeder_id = f.id
        GROUP BY f.id ORDER BY f.id
        """
    )


def get_feeder(feeder_id: str) -> dict[str, Any] | None:
    """One feeder, or None."""
    found = fetch(
        """
        SELECT f.id, f.name, f.rated_kva, f.nominal_kv,
               (SELECT count(*) FROM bus b WHERE b.feeder_id = f.id) AS buses
        FROM feeder f WHERE f.id = %s
        """,
        (feeder_id,),
    )
    return found[0] if found else None


def list_buses(feeder_id: str) -> list[dict[str, Any]]:
    """A feeder's buses in order of their numbers; empty if there is no such feeder."""
    return fetch(
        """
        SELECT id, number, nominal_kw, nominal_kvar, rated_kva
        FROM bus WHERE feeder_id = %s ORDER BY number
        """,
        (feeder_id,),
    )


def list_lines(feeder_id: str) -> list[dict[str, Any]]:
    """A feeder's lines in order of the buses they lead to."""
    return fetch(
        """
        SELECT l.from_bus, l.to_bus, l.r_ohm, l.x_ohm, l.rated_a
        FROM line l JOIN bus b ON b.id = l.to_bus
        WHERE b.feeder_id = %s ORDER BY b.number, l.from_bus
        """,
        (feeder_id,),
    )


def has_more_buses(feeder_id: str, than: int) -> bool:
    """Whether a feeder has more buses than so many; counts no further."""
    (found,) = fetch(
        "SELECT count(*) > %(than)s AS more FROM"
        " (SELECT FROM bus WHERE feeder_id = %(id)s LIMIT %(than)s + 1) buses",
        {"than": than, "id": feeder_id},
    )
    return bool(found["more"])


def count_buses() -> dict[str, int]:
    """How many buses each feeder has, in order of the feeders' ids."""
    rows = fetch(
        "SELECT feeder_id, count(*) AS buses FROM bus GROUP BY feeder_id ORDER BY feeder_id"
    )
    return {row["feeder_id"]: row["buses"] for row in rows}


class KnownBuses:
    """Ids that buses have, and for a moment ids that none has; both within bounds.

    Buses are added rarely and never taken away, so a known one stays known. An unknown one may be
    imported by another pod at any time.
    """

    def __init__(self) -> None:
        self._known: set[str] = set()
        # By id: until when it need not be asked for again.
        self._unknown: dict[str, float] = {}

    def find_unknown(self, bus_ids: Iterable[str]) -> set[str]:
        """Those of the ids that no bus has; asks the database for those it does not know of."""
        now = time.monotonic()
        strangers = set(bus_ids) - self._known
        # No text of PostgreSQL's can hold a null byte.
        asked = [x for x in strangers if self._unknown.get(x, 0.0) < now and "\x00" not in x]
        if asked:
            rows = fetch("SELECT id FROM bus WHERE id = ANY(%s)", (asked,))
            found = {row["id"] for row in rows}
            self._remember(found, set(asked) - found, now + UNKNOWN_FOR_S)
            strangers -= found
        return strangers

    def forget_unknown(self) -> None:
        """Buses were added."""
        self._unknown = {}

    def _remember(self, known: set[str], unknown: set[str], until: float) -> None:
        # What is full is begun anew: that costs look-ups, and no book-keeping with every id.
        if len(self._known) + len(known) > MAX_KNOWN:
            self._known = set()
        self._known.update(known)
        if len(self._unknown) + len(unknown) > MAX_UNKNOWN:
            self._unknown = {}
        if len(unknown) <= MAX_UNKNOWN:
            self._unknown.update(dict.fromkeys(unknown, until))


def find_unknown_buses(bus_ids: Iterable[str]) -> set[str]:
    """Those of the ids that no bus has."""
    known: KnownBuses = current_app.extensions["known_buses"]
    return known.find_unknown(bus_ids)


def add_network(network: Network) -> bool:
    """Stores a network whole or not at all; False if it was stored already, just so.

    Raises:
        NetworkExists: if another one has its feeder's id.
    """
    with connection(IMPORT_S) as connected, connected.transaction():
        connected.execute(f"SET LOCAL statement_timeout = {IMPORT_TIMEOUT_MS}")
        created = store(connected, network)
    known: KnownBuses = current_app.extensions["known_buses"]
    known.forget_unknown()
    return created


def store(connected: Connection[Any], network: Network) -> bool:
    """As `add_network`, within a transaction of the caller's."""
    feeder = network.feeder
    inserted = connected.execute(
        "INSERT INTO feeder (id, name, nominal_kv, rated_kva)"
        " VALUES (%(id)s, %(name)s, %(nominal_kv)s, %(rated_kva)s) ON CONFLICT DO NOTHING",
        feeder.model_dump(),
    ).rowcount
    if not inserted:
        if not _is_stored(connected, network):
            raise NetworkExists(feeder.id)
        return False
    rows = {
        "bus (id, feeder_id, number, nominal_kw, nominal_kvar, rated_kva)": _bus_rows(network),
        "line (from_bus, to_bus, r_ohm, x_ohm, rated_a)": _line_rows(network),
    }
    with connected.cursor() as cursor:
        for columns, values in rows.items():
            with cursor.copy(f"COPY {columns} FROM STDIN") as copy:
                for row in values:
                    copy.write_row(row)
    return True


def _is_stored(connected: psycopg.Connection[Any], network: Network) -> bool:
    part = network.feeder
    with connected.cursor(row_factory=psycopg.rows.tuple_row) as cursor:

        def find(statement: str) -> set[tuple[Any, ...]]:
            return set(cursor.execute(statement, (part.id,)).fetchall())

        feeder = find("SELECT id, name, nominal_kv, rated_kva FROM feeder WHERE id = %s")
        buses = find(
            "SELECT id, feeder_id, number, nominal_kw, nominal_kvar, rated_kva"
            " FROM bus WHERE feeder_id = %s"
        )
        lines = find(
            "SELECT from_bus, to_bus, l.r_ohm, l.x_ohm, l.rated_a"
            " FROM line l JOIN bus b ON b.id = l.to_bus WHERE b.feeder_id = %s"
        )
    same_feeder = feeder == {(part.id, part.name, part.nominal_kv, part.rated_kva)}
    same_buses = buses == set(_bus_rows(network))
    return same_feeder and same_buses and lines == set(_line_rows(network))


def _bus_rows(network: Network) -> list[tuple[Any, ...]]:
    return [
        (network.bus_id(b.number), network.feeder.id, b.number, b.kw, b.kvar, b.rated_kva)
        for b in network.buses
    ]


def _line_rows(network: Network) -> list[tuple[Any, ...]]:
    return [
        (network.bus_id(x.from_bus), network.bus_id(x.to_bus), x.r_ohm, x.x_ohm, x.rated_a)
        for x in network.lines
    ]
