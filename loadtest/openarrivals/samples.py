"""What is measured, as plain data; needs neither Locust nor gevent."""

from __future__ import annotations

import operator
from dataclasses import astuple, dataclass
from typing import NamedTuple


class Sample(NamedTuple):
    """One request as its user met it; all times in seconds.

    `status` is 0 where there was no answer, and `error` then says why. `due_s` counts from the
    start of the run, `latency_s` from when the request was due, `lag_s` is the generator's own
    lateness within it.
    """

    name: str
    status: int
    error: str
    due_s: float
    latency_s: float
    lag_s: float


@dataclass
class Counts:
    """What became of the schedule so far. `due` = `finished` + `dropped` + what is still open."""

    due: int = 0
    started: int = 0
    queued: int = 0
    finished: int = 0
    dropped: int = 0

    @property
    def open(self) -> int:
        """Arrivals that wait for a user or for an answer."""
        return self.due - self.finished - self.dropped

    def __add__(self, other: Counts) -> Counts:
        return Counts(*map(operator.add, astuple(self), astuple(other)))


@dataclass
class Batch:
    """What was measured since the batch before; `counts` are totals over all processes."""

    samples: list[Sample]
    dropped_s: list[float]
    counts: Counts
