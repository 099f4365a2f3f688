"""Items: stored, listed and found, and removed when they are too old."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
import psycopg
from msgspec import Meta

from gridos.storage.pool import connection

MAX_ID, MAX_NAME = 128, 200
# Any character but the null byte, which a PostgreSQL text cannot hold.
_TEXT = r"^[^\x00]+\Z"


class Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is stored of an item."""

    id: Annotated[str, Meta(min_length=1, max_length=MAX_ID, pattern=_TEXT)]
    name: Annotated[str, Meta(min_length=1, max_length=MAX_NAME, pattern=_TEXT)]


class ItemExists(Exception):
    """An item of this id is stored already, with another name."""


def list_items() -> list[dict[str, Any]]:
    """Every item, in order of the ids."""
    with connection() as connected:
        return connected.execute("SELECT id, name FROM item ORDER BY id").fetchall()


def get_item(item_id: str) -> dict[str, Any] | None:
    """One item, or None."""
    with connection() as connected:
        return connected.execute("SELECT id, name FROM item WHERE id = %s", (item_id,)).fetchone()


def add_item(item: Item) -> bool:
    """Stores an item; False if it is stored already.

    Raises:
        ItemExists: if another item has its id.
    """
    with connection() as connected:
        stored = connected.execute(
            "INSERT INTO item (id, name) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            (item.id, item.name),
        )
        if stored.rowcount:
            return True
        known = connected.execute("SELECT name FROM item WHERE id = %s", (item.id,)).fetchone()
    if known is None or known["name"] != item.name:
        raise ItemExists(item.id)
    return False


def retain(connected: psycopg.Connection[Any], oldest: datetime) -> int:
    """Deletes the items that were stored before; returns how many."""
    return connected.execute("DELETE FROM item WHERE stored_at < %s", (oldest,)).rowcount
