"""Loads: what they add up to, and where they are more than the equipment is rated for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class FeederLoad:
    """The sum of the latest loads of a feeder's buses, against its rating."""

    kw: float
    kvar: float
    kva: float
    share_of_rating: float
    reporting_buses: int


@dataclass(frozen=True, slots=True)
class Overload:
    """A feeder or bus whose latest load is above its rating; `bus_id` is None for a feeder."""

    feeder_id: str
    bus_id: str | None
    kva: float
    rated_kva: float
    share_of_rating: float


def sum_loads(rows: Iterable[Mapping[str, Any]], rated_kva: float) -> FeederLoad:
    """Adds up latest loads; a bus without a reading adds nothing."""
    known = [row for row in rows if row["kw"] is not None]
    kw = math.fsum(row["kw"] for row in known)
    kvar = math.fsum(row["kvar"] for row in known)
    kva = math.hypot(kw, kvar)
    return FeederLoad(kw, kvar, kva, kva / rated_kva, len(known))


def find_overloads(rows: Iterable[Mapping[str, Any]]) -> list[Overload]:
    """Feeders and buses above their rating.

    Args:
        rows: One a bus, with feeder_id, feeder_rated_kva, bus_id, rated_kva (None: unrated), kw
            and kvar (None: never reported).
    """
    by_feeder: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_feeder.setdefault(row["feeder_id"], []).append(row)
    return [overload for group in by_feeder.values() for overload in _overloads(group)]


def sort(overloads: Iterable[Overload]) -> list[Overload]:
    """The worst first."""
    return sorted(overloads, key=lambda overload: -overload.share_of_rating)


def group(counts: Mapping[str, int], most: int) -> list[list[str]]:
    """Feeders in groups of at most so many buses together, or of one feeder."""
    groups: list[list[str]] = []
    room = 0
    for feeder_id, buses in counts.items():
        if buses > room:
            groups.append([])
            room = most
        groups[-1].append(feeder_id)
        room -= buses
    return groups


def _overloads(rows: list[Mapping[str, Any]]) -> Iterable[Overload]:
    feeder_id, rated_kva = rows[0]["feeder_id"], rows[0]["feeder_rated_kva"]
    total = sum_loads(rows, rated_kva)
    if total.share_of_rating > 1:
        yield Overload(feeder_id, None, total.kva, rated_kva, total.share_of_rating)
    for row in rows:
        if row["kw"] is None or row["rated_kva"] is None:
            continue
        kva = math.hypot(row["kw"], row["kvar"])
        if kva > row["rated_kva"]:
            share = kva / row["rated_kva"]
            yield Overload(feeder_id, row["bus_id"], kva, row["rated_kva"], share)
