"""A virtual rollout: a release taken through its steps by our own step machine, without waiting.

Pods become ready after a latency that the caller draws; everything else is `controller.reconcile`,
so measurements happen when the real controller would have them. `measure` answers each query; a
virtual rollout with `always_passing` shows the whole way of a healthy release, and its pods are
what is synthesised.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from canary.argo import analysis, controller, events
from canary.argo.controller import RolloutPhase, Status
from canary.argo.events import Event, Kind, Schedule
from canary.argo.model import (
    AnalysisRun,
    Hashes,
    Measurement,
    Metric,
    Phase,
    ReplicaCounts,
    ReplicaSetName,
    Rollout,
)

# The controller reconciles on every change, and when a measurement is due; in between, once a
# second is soon enough to see time.
TICK_S = 1.0

# How long a query takes, so that a retry's clock starts as late as in the controller.
QUERY_S = 0.05

# How long a pod that is taken away still answers.
DRAIN_S = 10.0

Measure = Callable[[Metric, float], Measurement]


@dataclass
class PodLifetime:
    """One pod: created, ready and gone, in seconds of the release; None is not yet."""

    name: str
    canary: bool
    created_s: float
    ready_s: float
    gone_s: float | None = None


@dataclass(frozen=True)
class VirtualRollout:
    """What came of a release."""

    outcome: str
    ended_s: float
    step: int
    message: str
    runs: tuple[AnalysisRun, ...]
    pods: tuple[PodLifetime, ...]
    weights: tuple[tuple[float, int], ...]

    @property
    def tripped(self) -> tuple[str, ...]:
        """The metrics that went bad, in the order of their runs."""
        bad = (Phase.FAILED, Phase.ERROR, Phase.INCONCLUSIVE)
        return tuple(
            result.name
            for run in self.runs
            for result in run.results.values()
            if result.phase in bad and not result.dry_run
        )


PROMOTED, ROLLED_BACK, PAUSED, STUCK = "promoted", "rolled back", "paused", "stuck"
UNDONE = "undone"


def always_passing(_metric: Metric, now: float) -> Measurement:
    """Every measurement passes."""
    return Measurement(Phase.SUCCESSFUL, now, now + QUERY_S)


def _unanswered(_metric: Metric, now: float) -> Measurement:
    return Measurement(Phase.ERROR, now, now + QUERY_S, message="no response")


@dataclass
class _Cluster:
    """Pods of three ReplicaSets that do what they are asked, after their latency."""

    rollout: Rollout
    latency: Callable[[], float]
    monitored: bool = True
    pods: list[PodLifetime] = field(default_factory=list)
    sets: dict[ReplicaSetName, list[PodLifetime]] = field(default_factory=lambda: defaultdict(list))
    desired: Counter[ReplicaSetName] = field(default_factory=Counter)

    def scale(
        self, name: ReplicaSetName, replicas: int, now: float, *, ready: bool = False
    ) -> None:
        alive = self._alive(name)
        self.desired[name] = replicas
        for _ in range(replicas - len(alive)):
            canary = name is ReplicaSetName.LATEST
            called = f"{'canary' if canary else 'stable'}-{len(self.pods)}"
            pod = PodLifetime(called, canary, now, now if ready else now + self.latency())
            self.pods.append(pod)
            self.sets[name].append(pod)
        worth = sorted(alive, key=lambda pod: (pod.ready_s <= now, -pod.created_s))
        for pod in worth[: max(0, len(alive) - replicas)]:
            pod.gone_s = now + (DRAIN_S if pod.ready_s <= now else 0.0)

    def lose(self, count: float, now: float) -> None:
        """Canary pods are gone from one moment to the next, and others are started for them."""
        lost = self._alive(ReplicaSetName.LATEST)
        for pod in lost[: int(min(count, len(lost)))]:
            pod.gone_s = now
        self.scale(ReplicaSetName.LATEST, self.desired[ReplicaSetName.LATEST], now)

    def supersede(self) -> None:
        """The canary is an old ReplicaSet from now on, and another release's has no pods yet."""
        latest, old = ReplicaSetName.LATEST, ReplicaSetName.OLD
        self.sets[old] += self.sets[latest]
        self.desired[old] += self.desired[latest]
        self.sets[latest], self.desired[latest] = [], 0

    def counts(self, name: ReplicaSetName, now: float) -> ReplicaCounts:
        alive = self._alive(name)
        settled = now - self.rollout.min_ready_s
        available = sum(pod.ready_s <= settled for pod in alive)
        return ReplicaCounts(self.desired[name], len(alive), available)

    def _alive(self, name: ReplicaSetName) -> list[PodLifetime]:
        return [pod for pod in self.sets[name] if pod.gone_s is None]


def roll_out(
    rollout: Rollout,
    hashes: Hashes,
    measure: Measure,
    latency: Callable[[], float],
    *,
    happening: Iterable[Event] = (),
) -> VirtualRollout:
    """Takes a release from a fully available stable one to its end.

    One that has not ended after as long as its own waits last, or an hour, is `stuck`.

    Args:
        rollout: What to release, at real durations.
        hashes: The pod-template hashes that the queries are resolved with.
        measure: Answers a metric's query at an instant of the release.
        latency: Seconds from a pod's creation to its readiness, drawn for each pod.
        happening: Events beside it. What traffic makes of a measurement is `measure`'s business.
    """
    cluster = _Cluster(rollout, latency)
    cluster.scale(ReplicaSetName.STABLE, rollout.replicas, 0.0, ready=True)
    status = controller.begin(rollout, hashes, 0.0)
    schedule = Schedule(list(happening))
    weights: list[tuple[float, int]] = []
    now = 0.0
    limit_s = max(3600.0, controller.longest_s(rollout))
    while now < limit_s:
        for event in schedule.due(status.step_index, now):
            status = _happen(event, status, cluster, now)
        status = _settle(cluster.rollout, status, cluster, now)
        weight = controller.weight_in_force(cluster.rollout, status)
        if not weights or weights[-1][1] != weight:
            weights.append((now, weight))
        outcome = _outcome(status)
        if outcome and not schedule.imminent:
            break
        measured = _measure(status, measure if cluster.monitored else _unanswered, now)
        status = measured or status
        now = now + QUERY_S if measured else _next(status, now)
    else:
        outcome = STUCK
    return VirtualRollout(
        outcome=outcome,
        ended_s=now,
        step=_step_of(status),
        message=status.abort_message or status.message,
        runs=status.runs,
        pods=tuple(cluster.pods),
        weights=tuple(weights),
    )


def _happen(event: Event, status: Status, cluster: _Cluster, now: float) -> Status:
    """What an event makes of the cluster, and of the status."""
    match event.kind:
        case Kind.PROMETHEUS:
            cluster.monitored = event.value == "start"
        case Kind.REPLICAS:
            cluster.rollout = replace(cluster.rollout, replicas=int(event.number))
        case Kind.LOSE:
            cluster.lose(event.number, now)
        case Kind.RELEASE:
            cluster.supersede()
            return controller.supersede(status, f"{status.hashes.latest}-again", now)
    return events.act(cluster.rollout, status, event, now)


def _settle(rollout: Rollout, status: Status, cluster: _Cluster, now: float) -> Status:
    """Reconciles until nothing changes at this instant; each reconcile scales at most one set."""
    for _ in range(64):
        canary, stable, old = (cluster.counts(name, now) for name in ReplicaSetName)
        after, scales = controller.reconcile(rollout, status, canary, stable, now, old)
        for scale in scales:
            cluster.scale(scale.replica_set, scale.replicas, now)
        if not scales and after == replace(status, last_progress_at=after.last_progress_at):
            return after
        status = after
    return status


def _measure(status: Status, measure: Measure, now: float) -> Status | None:
    """Takes every measurement that is due; None if none is."""
    taken_any = None
    for run in status.current_runs:
        if due := analysis.due(run, now):
            taken = {metric.name: measure(metric, now) for metric in due}
            status = controller.record_measurements(status, run.name, taken, now)
            taken_any = status
    return taken_any


def _next(status: Status, now: float) -> float:
    """The next instant: a second later, or when a measurement is due before."""
    due = (analysis.next_due(run) for run in status.current_runs)
    return min([now + TICK_S, *(at for at in due if at is not None and at > now)])


def _outcome(status: Status) -> str:
    if status.promoted:
        return PROMOTED
    if status.abort_message:
        return ROLLED_BACK
    if status.undone and status.phase is RolloutPhase.HEALTHY:
        return UNDONE
    return PAUSED if status.paused_inconclusive else ""


def _step_of(status: Status) -> int:
    """The step that a release ended at (−1: the background); an abort has set the index back."""
    if not status.abort_message:
        return status.step_index
    bad = [run.step_index for run in status.runs if run.phase in (Phase.FAILED, Phase.ERROR)]
    return -1 if not bad or bad[-1] is None else bad[-1]


def follow(
    run: AnalysisRun, measure: Measure, until_s: float, *, last_s: float | None = None
) -> AnalysisRun:
    """One AnalysisRun by itself: each measurement when it is due, to its end or to an instant.

    Whatever goes on by then, and was measured before, is measured once more at `last_s`, if given.
    """
    while (due_at := analysis.next_due(run)) is not None and due_at <= until_s:
        now = max(due_at, run.started_at)
        for metric in analysis.due(run, now):
            run = analysis.record(run, metric.name, measure(metric, now))
        run = analysis.assess(run, now)
    if last_s is not None:
        for metric in analysis.due(run, math.inf):
            if metric.name in run.results:
                run = analysis.record(run, metric.name, measure(metric, last_s))
        run = analysis.assess(run, until_s)
    return run if run.phase.completed else analysis.terminate(run, until_s)


def measurements(virtual_run: VirtualRollout) -> Iterator[tuple[float, AnalysisRun, str]]:
    """(instant, run, metric name) of every measurement taken, in order of time."""
    taken = (
        (measurement.started_at, run, result.name)
        for run in virtual_run.runs
        for result in run.results.values()
        for measurement in result.measurements
    )
    return iter(sorted(taken, key=lambda taking: taking[0]))
