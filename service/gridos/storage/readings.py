"""Readings: batches in, latest loads and series out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from operator import attrgetter
from typing import Any

from psycopg import Connection
from psycopg.errors import UniqueViolation
from psycopg.rows import tuple_row

from gridos.domain import series
from gridos.domain.batch import BadRow, OnConflict, Reading, find_repeats
from gridos.domain.series import Bucket, Window
from gridos.storage import arrays
from gridos.storage.arrays import Array
from gridos.storage.pool import connection, fetch

_KEY = attrgetter("bus_id", "measured_at")
ROWS = "unnest(%b::text[], %b::timestamptz[], %b::float8[], %b::float8[])"
INSERT = f"INSERT INTO reading (bus_id, measured_at, kw, kvar) SELECT * FROM {ROWS} AS given"  # noqa: S608 — made of constants
# Stores those that are not stored yet: how many these are, and which others are stored with other
# values, by their numbers. ON CONFLICT DO NOTHING would take PostgreSQL twice the time for a new
# row, which it first marks as tentative.
_SORT_OUT = f"""
WITH given AS (
    SELECT * FROM {ROWS} WITH ORDINALITY AS given (bus_id, measured_at, kw, kvar, number)
), found AS MATERIALIZED ({{found}}), compared AS MATERIALIZED (
    SELECT given.*, found.bus_id IS NULL AS is_new, found.kw AS stored_kw,
           found.kvar AS stored_kvar, (found.kw, found.kvar) <> (given.kw, given.kvar) AS differs
    FROM given LEFT JOIN found USING (bus_id, measured_at)
), stored AS (
    INSERT INTO reading (bus_id, measured_at, kw, kvar)
    SELECT bus_id, measured_at, kw, kvar FROM compared WHERE is_new ORDER BY number
)
SELECT count(*) FILTER (WHERE is_new),
       array_agg(number) FILTER (WHERE differs),
       array_agg(stored_kw) FILTER (WHERE differs), array_agg(stored_kvar) FILTER (WHERE differs)
FROM compared
"""  # noqa: S608 — made of constants
# What is asked of the table is kept apart by OFFSET and LIMIT: however the planner guesses, the key
# is searched, and no more is read than is asked for. One search for all times of a bus costs half
# of one for each row where a bus has many, and twice as much where it has one.
SORT_OUT_BY_BUS = _SORT_OUT.format(
    found="""
    SELECT reading.* FROM (
        SELECT bus_id, array_agg(measured_at) AS times,
               min(measured_at) AS earliest, max(measured_at) AS latest
        FROM given GROUP BY bus_id
    ) bus CROSS JOIN LATERAL (
        SELECT bus_id, measured_at, kw, kvar FROM reading
        WHERE bus_id = bus.bus_id AND measured_at = ANY(bus.times)
          AND measured_at BETWEEN bus.earliest AND bus.latest OFFSET 0
    ) reading
"""
)
SORT_OUT_BY_ROW = _SORT_OUT.format(
    found="""
    SELECT given.bus_id, given.measured_at, reading.kw, reading.kvar
    FROM given CROSS JOIN LATERAL (
        SELECT kw, kvar FROM reading
        WHERE bus_id = given.bus_id AND measured_at = given.measured_at LIMIT 1
    ) reading
"""
)
MIN_ROWS_A_BUS = 4
# Locked in order of the key, so that two corrections of the same rows wait for each other in turn,
# and compared once they are locked. Each row is looked up by its key, however the planner guesses.
REPLACE = f"""
WITH found AS (
    SELECT given.*, reading.kw AS kw_before, reading.kvar AS kvar_before
    FROM (SELECT * FROM {ROWS} AS given (bus_id, measured_at, kw, kvar) ORDER BY 1, 2) given
    JOIN LATERAL (
        SELECT kw, kvar FROM reading
        WHERE bus_id = given.bus_id AND measured_at = given.measured_at LIMIT 1 FOR UPDATE
    ) reading ON true
), differing AS MATERIALIZED (
    SELECT * FROM found WHERE (kw_before, kvar_before) <> (kw, kvar)
), replaced AS (
    UPDATE reading SET kw = differing.kw, kvar = differing.kvar FROM differing
    WHERE reading.bus_id = differing.bus_id AND reading.measured_at = differing.measured_at
)
INSERT INTO reading_correction
    (bus_id, measured_at, kw_before, kvar_before, kw_after, kvar_after, key, request_id)
SELECT bus_id, measured_at, kw_before, kvar_before, kw, kvar, %b, %b FROM differing
"""  # noqa: S608 — made of constants


@dataclass(frozen=True)
class Sender:
    """Who corrects: the beginning of the key's SHA-256, and the request's id."""

    key: str
    request_id: str


@dataclass(frozen=True)
class Stored:
    """What became of a batch's rows: new; stored already; of these other than stored; replaced."""

    stored: int
    duplicates: int = 0
    differing: int = 0
    replaced: int = 0


class Differences(Exception):
    """Readings that are stored already and with other values; nothing was stored.

    `found` has the stored loads in kW and kvar by bus and time.
    """

    def __init__(self, found: Mapping[tuple[str, datetime], tuple[float, float]]) -> None:
        super().__init__(f"{len(found)} readings are stored with other values")
        self.found = found


class Repeats(Exception):
    """Rows of one batch that have the same bus and time; nothing was stored."""

    def __init__(self, rows: Sequence[BadRow]) -> None:
        super().__init__(f"{len(rows)} rows repeat others")
        self.rows = rows


def add_readings(readings: Sequence[Reading], on_conflict: OnConflict, sender: Sender) -> Stored:
    """Stores a batch whole or not at all.

    Raises:
        Repeats: if rows of it have the same bus and time.
        Differences: if some are stored with other values, and that is to be rejected.
    """
    with connection() as connected:
        return store(connected, readings, on_conflict, sender)


def store(
    connected: Connection[Any],
    given: Sequence[Reading],
    on_conflict: OnConflict = OnConflict.IGNORE,
    sender: Sender | None = None,
) -> Stored:
    """As `add_readings`, on a connection of the caller's that commits by itself.

    Nearly every batch is all new, so that is tried first. One statement stores it whole or not at
    all, so a batch that was sent before, or that repeats itself, is found out by the key, and only
    then sorted out.
    """
    # In order of the key: of two batches that share rows one then waits for the other, and never
    # each for the other until both are given up. (Two sorts by one field are twice as fast.)
    readings = sorted(given, key=attrgetter("measured_at"))
    readings.sort(key=attrgetter("bus_id"))
    packed = arrays.columns(readings)
    try:
        return Stored(connected.execute(INSERT, packed).rowcount)
    except UniqueViolation:
        # Neighbours are compared, and times not hashed, which takes five times as long.
        if any(
            one.measured_at == other.measured_at and one.bus_id == other.bus_id
            for one, other in pairwise(readings)
        ):
            raise Repeats(find_repeats(dict(enumerate(given)))) from None
    buses = len({reading.bus_id for reading in readings})
    sort_out = SORT_OUT_BY_BUS if len(readings) >= MIN_ROWS_A_BUS * buses else SORT_OUT_BY_ROW
    while True:
        # Each failure is another row that somebody else stored in between, so they come to an end.
        with suppress(UniqueViolation):
            return _sort_out(connected, sort_out, readings, packed, on_conflict, sender)


def _sort_out(
    connected: Connection[Any],
    sort_out: str,
    readings: Sequence[Reading],
    packed: Sequence[Array],
    on_conflict: OnConflict,
    sender: Sender | None,
) -> Stored:
    """Stores a batch of which some rows are known."""
    is_one = on_conflict is OnConflict.IGNORE
    with (
        nullcontext() if is_one else connected.transaction(),
        connected.cursor(row_factory=tuple_row) as cursor,
    ):
        stored, numbers, kw, kvar = cursor.execute(sort_out, packed).fetchone()  # type: ignore[misc]
        known = len(readings) - stored
        differing = [readings[number - 1] for number in numbers or ()]
        if not differing or is_one:
            return Stored(stored, known, len(differing))
        if on_conflict is OnConflict.REJECT:
            loads = zip(kw, kvar, strict=True)
            raise Differences(dict(zip(map(_KEY, differing), loads, strict=True)))
        sender = sender or Sender("", "")
        correction = (*arrays.columns(differing), sender.key, sender.request_id)
        replaced = cursor.execute(REPLACE, correction).rowcount
        return Stored(stored, known - replaced, 0, replaced)


def latest_loads(feeder_ids: Sequence[str]) -> list[dict[str, Any]]:
    """The latest reading of each bus of some feeders; empty if there are no such feeders.

    A bus that never reported has nulls. The feeder's rating and voltage repeat in each row.
    """
    return fetch(_LATEST, (list(feeder_ids),))


# A bus reports every few minutes, so its latest reading is nearly always in one of two months, and
# only a bus that has been silent for so long is looked for in all of them.
_LATEST = """
SELECT f.id AS feeder_id, f.rated_kva AS feeder_rated_kva, f.nominal_kv,
       b.id AS bus_id, b.rated_kva,
       coalesce(fresh.measured_at, old.measured_at) AS measured_at,
       coalesce(fresh.kw, old.kw) AS kw, coalesce(fresh.kvar, old.kvar) AS kvar
FROM feeder f
JOIN bus b ON b.feeder_id = f.id
LEFT JOIN LATERAL (
    SELECT measured_at, kw, kvar FROM reading
    WHERE bus_id = b.id AND measured_at > now() - interval '28 days'
    ORDER BY measured_at DESC LIMIT 1
) fresh ON true
LEFT JOIN LATERAL (
    SELECT measured_at, kw, kvar FROM reading
    WHERE fresh.measured_at IS NULL AND bus_id = b.id
    ORDER BY measured_at DESC LIMIT 1
) old ON true
WHERE f.id = ANY(%s) ORDER BY f.id, b.number
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
# The index alone answers it, and no further than to the limit.
_COUNT_SERIES = """
SELECT count(*) AS readings FROM (
    SELECT FROM (SELECT id FROM bus WHERE {scope}) b
    CROSS JOIN LATERAL (
        SELECT FROM reading
        WHERE bus_id = b.id AND measured_at >= %(start)s AND measured_at < %(end)s
        ORDER BY measured_at LIMIT %(most)s
    ) r LIMIT %(most)s
) found
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


@dataclass(frozen=True)
class Source:
    """Whose readings: those of a bus, or of a feeder's buses; `scope` is a condition in SQL."""

    scope: str
    identifier: str


def of_feeder(feeder_id: str) -> Source:
    """Ordered by bus id and time."""
    return Source("feeder_id = %(id)s", feeder_id)


def of_bus(bus_id: str) -> Source:
    """Ordered by time."""
    return Source("id = %(id)s", bus_id)


def count_series(source: Source, window: Window, most: int) -> int:
    """How many readings lie in a window, counted up to `most`."""
    values = {**vars(window), "id": source.identifier, "most": most}
    (found,) = fetch(_COUNT_SERIES.format(scope=source.scope), values)
    return int(found["readings"])


def read_series(source: Source, window: Window) -> Page:
    """A page of readings."""
    parts = _RAW if window.bucket is Bucket.RAW else _SUMMED
    after, width = window.after, window.bucket.width
    values = {
        **vars(window),
        "id": source.identifier,
        "width": width,
        "after_bus": after.bus_id if after else "",
        "resume": max(window.start, after.at + (width or RESOLUTION)) if after else window.start,
    }
    (found,) = fetch(_SERIES.format(scope=source.scope, **parts), values)
    is_full = found["size"] == window.limit
    last = series.Cursor(found["last_bus"], found["last_at"]) if is_full else None
    return Page(found["rows"], found["size"], last)
