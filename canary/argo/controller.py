"""The step machine of a canary: one pure reconcile of the Argo Rollouts controller.

Source: rollout/{canary,analysis,pause,sync}.go and utils/rollout/rolloututil.go @9f8d111. In each
reconcile, in this order: analysis runs are created and acted on, at most one ReplicaSet is scaled,
a pause is begun, and at most one step is completed. What a caller must keep: reconcile again after
each change, and hand over measurements with `record_measurements`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeGuard

from canary.argo import analysis, replicas, resolve, routing
from canary.argo.model import (
    Analysis,
    AnalysisRun,
    Hashes,
    Measurement,
    Pause,
    Phase,
    ReplicaCounts,
    ReplicaSetName,
    Rollout,
    SetCanaryScale,
    SetRoute,
    SetWeight,
    Step,
)

ABORTED_BY_HAND = "Aborted by hand, unjudged: no gate had failed"

# The stable release is revision 1 and the candidate revision 2: a rehearsal knows no others.
REVISION = 2


class RolloutPhase(StrEnum):
    """A Rollout's phase (`CalculateRolloutPhase`)."""

    PROGRESSING = "Progressing"
    PAUSED = "Paused"
    DEGRADED = "Degraded"
    HEALTHY = "Healthy"


@dataclass(frozen=True)
class Scale:
    """Ask a ReplicaSet for a number of pods."""

    replica_set: ReplicaSetName
    replicas: int


@dataclass(frozen=True)
class Status:
    """A Rollout's status, as far as a walk needs it.

    `progress` is what is compared from one reconcile to the next to see whether anything moved.
    Where a router shares the requests, `weight` is the canary's and `routes` the managed ones;
    `scale_down_at` is when the pods of the ReplicaSet that lost are taken away.
    """

    hashes: Hashes
    step_index: int = 0
    pause_started_at: float | None = None
    paused_inconclusive: bool = False
    abort_message: str = ""
    timed_out: bool = False
    promoted: bool = False
    step_run: AnalysisRun | None = None
    background_run: AnalysisRun | None = None
    finished_runs: tuple[AnalysisRun, ...] = ()
    last_progress_at: float = 0.0
    progress: tuple[int, int, int] = (0, 0, 0)
    phase: RolloutPhase = RolloutPhase.PROGRESSING
    message: str = ""
    weight: int = 0
    routes: tuple[SetRoute, ...] = ()
    scale_down_at: float | None = None

    @property
    def current_runs(self) -> tuple[AnalysisRun, ...]:
        """Those that are under way."""
        return tuple(run for run in (self.step_run, self.background_run) if run is not None)

    @property
    def runs(self) -> tuple[AnalysisRun, ...]:
        """All of the release so far."""
        return (*self.finished_runs, *self.current_runs)


def begin(rollout: Rollout, hashes: Hashes, now: float) -> Status:
    """The status right after a new pod template was applied to a fully available Rollout."""
    progress = (0, rollout.replicas, rollout.replicas)
    return Status(hashes, last_progress_at=now, progress=progress)


def weight_in_force(rollout: Rollout, status: Status) -> int:
    """The nearest setWeight at or before the current step, in per cent."""
    if status.abort_message:
        return 0
    if status.promoted:
        return 100
    return routing.step_weight(rollout, status.step_index) * 100 // rollout.max_weight


def reconcile(
    rollout: Rollout, status: Status, canary: ReplicaCounts, stable: ReplicaCounts, now: float
) -> tuple[Status, tuple[Scale, ...]]:
    """One reconcile: the next status, and what to scale (at most one ReplicaSet)."""
    status = _note_progress(rollout, status, canary, stable, now)
    before = status.weight
    status = _route(rollout, status, canary, stable)
    status = _reconcile_analysis(rollout, status, now)
    if status.paused_inconclusive:
        return _with_phase(rollout, status, canary, stable), ()
    if rollout.routing is None:
        scales = _reconcile_replica_sets(rollout, status, canary, stable)
    else:
        status, scales = _scale_routed(rollout, status, canary, stable, before, now)
    if not scales:
        status = _begin_pause(rollout, status, now)
        status = _advance(rollout, status, canary, stable, now)
    return _with_phase(rollout, status, canary, stable), scales


def record_measurements(
    status: Status, run_name: str, taken: Mapping[str, Measurement], now: float
) -> Status:
    """Adds the measurements, by metric, that were taken together; then the run is assessed once.

    A run that is no longer current takes none.
    """
    if _takes(status.step_run, run_name):
        return replace(status, step_run=_with(status.step_run, taken, now))
    if _takes(status.background_run, run_name):
        return replace(status, background_run=_with(status.background_run, taken, now))
    return status


def resume(status: Status, now: float) -> Status:
    """What `kubectl argo rollouts promote` does to an inconclusive pause.

    An inline analysis that could not judge is passed over, and the next step begins; only a
    background one is made anew. Source: `getPatches`, cmd/promote/promote.go of v1.9.1; seen there.
    """
    runs = (status.step_run, status.background_run)
    retired = tuple(run for run in runs if run is not None and _inconclusive(run))
    passed_over = _inconclusive(status.step_run)
    return replace(
        status,
        step_index=status.step_index + passed_over,
        paused_inconclusive=False,
        step_run=None if passed_over else status.step_run,
        background_run=None if _inconclusive(status.background_run) else status.background_run,
        finished_runs=(*status.finished_runs, *retired),
        last_progress_at=now,
    )


def skipped(rollout: Rollout, runs: Iterable[AnalysisRun]) -> tuple[int, ...]:
    """The steps whose analysis did not pass, as where a person promotes past it."""
    passed = {r.step_index for r in runs if r.phase is Phase.SUCCESSFUL and not r.terminate}
    return tuple(
        index
        for index, step in enumerate(rollout.steps)
        if isinstance(step, Analysis) and index not in passed
    )


def longest_s(rollout: Rollout) -> float:
    """How long a release that nobody stops can take: its waits, its looks, its deadlines."""
    pauses = sum(s.duration_s or 0.0 for s in rollout.steps if isinstance(s, Pause))
    looks = sum(
        max(
            (
                metric.initial_delay_s
                + (metric.effective_count or 1) * (metric.interval_s or 0.0)
                + (metric.consecutive_error_limit + 1) * (analysis.ERROR_RETRY_S + metric.timeout_s)
                for metric in step.metrics
            ),
            default=0.0,
        )
        for step in rollout.steps
        if isinstance(step, Analysis)
    )
    weights = sum(isinstance(step, SetWeight) for step in rollout.steps)
    return pauses + looks + (weights + 2) * (rollout.progress_deadline_s + rollout.min_ready_s)


def promoted_by_hand(steps: Sequence[int] = ()) -> str:
    """How a release ended that a person promoted past its gates."""
    named = f"step{'s' * (len(steps) > 1)} {', '.join(map(str, steps))}"
    return "Promoted by hand, unjudged: " + (
        f"the analysis of {named} did not pass"
        if steps
        else "a full promotion skips what is left of the analysis"
    )


def needs_promotion(step: int) -> str:
    """How a rehearsal ends at a step that nobody promotes."""
    return f"Step {step} needs a manual promotion, unjudged beyond it (--promote never)"


def abort(status: Status, message: str, now: float) -> Status:
    """What `kubectl argo rollouts abort` does, and a failed analysis."""
    ended = _end_runs(status, now)
    return replace(
        ended,
        abort_message=message,
        step_index=0,
        pause_started_at=None,
        paused_inconclusive=False,
    )


# ----------------------------------------------------------------------------------- analysis


def _reconcile_analysis(rollout: Rollout, status: Status, now: float) -> Status:
    """Source: `reconcileAnalysisRuns`, rollout/analysis.go."""
    if status.promoted or status.abort_message:
        return _end_runs(status, now)
    status = _create_runs(rollout, status, now)
    for run, words in ((status.step_run, "Step-based"), (status.background_run, "Background")):
        if run is None:
            continue
        if run.phase in (Phase.FAILED, Phase.ERROR):
            reason = f": {run.message}" if run.message else ""
            return abort(status, f"{words} analysis phase error/failed{reason}", now)
        if run.phase is Phase.INCONCLUSIVE:
            status = replace(status, paused_inconclusive=True)
    return status


def _create_runs(rollout: Rollout, status: Status, now: float) -> Status:
    if status.paused_inconclusive:
        return status
    step = _step(rollout, status)
    if isinstance(step, Analysis) and status.step_run is None:
        run = start_run(rollout.name, step, status.hashes, now, status.step_index)
        status = replace(status, step_run=run)
    background = rollout.background
    if (
        background
        and status.background_run is None
        and status.step_index >= background.starting_step
    ):
        run = start_run(rollout.name, background, status.hashes, now)
        status = replace(status, background_run=run)
    return status


def start_run(
    rollout: str, what: Analysis, hashes: Hashes, now: float, step_index: int | None = None
) -> AnalysisRun:
    """An AnalysisRun of the release with these hashes, under Argo's name for it."""
    name = f"{rollout}-{hashes.latest}-{REVISION}"
    name += "" if step_index is None else f"-{step_index}"
    run = analysis.start(name, resolve.with_hashes(what, hashes), now)
    return replace(run, step_index=step_index)


def _end_runs(status: Status, now: float) -> Status:
    """Terminates what still runs and files it; a terminated run with nothing bad is Successful."""
    ended = tuple(analysis.terminate(run, now) for run in status.current_runs)
    return replace(
        status,
        step_run=None,
        background_run=None,
        finished_runs=(*status.finished_runs, *ended),
    )


def _takes(run: AnalysisRun | None, name: str) -> TypeGuard[AnalysisRun]:
    return run is not None and run.name == name and not run.phase.completed


def _with(run: AnalysisRun, taken: Mapping[str, Measurement], now: float) -> AnalysisRun:
    for metric_name, measurement in taken.items():
        run = analysis.record(run, metric_name, measurement)
    return analysis.assess(run, now)


def _inconclusive(run: AnalysisRun | None) -> bool:
    return run is not None and run.phase is Phase.INCONCLUSIVE


# ------------------------------------------------------------------------------------ routing


def _position(status: Status) -> routing.Position:
    return routing.Position(
        status.step_index, status.weight, bool(status.abort_message), status.promoted
    )


def _route(
    rollout: Rollout, status: Status, canary: ReplicaCounts, stable: ReplicaCounts
) -> Status:
    """The weight and the managed routes of this reconcile (`reconcileTrafficRouting`)."""
    if rollout.routing is None:
        return status
    over = status.promoted or status.abort_message or canary.available == 0
    kept = () if over else status.routes
    return replace(
        status,
        weight=routing.weight(rollout, _position(status), canary, stable),
        routes=routing.routes(rollout, kept, _step(rollout, status)),
    )


def _scale_routed(
    rollout: Rollout,
    status: Status,
    canary: ReplicaCounts,
    stable: ReplicaCounts,
    weight_before: int,
    now: float,
) -> tuple[Status, tuple[Scale, ...]]:
    """Stable follows the weight of the reconcile before, so that no pod goes before its requests.

    Source: `reconcileCanaryReplicaSets` and `reconcileNewReplicaSet`.
    """
    assert rollout.routing is not None  # noqa: S101 — only such a Rollout is scaled here
    if status.promoted:
        return _retire_routed(rollout, status, canary, stable, now)
    at = _position(status)
    _, want_stable = routing.counts(rollout, at, canary, stable, weight_before)
    if want_stable != stable.desired:
        return status, (Scale(ReplicaSetName.STABLE, want_stable),)
    want_canary, _ = routing.counts(rollout, at, canary, stable, status.weight)
    if status.abort_message and routing.delays_on_abort(rollout.routing):
        status = (
            _begin_delay(status, rollout.routing.abort_scale_down_delay_s, now)
            if (stable.available == rollout.replicas)
            else status
        )
        if status.scale_down_at is None or now < status.scale_down_at:
            return status, ()
        want_canary = 0
    if want_canary != canary.desired:
        return status, (Scale(ReplicaSetName.LATEST, want_canary),)
    return status, ()


def _retire_routed(
    rollout: Rollout, status: Status, canary: ReplicaCounts, stable: ReplicaCounts, now: float
) -> tuple[Status, tuple[Scale, ...]]:
    """The old stable stays for its delay, then goes whole (`scaleDownOldReplicaSetsForCanary`)."""
    assert rollout.routing is not None  # noqa: S101 — only such a Rollout is scaled here
    if canary.desired != rollout.replicas:
        return status, (Scale(ReplicaSetName.LATEST, rollout.replicas),)
    if stable.desired == 0 or _spare(rollout, canary, stable) <= 0:
        return status, ()
    if not rollout.routing.dynamic_stable_scale:
        status = _begin_delay(status, rollout.routing.scale_down_delay_s, now)
        if status.scale_down_at is None or now < status.scale_down_at:
            return status, ()
    return status, (Scale(ReplicaSetName.STABLE, 0),)


def _begin_delay(status: Status, delay_s: float | None, now: float) -> Status:
    """Sets the deadline of the pods that go, once."""
    if delay_s is None or status.scale_down_at is not None:
        return status
    return replace(status, scale_down_at=now + delay_s)


# ------------------------------------------------------------------------------------ scaling


def _reconcile_replica_sets(
    rollout: Rollout, status: Status, canary: ReplicaCounts, stable: ReplicaCounts
) -> tuple[Scale, ...]:
    if status.promoted:
        return _retire(rollout, canary, stable)
    weight = weight_in_force(rollout, status)
    want_canary, want_stable = replicas.scale(rollout, weight, canary, stable)
    if want_stable != stable.desired:
        return (Scale(ReplicaSetName.STABLE, want_stable),)
    if want_canary != canary.desired:
        return (Scale(ReplicaSetName.LATEST, want_canary),)
    return ()


def _retire(rollout: Rollout, canary: ReplicaCounts, stable: ReplicaCounts) -> tuple[Scale, ...]:
    """The old stable goes as fast as availability allows (`scaleDownOldReplicaSetsForCanary`)."""
    if canary.desired != rollout.replicas:
        return (Scale(ReplicaSetName.LATEST, rollout.replicas),)
    spare = _spare(rollout, canary, stable)
    if stable.desired == 0 or spare <= 0:
        return ()
    return (Scale(ReplicaSetName.STABLE, max(0, stable.desired - spare)),)


def _spare(rollout: Rollout, canary: ReplicaCounts, stable: ReplicaCounts) -> int:
    """How many available pods there are above the fewest allowed."""
    surge, unavailable = rollout.max_surge, rollout.max_unavailable
    least = rollout.replicas - replicas.fenceposts(surge, unavailable, rollout.replicas)[1]
    return canary.available + stable.available - least


# -------------------------------------------------------------------------------------- steps


def _begin_pause(rollout: Rollout, status: Status, now: float) -> Status:
    step = _step(rollout, status)
    if isinstance(step, Pause) and status.pause_started_at is None:
        return replace(status, pause_started_at=now)
    return status


def _advance(
    rollout: Rollout, status: Status, canary: ReplicaCounts, stable: ReplicaCounts, now: float
) -> Status:
    """Completes at most one step, promotes, or gives up (`syncRolloutStatusCanary`)."""
    if status.promoted or status.abort_message:
        return status
    all_steps_done = status.step_index >= len(rollout.steps)
    there = canary.available >= rollout.replicas or (
        rollout.progress_threshold is not None and routing.enough(rollout, canary, rollout.replicas)
    )
    if all_steps_done and there:
        return replace(_end_runs(status, now), promoted=True, last_progress_at=now)
    if _completed(rollout, status, canary, stable, now):
        finished = (status.step_run,) if status.step_run is not None else ()
        return replace(
            status,
            step_index=status.step_index + 1,
            pause_started_at=None,
            step_run=None,
            finished_runs=(*status.finished_runs, *finished),
            last_progress_at=now,
        )
    return _check_deadline(rollout, status, now)


def _completed(
    rollout: Rollout, status: Status, canary: ReplicaCounts, stable: ReplicaCounts, now: float
) -> bool:
    match _step(rollout, status):
        case SetWeight() | SetCanaryScale() if rollout.routing is not None:
            at = _position(status)
            return routing.at_desired(rollout, at, canary, stable, status.weight)
        case SetWeight(weight):
            return replicas.at_desired(rollout, weight, canary, stable)
        case SetRoute():
            return True
        case Pause(duration_s=duration_s):
            began = status.pause_started_at
            return duration_s is not None and began is not None and now > began + duration_s
        case Analysis():
            return status.step_run is not None and status.step_run.phase is Phase.SUCCESSFUL
    return False


def _step(rollout: Rollout, status: Status) -> Step | None:
    """The current step; None past the last one, and once there is nothing more to walk."""
    if status.promoted or status.abort_message or status.step_index >= len(rollout.steps):
        return None
    return rollout.steps[status.step_index]


# ----------------------------------------------------------------------------------- progress


def _note_progress(
    rollout: Rollout, status: Status, canary: ReplicaCounts, stable: ReplicaCounts, now: float
) -> Status:
    """Progress is a pod more of the new, a pod less of the old, or a pod more available.

    Time spent at a pause or an analysis does not count against the deadline.
    """
    available = canary.available + stable.available
    updated, old, most_available = status.progress
    moved = canary.current != updated or stable.current < old or available > most_available
    waiting = isinstance(_step(rollout, status), Pause | Analysis)
    return replace(
        status,
        progress=(canary.current, stable.current, available),
        last_progress_at=now if moved or waiting else status.last_progress_at,
    )


def _check_deadline(rollout: Rollout, status: Status, now: float) -> Status:
    """Source: `evaluateProgressDeadlineAbort`, rollout/sync.go."""
    if now <= status.last_progress_at + rollout.progress_deadline_s:
        return status
    message = f'ReplicaSet "{rollout.name}-{status.hashes.latest}" has timed out progressing.'
    if rollout.progress_deadline_abort:
        return abort(status, message, now)
    return replace(status, timed_out=True)


def _with_phase(
    rollout: Rollout, status: Status, canary: ReplicaCounts, stable: ReplicaCounts
) -> Status:
    phase, message = _phase(rollout, status, canary, stable)
    return replace(status, phase=phase, message=message)


def _phase(
    rollout: Rollout, status: Status, canary: ReplicaCounts, stable: ReplicaCounts
) -> tuple[RolloutPhase, str]:
    """Phase and message as `CalculateRolloutPhase` words them."""
    if status.abort_message:
        words = f"RolloutAborted: Rollout aborted update to revision {REVISION}"
        return RolloutPhase.DEGRADED, f"{words}: {status.abort_message}"
    if status.timed_out:
        name = f"{rollout.name}-{status.hashes.latest}"
        words = f'ProgressDeadlineExceeded: ReplicaSet "{name}" has timed out progressing.'
        return RolloutPhase.DEGRADED, words
    if status.paused_inconclusive:
        return RolloutPhase.PAUSED, "InconclusiveAnalysisRun"
    if status.pause_started_at is not None:
        return RolloutPhase.PAUSED, "CanaryPauseStep"
    if canary.current < rollout.replicas:
        return RolloutPhase.PROGRESSING, "more replicas need to be updated"
    if canary.available + stable.available < canary.current:
        return RolloutPhase.PROGRESSING, "updated replicas are still becoming available"
    if stable.current and rollout.routing is None:
        return RolloutPhase.PROGRESSING, "old replicas are pending termination"
    if not status.promoted:
        return RolloutPhase.PROGRESSING, "waiting for all steps to complete"
    return RolloutPhase.HEALTHY, ""
