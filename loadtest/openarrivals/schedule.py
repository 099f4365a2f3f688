"""When each request of a run is due: fixed by shape, spacing and seed, whatever the server does.

The schedule belongs to the run and not to a process: every worker walks all of it and takes each
n-th arrival, so one worker and eight send the same requests at the same times.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from random import Random
from typing import Any, Literal, NamedTuple, get_args

from openarrivals import shapes
from openarrivals.shapes import Shape

Spacing = Literal["poisson", "constant"]
SPACINGS: tuple[str, ...] = get_args(Spacing)


@dataclass(frozen=True)
class Plan:
    """What a run is to send.

    Attributes:
        shape: Requests a second over time.
        spacing: `poisson` for independent users, `constant` for a metronome.
        seed: The same seed gives the same arrivals, and the same draws for each of them.
        max_queue_time_s: How long an arrival waits for a free user before it is dropped.
    """

    shape: Shape
    spacing: Spacing = "poisson"
    seed: int = 1
    max_queue_time_s: float = 1.0

    def due(self) -> Iterator[float]:
        """The seconds after the start at which requests are due, in order."""
        return self.shape.due(self._points())

    def _points(self) -> Iterator[float]:
        if self.spacing == "constant":
            return map(float, itertools.count())
        random = Random(self.seed)
        gaps = (random.expovariate(1.0) for _ in itertools.count())
        return itertools.accumulate(gaps)

    def to_message(self) -> dict[str, Any]:
        """The plan as plain data, for other processes."""
        return {**asdict(self), "shape": str(self.shape)}


def from_message(message: Mapping[str, Any]) -> Plan:
    """Reads what `Plan.to_message` wrote."""
    return Plan(**{**message, "shape": shapes.parse(message["shape"])})


class Slot(NamedTuple):
    """A request of the schedule: its number in the run, when it is due, and for which user class.

    `due_s` counts from the start of the run.
    """

    number: int
    due_s: float
    kind: str


def slots(
    plan: Plan, weights: Mapping[str, float], index: int = 0, workers: int = 1
) -> Iterator[Slot]:
    """One worker's share of the schedule, with a user class drawn for each request by weight."""
    kinds = _kinds(weights, Random(f"{plan.seed}-kinds"))
    every = zip(itertools.count(), plan.due(), kinds, strict=False)
    return itertools.starmap(Slot, itertools.islice(every, index, None, workers))


def _kinds(weights: Mapping[str, float], random: Random) -> Iterator[str]:
    """User classes by weight, without end; a draw is only paid for where there is a choice."""
    if len(weights) == 1:
        return itertools.repeat(next(iter(weights)))
    kinds, bounds = list(weights), list(itertools.accumulate(weights.values()))
    return (random.choices(kinds, cum_weights=bounds)[0] for _ in itertools.count())


def draws(plan: Plan, number: int) -> Random:
    """The random choices that belong to one arrival, however late it is sent and by whom."""
    return Random(plan.seed * 1_000_003 + number)
