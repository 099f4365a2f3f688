"""Observations → the record of a rehearsal: one sample a second, every event, every run."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from canary.argo.model import Pause, Step
from canary.rehearse.load import Second
from canary.rehearse.target import Event, Observation, Place
from canary.runtime.gateway import Counts

SAMPLE_S = 1.0


@dataclass(frozen=True)
class Sample:
    """An observation, and the users' latest second at that time."""

    observation: Observation
    second: Second | None


@dataclass
class Timeline:
    """Everything that was seen, in order."""

    samples: list[Sample] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    seconds: list[Second] = field(default_factory=list)
    last: Observation | None = None
    decided_at_s: float | None = None
    last_canary_at_s: float | None = None
    _deciding: Observation | None = None

    def take(self, observation: Observation) -> tuple[Event, ...]:
        """Adds an observation; returns what is new to tell."""
        fresh = (*observation.events, *_narrate(self.last, observation))
        self.events += fresh
        self.seconds += observation.seconds
        self._mark(observation)
        self.last = observation
        if not self.samples or observation.at_s - self.samples[-1].observation.at_s >= SAMPLE_S:
            second = self.seconds[-1] if self.seconds else None
            self.samples.append(Sample(observation, second))
        return fresh

    def rebase(self) -> None:
        """Counts time from now on, and what was before as negative: the candidate is applied."""
        zero = self.last.at_s if self.last else 0.0
        self.events = [replace(event, at_s=event.at_s - zero) for event in self.events]
        self.samples = [
            replace(s, observation=replace(s.observation, at_s=s.observation.at_s - zero))
            for s in self.samples
        ]

    def canary_requests_at(self, at_s: float) -> int:
        """What the canary had answered by an instant."""
        counts = (
            sample.observation.canary_traffic.requests
            for sample in reversed(self.samples)
            if sample.observation.at_s <= at_s + SAMPLE_S / 2
        )
        return next(counts, 0)

    def decided(self, window_s: float = 0.0) -> Place:
        """Where and when it was decided, and what had failed by then.

        Args:
            window_s: The shares are of so long before; 0 is since the release.
        """
        at_s, end = self.decided_at_s, self._deciding or self.last
        before = [s.observation for s in self.samples if at_s is None or s.observation.at_s < at_s]
        weights = [seen.weight for seen in before if seen.weight]
        weight = weights[-1] if weights else None
        if end is None:
            return Place(weight, at_s)
        since_s = max(0.0, end.at_s - window_s) if window_s else 0.0
        begun = next((seen for seen in reversed(before) if seen.at_s <= since_s), None)
        canary = end.canary_traffic.since(begun.canary_traffic if begun else Counts())
        stable = end.stable_traffic.since(begun.stable_traffic if begun else Counts())
        return Place(weight, at_s, canary.failed_share, stable.failed_share)

    def _mark(self, seen: Observation) -> None:
        if not seen.decided:
            self.decided_at_s = self._deciding = None
        elif self.decided_at_s is None:
            self.decided_at_s, self._deciding = seen.at_s, seen
        before = self.last.canary_traffic.requests if self.last else 0
        if seen.canary_traffic.requests > before:
            self.last_canary_at_s = seen.at_s


def series(samples: Sequence[Sample]) -> dict[str, list[Any]]:
    """Columns of one value per sample; rates are per second over the sample's own length."""
    seen = [sample.observation for sample in samples]
    if not seen:
        return {}
    columns: dict[str, list[Any]] = {
        "at_s": [round(o.at_s, 2) for o in seen],
        "step_index": [o.step_index for o in seen],
        "weight": [o.weight for o in seen],
        "stable_desired": [o.stable.desired for o in seen],
        "stable_available": [o.stable.available for o in seen],
        "canary_desired": [o.canary.desired for o in seen],
        "canary_available": [o.canary.available for o in seen],
        "stable_requests": _rates(seen, [o.stable_traffic.requests for o in seen]),
        "stable_failed": _rates(seen, [o.stable_traffic.failed for o in seen]),
        "canary_requests": _rates(seen, [o.canary_traffic.requests for o in seen]),
        "canary_failed": _rates(seen, [o.canary_traffic.failed for o in seen]),
    }
    for name in ("requests", "failed", "lost", "p50_ms", "p95_ms"):
        values = [getattr(sample.second, name, None) for sample in samples]
        columns[f"client_{name}"] = values
    return columns


def unscaled_failures(
    samples: Sequence[Sample], steps: Sequence[Step], rate: float, factor: float
) -> float:
    """What the users' failures would have been at `rate` requests/s and real durations.

    A second of a pause stands for `factor` seconds; start-up and draining are not scaled.
    """
    total = 0.0
    seen: set[float] = set()
    for sample in samples:
        second = sample.second
        if second is None or second.at in seen or not second.requests:
            continue
        seen.add(second.at)
        index = sample.observation.step_index
        paused = index is not None and index < len(steps) and isinstance(steps[index], Pause)
        share = (second.failed + second.lost) / second.requests
        total += share * rate * (factor if paused else 1.0)
    return total


def _rates(seen: Sequence[Observation], totals: Sequence[int]) -> list[float]:
    """How fast a running total grew to each observation, per second; 0 for the first."""
    rates = [0.0]
    for index in range(1, len(seen)):
        elapsed = seen[index].at_s - seen[index - 1].at_s
        grown = totals[index] - totals[index - 1]
        rates.append(round(grown / elapsed, 1) if elapsed > 0 else 0.0)
    return rates


def _narrate(before: Observation | None, now: Observation) -> tuple[Event, ...]:
    """What changed between two observations, in a reader's words."""
    told: list[Event] = []
    stepped = before is None or before.step_index != now.step_index
    if now.step_index is not None and stepped and not now.aborted:
        told.append(Event(now.at_s, "step", f"step {now.step_index}"))
    phases = {run.name: run.phase for run in before.runs} if before else {}
    for run in now.runs:
        if run.name not in phases:
            told.append(Event(now.at_s, "analysis", f"AnalysisRun {run.name} started"))
        if run.phase.completed and phases.get(run.name) != run.phase:
            message = f": {run.message}" if run.message else ""
            told.append(Event(now.at_s, "analysis", f"AnalysisRun {run.name} {run.phase}{message}"))
    if now.aborted and not (before and before.aborted):
        told.append(Event(now.at_s, "abort", now.message))
    if now.inconclusive and not (before and before.inconclusive):
        told.append(Event(now.at_s, "pause", now.message))
    if now.promoted and not (before and before.promoted):
        told.append(Event(now.at_s, "promote", "the candidate is the stable release now"))
    return tuple(told)
