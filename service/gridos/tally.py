"""Counts of requests: written by each thread for itself, summed when they are scraped.

A thread adds to plain integers of its own, so that nothing is locked, looked up by label or
converted while a request is served; that is what makes recording cost next to nothing. Tallies
outlive their threads, and a thread's number is only given away again after its end.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from threading import get_ident

from prometheus_client.core import (
    CounterMetricFamily,
    Exemplar,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

# A bound at the gate's threshold makes its verdict exact; its neighbours keep the shown p95 honest.
BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.225, 0.25, 0.275, 0.3, 0.4, 0.5, 1, 2.5, 10)
FAILURES = ("500", "502", "503", "504")
REQUESTS = ("http_requests", "Responses sent, by method, route template and status")
DURATIONS = (
    "request_duration_seconds",
    "Time from a request's arrival to the last byte of its response",
)
IN_FLIGHT = ("http_requests_in_flight", "Requests that are being answered now")

CountKey = tuple[str, str, str]
RouteKey = tuple[str, str]


_NO_EXEMPLARS: dict[int, tuple[str, float, float]] = {}


class Cell:
    """A route's durations: counts by bucket, the last above all bounds, then their sum."""

    __slots__ = ("buckets", "exemplars", "total_s")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BOUNDS_S) + 1)
        self.total_s = 0.0
        # By bucket: trace id, seconds, Unix time.
        self.exemplars: dict[int, tuple[str, float, float]] = {}

    def copy(self) -> Cell:
        """As it is now; to be read and added to, and not to be counted in."""
        copied = Cell.__new__(Cell)
        copied.buckets = self.buckets.copy()
        copied.total_s = self.total_s
        # A scrape copies every cell, and what it makes more of, Python's collector goes through.
        copied.exemplars = self.exemplars.copy() if self.exemplars else _NO_EXEMPLARS
        return copied

    def add(self, other: Cell) -> None:
        """Adds another's counts; of two exemplars the later one stays."""
        self.buckets = [a + b for a, b in zip(self.buckets, other.buckets, strict=True)]
        self.total_s += other.total_s
        if other.exemplars:
            by_age = sorted(
                [*self.exemplars.items(), *other.exemplars.items()], key=lambda found: found[1][2]
            )
            self.exemplars = dict(by_age)


class Shard:
    """What one thread has counted."""

    __slots__ = ("cells", "in_flight", "since")

    def __init__(self) -> None:
        # By status too, so that one look-up finds all there is to add to.
        self.cells: defaultdict[CountKey, Cell] = defaultdict(Cell)
        self.in_flight = 0
        # When the thread began what it is at (`perf_counter`); None while it is idle.
        self.since: float | None = None


@dataclass
class Totals:
    """The sum over all threads at one moment."""

    counts: dict[CountKey, int]
    cells: dict[RouteKey, Cell]
    in_flight: int = 0


@dataclass(eq=False)
class Tally(Collector):
    """All shards; a Prometheus collector of the three request metrics."""

    # By thread; a new one's is made when it first asks for it.
    shards: defaultdict[int, Shard] = field(default_factory=lambda: defaultdict(Shard))
    _zeros: list[RouteKey] = field(default_factory=list)

    def start_at_zero(self, routes: Iterable[RouteKey]) -> None:
        """Shows failures and durations of these routes before there are any."""
        self._zeros.extend(routes)

    def add(
        self, method: str, route: str, status: str, seconds: float, trace_id: str | None
    ) -> None:
        """Counts one response of the calling thread's; `trace_id` if the trace is kept.

        For whoever fills a tally without serving: the recorder does the same in place.
        """
        cell = self.shards[get_ident()].cells[method, route, status]
        bucket = bisect_left(BOUNDS_S, seconds)
        cell.buckets[bucket] += 1
        cell.total_s += seconds
        if trace_id is not None:
            cell.exemplars[bucket] = (trace_id, seconds, time.time())

    def threads_at_it_since(self, before: float) -> int:
        """How many threads began before a time (`perf_counter`) what they are still at."""
        since = [shard.since for shard in list(self.shards.values())]
        return sum(began is not None and began < before for began in since)

    def sum(self) -> Totals:
        """Adds up copies of the shards, which go on being written meanwhile."""
        failures = {(*route, status): 0 for route in self._zeros for status in FAILURES}
        totals = Totals(failures, {route: Cell() for route in self._zeros})
        for shard in list(self.shards.values()):
            totals.in_flight += shard.in_flight
            for key, cell in shard.cells.copy().items():
                copied = cell.copy()
                totals.counts[key] = totals.counts.get(key, 0) + sum(copied.buckets)
                total = totals.cells.get(key[:2])
                if total is None:
                    totals.cells[key[:2]] = copied
                else:
                    total.add(copied)
        return totals

    def collect(self) -> Iterator[Metric]:
        """As prometheus_client asks for it."""
        totals = self.sum()
        yield _request_family(totals)
        yield _duration_family(totals)
        yield GaugeMetricFamily(*IN_FLIGHT, value=totals.in_flight)


def _request_family(totals: Totals) -> Metric:
    family = CounterMetricFamily(*REQUESTS, labels=["method", "route", "status"])
    for key, count in totals.counts.items():
        family.add_metric(key, count)
    return family


def _duration_family(totals: Totals) -> Metric:
    family = HistogramMetricFamily(*DURATIONS, labels=["method", "route"])
    bounds = [*(str(float(bound)) for bound in BOUNDS_S), "+Inf"]
    for key, cell in totals.cells.items():
        cumulated, buckets = 0, []
        for index, bound in enumerate(bounds):
            cumulated += cell.buckets[index]
            found = cell.exemplars.get(index)
            exemplar = found and Exemplar({"trace_id": found[0]}, found[1], found[2])
            buckets.append((bound, cumulated, exemplar))
        family.add_metric(key, buckets, cell.total_s)  # type: ignore[arg-type]
    return family
