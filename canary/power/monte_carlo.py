"""What the gates of a release can see: the outcome of thousands of releases of each fault.

The measurements, their instants and their arguments come from a virtual rollout; each
measurement's value from `algebra` over the drawn counters; each verdict from the metric's own
conditions. Where one measurement alone is asked of a plain error ratio, `chance` gives it exactly,
and a test holds the two together.
"""

import copy
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields, replace
from functools import cache, cached_property
from typing import Self

import numpy as np

from canary.argo import analysis, promql, releases, threshold, virtual_rollout
from canary.argo.analysis import ERROR_RETRY_S
from canary.argo.dialects import Dialect, UnmodelledError, Vocabulary
from canary.argo.gates import Release
from canary.argo.model import Metric, Phase, Rollout
from canary.argo.promql import PromqlError
from canary.argo.releases import HASHES, LATEST, STABLE
from canary.argo.threshold import CurvedError
from canary.argo.virtual_rollout import VirtualRollout
from canary.lint.pods import cpu_limit_cores
from canary.power import samples, vectorised_promql
from canary.power.samples import Bools, Fault, Floats, Ints, RandomDraws, Samples, Traffic
from canary.power.vectorised_promql import Names, Scene, Value

# A pod of ours is ready in about this time (measured on the cluster: ten pods Healthy in 7 s).
READY_S = 5.0


@dataclass(frozen=True)
class PlannedMeasurement:
    """One measurement of the release: when, of which run, of which metric."""

    at_s: float
    run: str
    metric: Metric
    step: int


@dataclass(frozen=True)
class Outcomes:
    """What came of n releases of one fault; arrays have one entry per release.

    `ended_s` is when a release was stopped (NaN if it was not), `by` the index of the gate that
    stopped it in `gates` (−1 if none), `step` where, `errors` how many errors users saw of it.
    `waiting`: an inline measurement was Inconclusive and would be taken again, at the same weight;
    here the release goes on as if it had passed.
    """

    gates: tuple[str, ...]
    rolled_back: Bools
    paused: Bools
    ended_s: Floats
    by: Ints
    step: Ints
    errors: Floats
    waiting: Bools

    @property
    def rollback_rate(self) -> float:
        """The share of releases that were rolled back."""
        return float(self.rolled_back.mean())

    @property
    def pause_rate(self) -> float:
        """The share of releases that wait for a manual decision."""
        return float(self.paused.mean())

    def rollback_rate_at(self, step: int) -> float:
        """The share of releases rolled back at one step (−1: by the background analysis)."""
        return float((self.rolled_back & (self.step == step)).mean())

    def rollback_rate_by_s(self, at_s: float) -> float:
        """The share of releases rolled back by an instant, at the steps or beside them."""
        return float((self.rolled_back & (self.ended_s <= at_s)).mean())

    def rollback_rate_by(self, gate: str) -> float:
        """The share of releases that one gate rolled back first."""
        index = self.gates.index(gate)
        return float((self.rolled_back & (self.by == index)).mean())

    def detect_s(self) -> float:
        """Seconds from the release to its rollback, the median; NaN if none was."""
        times = self.ended_s[self.rolled_back]
        return float(np.quantile(times, 0.5)) if len(times) else math.nan


@dataclass(eq=False)
class Study:
    """One Rollout under one traffic: ask it about faults."""

    rollout: Rollout
    traffic: Traffic
    _: KW_ONLY
    scrape_s: float = 5.0
    cpu_limit: float = 1.0
    canary_tokens: tuple[str, ...] = (LATEST,)
    stable_tokens: tuple[str, ...] = (STABLE,)
    vocabulary: Vocabulary = field(default_factory=Vocabulary)
    n: int = 4000
    seed: int = 1
    shift: int = 0

    @classmethod
    def of(cls, release: Release, traffic: Traffic) -> Self:
        """The release as its manifests describe it."""
        return cls(
            releases.in_virtual_time(release),
            traffic,
            cpu_limit=cpu_limit_cores(release.rollout) or 1.0,
            canary_tokens=release.canary_tokens,
            stable_tokens=release.stable_tokens,
        )

    @cached_property
    def names(self) -> Names:
        """What its queries may name it by."""
        # A namespace that the manifests leave open matches whatever a query asks for.
        space = "" if self.rollout.namespace == "default" else self.rollout.namespace
        return Names(self.rollout.name, space, self.canary_tokens, self.stable_tokens)

    def until(self, at_s: float) -> Self:
        """The same release as far as an instant: a tenth of it takes a tenth of the time."""
        other = copy.copy(self)
        other.__dict__.pop("draws", None)
        measurements = tuple(m for m in self.measurements if m.at_s <= at_s)
        other.__dict__ |= {"measurements": measurements, "_ended_s": at_s}
        return other

    @cached_property
    def _ended_s(self) -> float:
        return self.virtual_run.ended_s

    @cached_property
    def virtual_run(self) -> VirtualRollout:
        """The way of a release that passes every measurement."""
        return virtual_rollout.roll_out(
            self.rollout, HASHES, virtual_rollout.always_passing, lambda: READY_S
        )

    @cached_property
    def measurements(self) -> tuple[PlannedMeasurement, ...]:
        """Every measurement that a release which passes them all meets, in order of time."""
        metrics = {(run.name, m.name): m for run in self.virtual_run.runs for m in run.metrics}
        return tuple(
            PlannedMeasurement(
                at,
                run.name,
                metrics[run.name, name],
                -1 if run.step_index is None else run.step_index,
            )
            for at, run, name in virtual_rollout.measurements(self.virtual_run)
        )

    @cached_property
    def gates(self) -> tuple[str, ...]:
        """The names of the gates, in order of their first measurement."""
        return tuple(dict.fromkeys(measurement.metric.name for measurement in self.measurements))

    @cached_property
    def unmodelled(self) -> Mapping[str, str]:
        """The gates that cannot be followed here, and why."""
        world = self.draws_of(2).world(Fault())
        reasons: dict[str, str] = {}
        for measurement in self.measurements:
            if why := _depends_on_itself(measurement):
                reasons[measurement.metric.name] = why
                continue
            try:
                _phases(measurement.metric, self.value(measurement, world))
            except (UnmodelledError, PromqlError, CurvedError) as why:
                reasons[measurement.metric.name] = f"{why}{_if_empty(measurement.metric)}"
        return reasons

    @cached_property
    def assumed(self) -> Mapping[str, str]:
        """The metrics whose words are taken for granted, and what is."""
        return {name: dialect.assumed for name, dialect in self._spoken if dialect.assumed}

    @cached_property
    def zeroed(self) -> Mapping[str, bool]:
        """The metrics that tell failures, and whether their series are there before the first."""
        return {name: dialect.zeroed for name, dialect in self._spoken if dialect.outcomes}

    @cached_property
    def _spoken(self) -> tuple[tuple[str, Dialect], ...]:
        asked = {m.metric for m in self.measurements if m.metric.name not in self.unmodelled}
        read = {s.metric for metric in asked for s in promql.parse(metric.query).selectors}
        names = {name for name in read if not name.endswith("_bucket")}
        found = ((name, self.vocabulary.of(name)) for name in sorted(names))
        return tuple((name, dialect) for name, dialect in found if dialect is not None)

    @cached_property
    def draws(self) -> RandomDraws:
        """The draws that every fault shares."""
        return self.draws_of(self.n)

    def draws_of(self, n: int, turns: int | None = None) -> RandomDraws:
        """The draws of another number of releases, or of pods scraped at other instants."""
        return RandomDraws(
            self.virtual_run.pods,
            self._ended_s + 30.0,
            self.traffic,
            n,
            scrape_s=self.scrape_s,
            cpu_limit=self.cpu_limit,
            history_s=self._history_s,
            seed=self.seed,
            turns=turns or self._turns,
            shift=self.shift,
        )

    @cached_property
    def _turns(self) -> int:
        """At how many instants of an interval pods are scraped, where that makes a difference.

        It does where a measurement comes before all pods are scraped again, and where a window
        holds a scrape more of some pods than of others.
        """
        found: dict[tuple[str, str], list[float]] = {}
        for measurement in self.measurements:
            found.setdefault((measurement.run, measurement.metric.name), []).append(
                measurement.at_s
            )
        pairs = itertools.chain.from_iterable(map(itertools.pairwise, found.values()))
        often = any(later - earlier < self.scrape_s for earlier, later in pairs)
        queries = {measurement.metric.query for measurement in self.measurements}
        ranges = {s.range_s for query in queries for s in promql.read(query).selectors}
        odd = any((range_s / self.scrape_s) % 1 for range_s in ranges)
        return samples.TURNS if often or odd else 1

    @cached_property
    def _history_s(self) -> float:
        """How far a measurement reaches back before the release; no canary is there."""
        return max((self._before_s(measurement) for measurement in self.measurements), default=0.0)

    @cached_property
    def _parts(self) -> tuple[Self, ...]:
        """The releases by when their pods are scraped, where that makes a difference."""
        return tuple(self._part(turn) for turn in range(self._turns)) if self._turns > 1 else ()

    def _part(self, turn: int) -> Self:
        part = copy.copy(self)
        part.n = len(range(turn, self.n, self._turns))
        part.shift, part.seed = turn, self.seed + turn
        for cached in ("draws", "_healthy"):
            part.__dict__.pop(cached, None)
        part.__dict__["_parts"] = ()
        return part

    def _before_s(self, measurement: PlannedMeasurement) -> float:
        reaching = [
            s.range_s + s.offset_s
            for s in promql.read(measurement.metric.query).selectors
            if not s.mentions(self.canary_tokens)
        ]
        return max(0.0, max(reaching, default=0.0) - measurement.at_s)

    def outcomes(self, fault: Fault) -> Outcomes:
        """What comes of `n` releases of a fault."""
        if self._parts:
            return _joined([part.outcomes(fault) for part in self._parts])
        world = self.draws.world(fault)
        state = _State(self.n, self.gates)
        for measurement in self.measurements:
            if not state.open.any():
                break
            if measurement.metric.name not in self.unmodelled and not measurement.metric.dry_run:
                state.judge(measurement, self._judged(measurement, world, fault))
        return state.conclude(world, self._ended_s)

    def _judged(self, measurement: PlannedMeasurement, world: Samples, fault: Fault) -> Ints:
        """What a measurement says in each release; where its gate sees no fault, as if healthy."""
        if _seen(measurement.metric.query, fault) != Fault():
            return self._answered(measurement, world)
        key = (measurement.metric, measurement.at_s)
        if key not in self._healthy:
            self._healthy[key] = self._answered(measurement, world)
        return self._healthy[key]

    def _answered(self, measurement: PlannedMeasurement, world: Samples) -> Ints:
        """The phases of a measurement; after an Error it is taken again, as by the controller.

        So it is after a failure, if a metric ends with its first success.
        """
        metric = measurement.metric
        phases = _phases(metric, self.value(measurement, world))
        failures = metric.failure_limit if _until_a_success(metric) else 0
        for phase, times, wait_s in (
            (Phase.ERROR, metric.consecutive_error_limit, ERROR_RETRY_S),
            (Phase.FAILED, failures, metric.interval_s or 0.0),
        ):
            for again in range(1, times + 1):
                wrong = phases == _CODES[phase]
                if not wrong.any():
                    break
                later = replace(measurement, at_s=measurement.at_s + again * wait_s)
                phases = np.where(wrong, _phases(metric, self.value(later, world)), phases)
        return phases

    @cached_property
    def _healthy(self) -> dict[tuple[Metric, float], Ints]:
        return {}

    def smallest_detected(
        self, faults: Callable[[float], Fault], power: float = 0.95
    ) -> float | None:
        """The smallest size, to 2 %, that is rolled back with this power; None if there is none.

        A gate may find nothing where all requests fail, so nearly all are tried too.
        """
        low = 1e-5
        detected_at = (s for s in (1.0, 0.99) if self.outcomes(faults(s)).rollback_rate >= power)
        high = next(detected_at, None)
        if high is None:
            return None
        while high > 1.02 * low:
            middle = math.sqrt(low * high)
            detected = self.outcomes(faults(middle)).rollback_rate >= power
            low, high = (low, middle) if detected else (middle, high)
        return high

    def value(self, measurement: PlannedMeasurement, world: Samples) -> Value:
        """What a measurement finds in each release of a world."""
        scene = Scene(world, measurement.at_s, self.names, self.vocabulary)
        return vectorised_promql.evaluate(promql.parse(measurement.metric.query).tree, scene)


def _until_a_success(metric: Metric) -> bool:
    """Whether a metric ends with its first success, and is measured again after a failure."""
    return metric.consecutive_success_limit == 1 and metric.failure_limit > 0


def _depends_on_itself(measurement: PlannedMeasurement) -> str:
    """Why a metric is measured oftener in a release that fails than in one that passes, if so."""
    metric = measurement.metric
    more = (metric.failure_limit and not _until_a_success(metric)) or (
        measurement.step < 0 and metric.inconclusive_limit
    )
    if not (metric.consecutive_success_limit and more):
        return ""
    return (
        f"it ends after {metric.consecutive_success_limit} success(es) in a row: how often it is"
        " measured before depends on what it finds, which is not modelled"
    )


def _seen(query: str, fault: Fault) -> Fault:
    """What of a fault is in the series that a query reads."""
    names = {selector.metric for selector in promql.parse(query).selectors}
    if not any(name.endswith("_bucket") for name in names):
        fault = replace(fault, slow_share=None)
    if "container_cpu_usage_seconds_total" not in names:
        fault = replace(fault, cpu=None)
    if "kube_pod_container_status_restarts_total" not in names:
        fault = replace(fault, restarts=0.0)
    if names <= vectorised_promql.PLATFORM:
        fault = replace(fault, error_rate=None, slow_share=None)
    return fault


def _joined(parts: Sequence[Outcomes]) -> Outcomes:
    """The outcomes of all releases."""
    first, *others = parts
    if not others:
        return first
    arrays = [field.name for field in fields(Outcomes) if field.name != "gates"]
    return Outcomes(
        first.gates, **{name: np.concatenate([getattr(p, name) for p in parts]) for name in arrays}
    )


class _State:
    """AnalysisRuns of n releases side by side: what came of them, and failures and such so far."""

    def __init__(self, n: int, gates: tuple[str, ...]) -> None:
        self.open = np.ones(n, dtype=bool)
        self.failed: dict[tuple[str, str], Ints] = {}
        self.found = Outcomes(
            gates,
            rolled_back=np.zeros(n, dtype=bool),
            paused=np.zeros(n, dtype=bool),
            ended_s=np.full(n, np.nan),
            by=np.full(n, -1),
            step=np.full(n, -1),
            errors=np.zeros(n),
            waiting=np.zeros(n, dtype=bool),
        )

    def judge(self, measurement: PlannedMeasurement, phases: Ints) -> None:
        """Counts one measurement's verdicts against the metric's limits."""
        metric = measurement.metric
        late, late_s = metric.consecutive_error_limit * ERROR_RETRY_S, 0.0
        limit = metric.failure_limit
        if _until_a_success(metric):  # it has failed as often as it may, and once more
            limit, late_s = 0, limit * (metric.interval_s or 0.0)
        found = self.found
        bad = self._over(measurement, phases, Phase.FAILED, limit)
        stuck = self._over(measurement, phases, Phase.INCONCLUSIVE, metric.inconclusive_limit)
        if measurement.step >= 0:
            found.waiting[:] |= self.open & (phases == _CODES[Phase.INCONCLUSIVE]) & ~stuck
        self._end(measurement, bad, found.rolled_back, late_s)
        self._end(measurement, phases == _CODES[Phase.ERROR], found.rolled_back, late)
        self._end(measurement, stuck, found.paused, 0.0)

    def conclude(self, world: Samples, ended_s: float) -> Outcomes:
        """The outcomes, with the errors that users saw until each release's end."""
        end = np.where(np.isnan(self.found.ended_s), ended_s, self.found.ended_s)
        errors = np.sum([_errors_seen(turn, end) for turn in world.turns], axis=0)
        return replace(self.found, errors=errors)

    def _over(
        self, measurement: PlannedMeasurement, phases: Ints, phase: Phase, limit: int
    ) -> Bools:
        if limit < 0:
            return np.zeros_like(self.open)
        key = (measurement.run, f"{measurement.metric.name} {phase}")
        count = self.failed.setdefault(key, np.zeros(len(self.open), dtype=np.int64))
        count += phases == _CODES[phase]
        return count > limit

    def _end(self, measurement: PlannedMeasurement, now: Bools, into: Bools, late_s: float) -> None:
        ending = self.open & now
        into |= ending
        self.found.ended_s[ending] = measurement.at_s + late_s
        self.found.by[ending] = self.found.gates.index(measurement.metric.name)
        self.found.step[ending] = measurement.step
        self.open &= ~ending


def _errors_seen(world: Samples, end_s: Floats) -> Floats:
    """The errors that users met until each release's end."""
    passed = (end_s - world.start_s) / world.scrape_s
    slot = np.clip(passed.astype(int), 0, world.errors_seen.shape[1] - 1)
    each = np.arange(world.n)
    before = np.where(slot > 0, world.errors_seen[each, slot - 1], 0)
    # Of the slot in which it ended, the part that was over.
    part = np.clip(passed - slot, 0.0, 1.0)
    errors: Floats = before + part * (world.errors_seen[each, slot] - before)
    return errors


_CODES = {phase: code for code, phase in enumerate(Phase)}


def _phases(metric: Metric, value: Value) -> Ints:
    """The phase of every release's value, as codes.

    Conditions change only at the numbers they compare with, so each stretch between them is asked
    once, and the numbers themselves, instead of every value.
    """
    points, codes = _table(metric, scalar=value.scalar)
    place = sum(np.searchsorted(points, value.number, side) for side in ("left", "right")) - 1
    found: Ints = codes[np.where(value.present, place, -1)]
    return found


@cache
def _table(metric: Metric, *, scalar: bool) -> tuple[tuple[float, ...], Ints]:
    """The numbers at which a metric's phase may change, and the phases as codes.

    Those are of each number and of the stretch after it, by turns, and then of NaN and of nothing.
    """

    def code(*values: float) -> int:
        result = values[0] if scalar and values else values
        return _CODES[analysis.judge(metric, result)[0]]

    limits = threshold.breakpoints(metric) or (0.0,)
    between = ((low + high) / 2 for low, high in itertools.pairwise(limits))
    points = (-math.inf, *limits, math.inf)
    inside = (limits[0] - 1.0, *between, limits[-1] + 1.0)
    by_turns = itertools.chain.from_iterable(zip(points, inside, strict=False))
    return points, np.array([*map(code, (*by_turns, math.inf, math.nan)), code()])


def _if_empty(metric: Metric) -> str:
    """What a gate does where its series does not exist, which a reader should know first."""
    phase = threshold.phase_of(metric)
    if phase is Phase.ERROR:
        late_s = metric.consecutive_error_limit * ERROR_RETRY_S
        aborts = f"it aborts every release, {late_s:.0f} s after its measurement"
        return f"; if its series is missing {aborts}"
    return f"; if its series is missing its measurement is {phase}"
