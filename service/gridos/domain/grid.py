"""Readings and loads: what they must satisfy, and what follows from them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

MOST_READINGS = 10_000
# No distribution bus carries a gigawatt; a larger figure is a unit mix-up (W sent as kW).
MOST_KW = 1_000_000.0
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)
_FIELDS = frozenset({"bus_id", "measured_at", "kw", "kvar"})


@dataclass(frozen=True)
class Reading:
    """The load of one bus at one instant; kw and kvar are negative where it feeds in."""

    bus_id: str
    measured_at: datetime
    kw: float
    kvar: float


@dataclass(frozen=True)
class BadRow:
    """What is wrong with one row of a batch; `row` counts from 0."""

    row: int
    cause: str


@dataclass(frozen=True)
class FeederLoad:
    """The sum of the latest loads of a feeder's buses, against its rating."""

    kw: float
    kvar: float
    kva: float
    share_of_rating: float
    reporting_buses: int


def read_batch(rows: Sequence[Any]) -> tuple[dict[int, Reading], list[BadRow]]:
    """Reads every row: the readings by row number, and what is wrong with the other rows."""
    outcomes = {index: _read(row) for index, row in enumerate(rows)}
    readings = {i: outcome for i, outcome in outcomes.items() if isinstance(outcome, Reading)}
    bad = [BadRow(i, outcome) for i, outcome in outcomes.items() if isinstance(outcome, str)]
    return readings, bad


def sum_loads(rows: Iterable[Mapping[str, Any]], rated_kva: float) -> FeederLoad:
    """Adds up latest loads; a bus without a reading adds nothing."""
    known = [row for row in rows if row["kw"] is not None]
    kw = math.fsum(row["kw"] for row in known)
    kvar = math.fsum(row["kvar"] for row in known)
    kva = math.hypot(kw, kvar)
    return FeederLoad(kw, kvar, kva, kva / rated_kva, len(known))


def _read(row: Any) -> Reading | str:
    if not isinstance(row, dict):
        return "is not an object"
    if row.keys() != _FIELDS:
        wrong = sorted(_FIELDS ^ row.keys())
        return f"must have exactly bus_id, measured_at, kw and kvar ({', '.join(wrong)} differs)"
    bus_id = row["bus_id"]
    if not isinstance(bus_id, str) or not bus_id or "\x00" in bus_id:
        return "bus_id must be a text"
    measured_at = _instant(row["measured_at"])
    if isinstance(measured_at, str):
        return measured_at
    for name in ("kw", "kvar"):
        if not _is_load(row[name]):
            return f"{name} must be a finite number between -{MOST_KW:.0f} and {MOST_KW:.0f}"
    return Reading(bus_id, measured_at, float(row["kw"]), float(row["kvar"]))


def _is_load(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    # NaN and the infinities compare false, and an int too large for a float still compares.
    return number and abs(value) <= MOST_KW


def _instant(value: Any) -> datetime | str:
    if not isinstance(value, str):
        return "measured_at must be an RFC 3339 text"
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        return "measured_at must be RFC 3339, such as 2026-11-24T09:30:00Z"
    if instant.tzinfo is None:
        return "measured_at must carry a zone, such as Z or +01:00"
    try:
        within = EARLIEST <= instant < LATEST
    except OverflowError:
        within = False
    return instant if within else "measured_at must lie between the years 2000 and 2100"
