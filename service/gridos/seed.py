"""Seed data: the IEEE 33-bus feeder and one reading of each bus at its nominal load."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import psycopg

# The moment of the nominal readings: fixed, so that seeding again stores nothing new.
NOMINAL_AT = "2026-01-01T00:00:00Z"


def network() -> Mapping[str, Any]:
    """The network as published, with its source."""
    text = (files("gridos") / "data" / "ieee33.json").read_text("utf-8")
    content: Mapping[str, Any] = json.loads(text)
    return content


def seed(database_url: str) -> int:
    """Stores what is missing of the network and its readings; returns the number of buses."""
    content = network()
    feeder, buses, lines = content["feeder"], content["buses"], content["lines"]

    def bus_id(number: int) -> str:
        return f"{feeder['id']}-{number}"

    with (
        psycopg.connect(database_url, connect_timeout=5) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(
            "INSERT INTO feeder (id, name, nominal_kv, rated_kva)"
            " VALUES (%(id)s, %(name)s, %(nominal_kv)s, %(rated_kva)s) ON CONFLICT DO NOTHING",
            feeder,
        )
        cursor.executemany(
            "INSERT INTO bus (id, feeder_id, number, nominal_kw, nominal_kvar)"
            " VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            [(bus_id(b["number"]), feeder["id"], b["number"], b["kw"], b["kvar"]) for b in buses],
        )
        cursor.executemany(
            "INSERT INTO line (from_bus, to_bus, r_ohm, x_ohm)"
            " VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
            [(bus_id(x["from"]), bus_id(x["to"]), x["r_ohm"], x["x_ohm"]) for x in lines],
        )
        cursor.executemany(
            "INSERT INTO reading (bus_id, measured_at, kw, kvar)"
            " VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
            [(bus_id(b["number"]), NOMINAL_AT, b["kw"], b["kvar"]) for b in buses],
        )
    return len(buses)
