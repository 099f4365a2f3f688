"""The highest rate that meets the limits: bisection, each probe a run of its own.

A probe holds when every check passes and the slow share is below its limit with 95 %
confidence; one that is undecided counts as broken, so that the answer errs towards less.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from canary.power import stats
from loadtesting.model import Limits, Outcome, Result
from loadtesting.run import Done

# Rates are told apart to this factor; less than what two runs of one rate differ by.
PRECISION = 1.1
FIRST_RATE, MAX_RATE, MAX_PROBES = 25.0, 5000.0, 16


@dataclass(frozen=True)
class Probe:
    """One rate, and what came of it: held, broken, or None where the generator was the limit."""

    rate: float
    held: bool | None
    reason: str


@dataclass(frozen=True)
class Capacity:
    """Held at `low` and not at `high`, which is None where nothing broke it."""

    low: float
    high: float | None
    probes: tuple[Probe, ...]
    limited_by_generator: bool = False

    @property
    def headline(self) -> str:
        """The answer in one sentence."""
        if self.limited_by_generator:
            return f"at least {self.low:.0f} requests/s: beyond that the generator is the limit"
        if self.high is None:
            return f"at least {self.low:.0f} requests/s, the most that was asked for"
        if not self.low:
            return f"below {self.high:.0f} requests/s: the lowest rate asked for does not hold"
        return f"{self.low:.0f} requests/s hold, {self.high:.0f} do not"

    @property
    def result(self) -> Result:
        """A search that the generator ended has no answer."""
        if self.limited_by_generator:
            return Result.INCONCLUSIVE
        return Result.PASS if self.low else Result.FAIL


def search(
    ask: Callable[[float], Probe], first: float = FIRST_RATE, most: float = MAX_RATE
) -> Capacity:
    """Doubles from `first` until a rate breaks, then halves the gap, in ratios.

    A probe whose generator was late is asked once more: one busy moment is not the generator's end.
    """
    probes: list[Probe] = []
    low, high, rate = 0.0, None, first
    while len(probes) < MAX_PROBES:
        probes.append(ask(rate))
        if probes[-1].held is None:
            probes.append(ask(rate))
        probe = probes[-1]
        if probe.held is None:
            return Capacity(low, high, tuple(probes), limited_by_generator=True)
        low, high = (rate, high) if probe.held else (low, rate)
        if (high is None and low >= most) or (
            high is not None and high <= max(low, 1.0) * PRECISION
        ):
            break
        rate = _next(low, high, most)
    return Capacity(low, high, tuple(probes))


def _next(low: float, high: float | None, most: float) -> float:
    if high is None:
        return min(low * 2, most)
    return math.sqrt(low * high) if low else high / 4


def weigh(done: Done, limits: Limits) -> Probe:
    """What one run says of its rate."""
    measured, group = done.measured, done.measured.overall
    rate = group.requests / max(done.seconds, 1e-9)
    doubts = {c.name: c for c in done.verdict.checks if c.result is Result.INCONCLUSIVE}
    if "generator-lag" in doubts:
        return Probe(rate, None, doubts["generator-lag"].message)
    if measured.counts.dropped or not done.facts.complete:
        return Probe(rate, held=False, reason=done.verdict.headline)
    low, high = stats.ratio(group.slow, group.requests)
    if low >= limits.max_slow_ratio or done.verdict.result is Result.FAIL:
        return Probe(rate, held=False, reason=done.verdict.headline)
    if high < limits.max_slow_ratio and _objective_held(done, limits):
        return Probe(rate, held=True, reason=done.verdict.headline)
    return Probe(rate, held=False, reason=f"undecided: {low:.1%} to {high:.1%} slow")


def _objective_held(done: Done, limits: Limits) -> bool:
    group = done.measured.overall
    bad = group.outcomes[Outcome.FAILED] + group.unseen
    low, _ = stats.ratio(bad, group.requests)
    return low <= 1 - limits.objective
