"""The months that readings lie in: made before they are needed, dropped when they are too old.

Readings of a month that has no partition of its own lie in `reading_other`; making the partition
moves them, within one transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import Connection, sql

# So many months are made beforehand: `gridos retain` may fail for weeks before anything is late.
MONTHS_AHEAD = 3
# Rows deleted at a time from `reading_other`, so that no lock or log burst lasts.
DELETE_BATCH = 10_000


@dataclass(frozen=True)
class Retained:
    """What a run did: partitions made and dropped by name, and rows deleted one by one."""

    made: tuple[str, ...]
    dropped: tuple[str, ...]
    deleted_rows: int


def make_ahead(connected: Connection[Any], now: datetime) -> tuple[str, ...]:
    """Makes what is missing of this month's and the coming months' partitions."""
    present = set(_months(connected))
    first = datetime(now.year, now.month, 1, tzinfo=UTC)
    wanted = [_add_months(first, ahead) for ahead in range(-1, MONTHS_AHEAD + 1)]
    missing = [month for month in wanted if month not in present]
    for month in missing:
        _make(connected, month)
    return tuple(_name(month) for month in missing)


def retain(connected: Connection[Any], now: datetime, keep: timedelta) -> Retained:
    """Makes coming partitions, drops whole months that are too old, deletes single old rows.

    Corrections go with the readings they are of; `deleted_rows` are readings alone.
    """
    made = make_ahead(connected, now)
    oldest = now - keep
    expired = [month for month in _months(connected) if _add_months(month, 1) <= oldest]
    for month in expired:
        connected.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(_name(month))))
    deleted = _delete_older(connected, "reading_other", oldest)
    _delete_older(connected, "reading_correction", oldest)
    return Retained(made, tuple(_name(month) for month in expired), deleted)


def _make(connected: Connection[Any], month: datetime) -> None:
    bounds = {"first": sql.Literal(month), "next": sql.Literal(_add_months(month, 1))}
    name = sql.Identifier(_name(month))
    with connected.transaction():
        # Nobody may write to the default partition between the move and the attachment.
        connected.execute("LOCK TABLE reading_other IN SHARE ROW EXCLUSIVE MODE")
        connected.execute(sql.SQL("CREATE TABLE {} (LIKE reading INCLUDING ALL)").format(name))
        connected.execute(
            sql.SQL(
                "WITH moved AS (DELETE FROM reading_other"
                " WHERE measured_at >= {first} AND measured_at < {next} RETURNING *)"
                " INSERT INTO {name} SELECT * FROM moved"
            ).format(name=name, **bounds)
        )
        connected.execute(
            sql.SQL(
                "ALTER TABLE reading ATTACH PARTITION {name} FOR VALUES FROM ({first}) TO ({next})"
            ).format(name=name, **bounds)
        )


def _delete_older(connected: Connection[Any], table: str, oldest: datetime) -> int:
    statement = sql.SQL(
        "DELETE FROM {table} WHERE ctid = ANY(ARRAY("
        " SELECT ctid FROM {table} WHERE measured_at < %s LIMIT %s))"
    ).format(table=sql.Identifier(table))
    deleted = 0
    while True:
        fresh = connected.execute(statement, (oldest, DELETE_BATCH)).rowcount
        deleted += fresh
        if fresh < DELETE_BATCH:
            return deleted


def _months(connected: Connection[Any]) -> list[datetime]:
    rows = connected.execute(
        "SELECT relid::regclass::text FROM pg_partition_tree('reading')"
        " WHERE isleaf AND relid::regclass::text ~ '^reading_[0-9]{4}_[0-9]{2}$'"
    ).fetchall()
    return sorted(datetime.strptime(name, "reading_%Y_%m").replace(tzinfo=UTC) for (name,) in rows)


def _name(month: datetime) -> str:
    return f"reading_{month:%Y_%m}"


def _add_months(month: datetime, count: int) -> datetime:
    years, index = divmod(month.month - 1 + count, 12)
    return month.replace(year=month.year + years, month=index + 1)
