"""Readings: batches in, latest loads and series out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from psycopg import Connection, Cursor
from psycopg.errors import UniqueViolation

from gridos.domain import series
from gridos.domain.batch import Reading
from gridos.domain.series import Bucket, Window
from gridos.storage.pool import connection

# Measured (`make bench`): up to here one INSERT from arrays is faster, above it COPY and staging.
MOST_AS_ARRAYS = 1000

COPY = "COPY {} (bus_id, measured_at, kw, kvar) FROM STDIN (FORMAT binary)"
INSERT_ARRAYS = """
INSERT INTO reading (bus_id, measured_at, kw, kvar)
SELECT * FROM unnest(%b::text[], %b::timestamptz[], %b::float8[], %b::float8[])
ON CONFLICT (bus_id, measured_at) DO NOTHING
"""
STAGE = """
CREATE TEMPORARY TABLE staged (bus_id text, measured_at timestamptz, kw float8, kvar float8)
ON COMMIT DROP
"""
INSERT_STAGED = """
INSERT INTO reading (bus_id, measured_at, kw, kvar) SELECT * FROM staged
ON CONFLICT (bus_id, measured_at) DO NOTHING
"""


def add_readings(readings: Sequence[Reading]) -> int:
    """Stores a batch whole or not at all; returns how many of its readings were new.

    A reading is the same as one already stored if bus and time are: sending twice stores once.
    """
    with connection() as connected:
        return store(connected, readings)


def store(connected: Connection[Any], readings: Sequence[Reading]) -> int:
    """As `add_readings`, on a connection of the caller's that commits by itself.

    Nearly every batch is all new, and COPY is the fastest way there is. One statement stores it
    whole or not at all, so a batch that was sent before is found out by the key, and only then
    sorted out.
    """
    try:
        return store_new(connected, readings)
    except UniqueViolation:
        if len(readings) <= MOST_AS_ARRAYS:
            return store_arrays(connected, readings)
        return store_staged(connected, readings)


def store_new(connected: Connection[Any], readings: Sequence[Reading]) -> int:
    """One COPY.

    Raises:
        UniqueViolation: if one of them is stored already, or twice in the batch; none is then.
    """
    with connected.cursor() as cursor:
        _copy(cursor, "reading", readings)
    return len(readings)


def store_arrays(connected: Connection[Any], readings: Sequence[Reading]) -> int:
    """One INSERT, of those that are not stored yet, from an array a column."""
    columns = (
        [r.bus_id for r in readings],
        [r.measured_at for r in readings],
        [r.kw for r in readings],
        [r.kvar for r in readings],
    )
    return connected.execute(INSERT_ARRAYS, columns).rowcount


def store_staged(connected: Connection[Any], readings: Sequence[Reading]) -> int:
    """COPY into a table of the transaction's own, and one INSERT of what is new from there."""
    with connected.transaction(), connected.cursor() as cursor:
        cursor.execute(STAGE)
        _copy(cursor, "staged", readings)
        return cursor.execute(INSERT_STAGED).rowcount


def _copy(cursor: Cursor[Any], table: str, readings: Sequence[Reading]) -> None:
    with cursor.copy(COPY.format(table)) as copy:
        copy.set_types(["text", "timestamptz", "float8", "float8"])
        for reading in readings:
            copy.write_row((reading.bus_id, reading.measured_at, reading.kw, reading.kvar))


def latest_loads(feeder_id: str) -> list[dict[str, Any]]:
    """The latest reading of each bus of a feeder; empty if there is no such feeder.

    A bus that never reported has nulls. The feeder's rating and voltage repeat in each row.
    """
    with connection() as connected:
        return connected.execute(
            _LATEST + " WHERE f.id = %s ORDER BY b.number", (feeder_id,)
        ).fetchall()


def all_latest_loads() -> list[dict[str, Any]]:
    """The latest reading of each bus of every feeder."""
    with connection() as connected:
        return connected.execute(_LATEST + " ORDER BY f.id, b.number").fetchall()


_LATEST = """
SELECT f.id AS feeder_id, f.rated_kva AS feeder_rated_kva, f.nominal_kv,
       b.id AS bus_id, b.rated_kva, r.measured_at, r.kw, r.kvar
FROM feeder f
JOIN bus b ON b.feeder_id = f.id
LEFT JOIN LATERAL (
    SELECT measured_at, kw, kvar FROM reading
    WHERE bus_id = b.id ORDER BY measured_at DESC LIMIT 1
) r ON true
"""

# Each bus by itself and in order of the key, so that a page reads what it shows and no more,
# however long the table. PostgreSQL writes the JSON: rows made into Python objects only to be
# written out again would cost several times the query.
_SERIES = """
SELECT coalesce(json_agg(row ORDER BY bus_id, at), '[]')::text AS rows,
       count(*) AS size,
       (array_agg(bus_id ORDER BY bus_id DESC, at DESC))[1] AS last_bus,
       (array_agg(at ORDER BY bus_id DESC, at DESC))[1] AS last_at
FROM (
    SELECT b.id AS bus_id, s.at, {row} AS row
    FROM (SELECT id FROM bus WHERE {scope} AND id >= %(after_bus)s ORDER BY id) b
    CROSS JOIN LATERAL (
        SELECT {columns} FROM reading
        WHERE bus_id = b.id AND measured_at < %(end)s
          AND measured_at >= CASE WHEN b.id = %(after_bus)s THEN %(resume)s ELSE %(start)s END
        {group} ORDER BY 1 LIMIT %(limit)s
    ) s
    ORDER BY b.id, s.at LIMIT %(limit)s
) page
"""
# PostgreSQL's own; the next reading of a bus is at least so much later.
RESOLUTION = timedelta(microseconds=1)
_RAW_INSTANT = """to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
_INSTANT = """to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"""
_RAW = {
    "row": f"json_build_array(b.id, {_RAW_INSTANT}, kw, kvar)",
    "columns": "measured_at AS at, kw, kvar",
    "group": "",
}
_SUMMED = {
    "row": f"json_build_array(b.id, {_INSTANT}, kw_mean, kw_max, kvar_mean, kvar_max, readings)",
    "columns": (
        "date_bin(%(width)s, measured_at, TIMESTAMPTZ '2000-01-01 00:00Z') AS at,"
        " avg(kw) AS kw_mean, max(kw) AS kw_max,"
        " avg(kvar) AS kvar_mean, max(kvar) AS kvar_max, count(*) AS readings"
    ),
    "group": "GROUP BY 1",
}


@dataclass(frozen=True)
class Page:
    """Rows as JSON text, how many, and where the next page begins (None: this was the last)."""

    rows: str
    size: int
    next: series.Cursor | None


def feeder_series(feeder_id: str, window: Window) -> Page:
    """A page of the readings of a feeder's buses, ordered by bus id and time."""
    return _series("feeder_id = %(id)s", feeder_id, window)


def bus_series(bus_id: str, window: Window) -> Page:
    """A page of a bus's readings, ordered by time."""
    return _series("id = %(id)s", bus_id, window)


def _series(scope: str, identifier: str, window: Window) -> Page:
    parts = _RAW if window.bucket is Bucket.RAW else _SUMMED
    after, width = window.after, window.bucket.width
    values = {
        "id": identifier,
        "start": window.start,
        "end": window.end,
        "width": width,
        "limit": window.limit,
        "after_bus": after.bus_id if after else "",
        "resume": max(window.start, after.at + (width or RESOLUTION)) if after else window.start,
    }
    with connection() as connected:
        found = connected.execute(_SERIES.format(scope=scope, **parts), values).fetchone()
    assert found is not None  # noqa: S101 — an aggregate without GROUP BY has one row
    is_full = found["size"] == window.limit
    last = series.Cursor(found["last_bus"], found["last_at"]) if is_full else None
    return Page(found["rows"], found["size"], last)
