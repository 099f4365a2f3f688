"""Seed data: what an empty database begins with, for tests, rehearsals and the first look."""

from __future__ import annotations

from gridos.storage import pool

ITEMS = {"first": "The first item", "second": "Łódź, 北京 and a “quoted” name"}


def seed(database_url: str) -> int:
    """Stores what is missing of the items; returns their number."""
    with pool.connect(database_url) as connection, connection.transaction():
        connection.cursor().executemany(
            "INSERT INTO item (id, name) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            list(ITEMS.items()),
        )
    return len(ITEMS)
