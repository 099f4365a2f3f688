"""The step machine of a release: one pure reconcile of the Argo Rollouts controller.

Source: rollout/{canary,bluegreen,analysis,pause,sync}.go and utils/rollout/rolloututil.go @9f8d111.
A blueGreen takes the steps that `releases` makes of it. In each
reconcile, in this order: analysis runs are created and acted on, at most one ReplicaSet is scaled,
a pause is begun, and at most one step is completed. What a caller must keep: reconcile again after
each change, and hand over measurements with `record_measurements`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeGuard

from canary.argo import analysis, replicas, resolve, routing
from canary.argo.model import (
    NO_PODS,
    POST_PROMOTION,
    PRE_PROMOTION,
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
UNDONE_BY_HAND = "Undone by hand, unjudged: the Rollout is back at the template of stable"
PAUSED_BY_HAND = "Paused by hand, unjudged: nobody promotes it"

# What a blueGreen's runs are called, and what the controller says of them.
PLACES = {
    PRE_PROMOTION: ("pre", "Blue/green pre-promotion"),
    POST_PROMOTION: ("post", "Blue/green post-promotion"),
}

# The message of an abort that no analysis and no deadline caused; Argo has none.
BY_HAND = "by hand"


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
    """A Rollout's status, as far as a virtual rollout needs it.

    `progress` is what is compared from one reconcile to the next to see whether anything moved.
    Where a router shares the requests, `weight` is the canary's and `routes` the managed ones;
    `scale_down_at` is when the pods of the ReplicaSet that lost are taken away.
    `user_paused` and `promote_full` are what a person asked for; `undone` says that a person went
    back to the template of stable.
    """

    hashes: Hashes
    revision: int = 2  # the stable release is 1, and its successor the candidate
    step_index: int = 0
    pause_started_at: float | None = None
    paused_inconclusive: bool = False
    abort_message: str = ""
    timed_out: bool = False
    promoted: bool = False
    user_paused: bool = False
    promote_full: bool = False
    undone: bool = False
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


@dataclass(frozen=True)
class _Pods:
    """The pods of each ReplicaSet, as one reconcile finds them."""

    canary: ReplicaCounts
    stable: ReplicaCounts
    old: ReplicaCounts

    @property
    def available(self) -> int:
        return self.canary.available + self.stable.available


def begin(rollout: Rollout, hashes: Hashes, now: float) -> Status:
    """The status right after a new pod template was applied to a fully available Rollout."""
    progress = (0, rollout.replicas, rollout.replicas)
    return Status(hashes, last_progress_at=now, progress=progress)


def weight_in_force(rollout: Rollout, status: Status) -> int:
    """The nearest setWeight at or before the current step, in per cent."""
    if rollout.blue_green:
        return status.weight
    if status.abort_message:
        return 0
    if status.promoted:
        return 100
    return routing.step_weight(rollout, status.step_index) * 100 // rollout.max_weight


def reconcile(
    rollout: Rollout,
    status: Status,
    canary: ReplicaCounts,
    stable: ReplicaCounts,
    now: float,
    old: ReplicaCounts = NO_PODS,
) -> tuple[Status, tuple[Scale, ...]]:
    """One reconcile: the next status, and what to scale (at most one ReplicaSet).

    `old` are the pods of a release that `supersede` replaced.
    """
    pods = _Pods(canary, stable, old)
    status = _note_progress(rollout, status, pods, now)
    before = status.weight
    status = _route(rollout, status, pods)
    status = _reconcile_analysis(rollout, status, now)
    if status.paused_inconclusive:
        return _with_phase(rollout, status, pods), ()
    scales: tuple[Scale, ...] = ()
    if status.user_paused:
        pass
    elif rollout.routing is None:
        scales = _reconcile_replica_sets(rollout, status, pods)
    else:
        status, scales = _scale_routed(rollout, status, pods, before, now)
    if not scales:
        status = _begin_pause(rollout, status, now)
        status = _advance(rollout, status, pods, now)
    return _with_phase(rollout, status, pods), scales


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


def promote(rollout: Rollout, status: Status, now: float) -> Status:
    """What `kubectl argo rollouts promote` does: on to the next step.

    At a pause that is over that pause alone; a pause by hand is taken back, and the timed one it
    fell into begins anew. Elsewhere it passes what is under way, an analysis too.
    Source: `getPatches`, cmd/promote/promote.go of v1.9.1; seen there.
    """
    if status.promoted or status.abort_message or status.undone:
        return status
    if rollout.blue_green:
        return _promote_blue_green(rollout, status, now)
    paused = status.pause_started_at is not None
    if status.paused_inconclusive and _inconclusive(status.step_run):
        return replace(resume(status, now), user_paused=False)
    if status.paused_inconclusive:
        status = resume(status, now)
        if not paused:
            return replace(status, user_paused=False)
    elif status.user_paused and paused:
        return replace(status, user_paused=False, pause_started_at=None, last_progress_at=now)
    ended = (analysis.terminate(status.step_run, now),) if status.step_run else ()
    return replace(
        status,
        step_index=min(status.step_index + 1, len(rollout.steps)),
        pause_started_at=None,
        user_paused=False,
        step_run=None,
        finished_runs=(*status.finished_runs, *ended),
        last_progress_at=now,
    )


def _promote_blue_green(rollout: Rollout, status: Status, now: float) -> Status:
    """Takes pauses back, and no step: only the one without an end is over then.

    A timed one begins anew, and so does an analysis that was inconclusive.
    Source: `CompletedBlueGreenPause`, rollout/pause.go of v1.9.1; seen there.
    """
    step = _step(rollout, status)
    endless = isinstance(step, Pause) and (step.manual or step.duration_s is None)
    over = endless and status.pause_started_at is not None
    retired = status.current_runs if status.paused_inconclusive else ()
    return replace(
        status,
        step_index=status.step_index + over,
        pause_started_at=None,
        user_paused=False,
        paused_inconclusive=False,
        step_run=None if retired else status.step_run,
        finished_runs=(*status.finished_runs, *retired),
        last_progress_at=now,
    )


def promote_fully(rollout: Rollout, status: Status, now: float) -> Status:
    """What `promote --full` does: no step, no pause and no analysis any more, abort or not."""
    if status.promoted or status.undone:
        return status
    whole = _begun_anew(status, now)
    return replace(whole, promote_full=True, user_paused=False, step_index=len(rollout.steps))


def retry(status: Status, now: float) -> Status:
    """What `kubectl argo rollouts retry rollout` does to an aborted one: from the first step."""
    return _begun_anew(status, now) if status.abort_message else status


def undo(rollout: Rollout, status: Status, now: float) -> Status:
    """What `kubectl argo rollouts undo` does before the end: back on stable without a step."""
    if status.promoted:
        return status
    return replace(_begun_anew(status, now), undone=True, step_index=len(rollout.steps))


def pause(status: Status) -> Status:
    """What `kubectl argo rollouts pause` does: analyses go on, steps and scaling do not."""
    return replace(status, user_paused=True)


def supersede(status: Status, latest: str, now: float) -> Status:
    """What another pod template does before the end: its release begins at the first step.

    The runs of the one before end, and belong to nobody's verdict.
    """
    begun = _begun_anew(status, now)
    hashes = Hashes(latest, status.hashes.stable)
    return replace(begun, hashes=hashes, revision=status.revision + 1, finished_runs=())


def _begun_anew(status: Status, now: float) -> Status:
    """Source: `resetRolloutStatus`, rollout/sync.go."""
    return replace(
        _end_runs(status, now),
        step_index=0,
        pause_started_at=None,
        paused_inconclusive=False,
        abort_message="",
        timed_out=False,
        promote_full=False,
        scale_down_at=None,
        last_progress_at=now,
    )


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
    """How long a release that nobody stops can take: its waits, its measurements, its deadlines."""
    pauses = sum(s.duration_s or 0.0 for s in rollout.steps if isinstance(s, Pause))
    measurements_s = sum(
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
    return (
        pauses
        + measurements_s
        + (weights + 2) * (rollout.progress_deadline_s + rollout.min_ready_s)
    )


def unjudged(rollout: Rollout, status: Status) -> str:
    """How a release ended that a person ended and no gate; nothing for any other."""
    if status.undone:
        return UNDONE_BY_HAND
    if status.abort_message == BY_HAND:
        return ABORTED_BY_HAND
    if status.promoted and status.promote_full:
        return promoted_by_hand()
    if status.promoted and (steps := skipped(rollout, status.runs)):
        return promoted_by_hand(steps)
    return ""


def promoted_by_hand(steps: Sequence[int] = ()) -> str:
    """How a release ended that a person promoted past its gates."""
    why = "a full promotion skips what is left of the analysis"
    if steps:
        named = f"step{'s' * (len(steps) > 1)} {', '.join(map(str, steps))}"
        why = f"the analysis of {named} did not pass"
    return f"Promoted by hand, unjudged: {why}"


def needs_promotion(step: int) -> str:
    """How a rehearsal ends at a step that nobody promotes."""
    return f"Step {step} needs a manual promotion, unjudged beyond it (--promote never)"


def abort(status: Status, message: str, now: float) -> Status:
    """What `kubectl argo rollouts abort` does, and a failed analysis."""
    if status.promoted or status.undone:
        return status
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
    if status.promoted or status.abort_message or status.promote_full or status.undone:
        return _end_runs(status, now)
    status = _create_runs(rollout, status, now)
    step = _step(rollout, status)
    place = step.place if isinstance(step, Analysis) else ""
    inline = PLACES[place][1] if place else "Step-based"
    for run, words in ((status.step_run, inline), (status.background_run, "Background")):
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
        run = start_run(rollout.name, step, status.hashes, now, status.step_index, status.revision)
        status = replace(status, step_run=_named(run, status))
    background = rollout.background
    if (
        background
        and status.background_run is None
        and status.step_index >= background.starting_step
    ):
        run = start_run(rollout.name, background, status.hashes, now, revision=status.revision)
        status = replace(status, background_run=_named(run, status))
    return status


def start_run(
    rollout: str,
    what: Analysis,
    hashes: Hashes,
    now: float,
    step_index: int | None = None,
    revision: int = 2,
) -> AnalysisRun:
    """An AnalysisRun of the release with these hashes, under Argo's name for it."""
    suffix = PLACES[what.place][0] if what.place else step_index
    name = f"{rollout}-{hashes.latest}-{revision}" + ("" if suffix is None else f"-{suffix}")
    run = analysis.start(name, resolve.with_hashes(what, hashes), now)
    return replace(run, step_index=step_index)


def _named(run: AnalysisRun, status: Status) -> AnalysisRun:
    """A run that is made anew gets a number behind a dot (`CreateWithCollisionCounter`)."""
    before = sum(old.name.split(".")[0] == run.name for old in status.finished_runs)
    return replace(run, name=f"{run.name}.{before}") if before else run


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


def _route(rollout: Rollout, status: Status, pods: _Pods) -> Status:
    """The weight and the managed routes of this reconcile (`reconcileTrafficRouting`)."""
    if rollout.routing is None:
        return status
    over = status.promoted or status.abort_message or pods.canary.available == 0
    kept = () if over else status.routes
    return replace(
        status,
        weight=routing.weight(rollout, _position(status), pods.canary, pods.stable),
        routes=routing.routes(rollout, kept, _step(rollout, status)),
    )


def _scale_routed(
    rollout: Rollout, status: Status, pods: _Pods, weight_before: int, now: float
) -> tuple[Status, tuple[Scale, ...]]:
    """Stable follows the weight of the reconcile before, so that no pod goes before its requests.

    Source: `reconcileCanaryReplicaSets` and `reconcileNewReplicaSet`.
    """
    assert rollout.routing is not None  # noqa: S101 — only such a Rollout is scaled here
    if status.promoted:
        return _retire_routed(rollout, status, pods, now)
    at, canary, stable = _position(status), pods.canary, pods.stable
    _, want_stable = routing.counts(rollout, at, canary, stable, weight_before)
    if want_stable != stable.desired:
        return status, (Scale(ReplicaSetName.STABLE, want_stable),)
    want_canary, _ = routing.counts(rollout, at, canary, stable, status.weight)
    if status.abort_message and routing.delays_on_abort(rollout.routing):
        if stable.available == rollout.replicas:
            status = _begin_delay(status, rollout.routing.abort_scale_down_delay_s, now)
        if status.scale_down_at is None or now < status.scale_down_at:
            return status, ()
        want_canary = 0
    if want_canary != canary.desired:
        return status, (Scale(ReplicaSetName.LATEST, want_canary),)
    return status, ()


def _retire_routed(
    rollout: Rollout, status: Status, pods: _Pods, now: float
) -> tuple[Status, tuple[Scale, ...]]:
    """The old stable stays for its delay, then goes whole (`scaleDownOldReplicaSetsForCanary`)."""
    assert rollout.routing is not None  # noqa: S101 — only such a Rollout is scaled here
    if pods.canary.desired != rollout.replicas:
        return status, (Scale(ReplicaSetName.LATEST, rollout.replicas),)
    spare = rollout.blue_green or _spare(rollout, pods.available) > 0
    if pods.stable.desired == 0 or not spare:
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


def _reconcile_replica_sets(rollout: Rollout, status: Status, pods: _Pods) -> tuple[Scale, ...]:
    canary, stable = pods.canary, pods.stable
    latest = (ReplicaSetName.LATEST, canary)
    kept = (ReplicaSetName.STABLE, stable)
    if status.promoted or status.undone:
        new, leaving = (latest, kept) if status.promoted else (kept, latest)
        return _complete(rollout, *new, leaving[1]) or _retire(rollout, new[1].available, *leaving)
    weight = weight_in_force(rollout, status)
    want_canary, want_stable = replicas.scale(rollout, weight, canary, stable, pods.old)
    if want_stable != stable.desired:
        return (Scale(ReplicaSetName.STABLE, want_stable),)
    if want_canary != canary.desired:
        return (Scale(ReplicaSetName.LATEST, want_canary),)
    return _retire(rollout, pods.available, ReplicaSetName.OLD, pods.old)


def _complete(
    rollout: Rollout, name: ReplicaSetName, new: ReplicaCounts, leaving: ReplicaCounts
) -> tuple[Scale, ...]:
    """What stays gets all of the Rollout's pods, within the surge."""
    surge, _ = replicas.fenceposts(rollout.max_surge, rollout.max_unavailable, rollout.replicas)
    room = max(0, rollout.replicas + surge - new.desired - leaving.desired)
    wanted = min(rollout.replicas, new.desired + room)
    return (Scale(name, wanted),) if wanted != new.desired else ()


def _retire(
    rollout: Rollout, staying: int, name: ReplicaSetName, leaving: ReplicaCounts
) -> tuple[Scale, ...]:
    """What leaves goes as fast as the pods that stay allow, its broken pods at once.

    Source: `scaleDownOldReplicaSetsForCanary`, `cleanupUnhealthyReplicas`, rollout/canary.go.
    """
    healthy = min(leaving.desired, leaving.available)
    wanted = max(0, healthy - max(0, _spare(rollout, staying + healthy)))
    return (Scale(name, wanted),) if wanted != leaving.desired else ()


def _spare(rollout: Rollout, available: int) -> int:
    """How many available pods there are above the fewest allowed."""
    surge, unavailable = rollout.max_surge, rollout.max_unavailable
    least = rollout.replicas - replicas.fenceposts(surge, unavailable, rollout.replicas)[1]
    return available - least


# -------------------------------------------------------------------------------------- steps


def _begin_pause(rollout: Rollout, status: Status, now: float) -> Status:
    step = _step(rollout, status)
    if isinstance(step, Pause) and status.pause_started_at is None and not status.user_paused:
        return replace(status, pause_started_at=now)
    return status


def _advance(rollout: Rollout, status: Status, pods: _Pods, now: float) -> Status:
    """Completes at most one step, promotes, or gives up (`syncRolloutStatusCanary`)."""
    if status.promoted or status.abort_message or status.undone:
        return status
    if rollout.blue_green:
        there = status.weight == rollout.max_weight
    else:
        told = rollout.progress_threshold is not None
        enough = told and routing.enough(rollout, pods.canary, rollout.replicas)
        there = enough or pods.canary.available >= rollout.replicas
    if there and status.step_index >= len(rollout.steps):
        return replace(_end_runs(status, now), promoted=True, last_progress_at=now)
    if not status.user_paused and _completed(rollout, status, pods, now):
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


def _completed(rollout: Rollout, status: Status, pods: _Pods, now: float) -> bool:
    match _step(rollout, status):
        case SetWeight() | SetCanaryScale() if rollout.routing is not None:
            at = _position(status)
            return routing.at_desired(rollout, at, pods.canary, pods.stable, status.weight)
        case SetWeight(weight):
            return replicas.at_desired(rollout, weight, pods.canary, pods.stable, pods.old)
        case SetRoute():
            return True
        case Pause(duration_s=duration_s):
            began = status.pause_started_at
            return duration_s is not None and began is not None and now > began + duration_s
        case Analysis():
            return status.step_run is not None and status.step_run.phase is Phase.SUCCESSFUL
    return False


def _step(rollout: Rollout, status: Status) -> Step | None:
    """The current step; None past the last one, and once there is no step left to take."""
    if status.promoted or status.abort_message or status.step_index >= len(rollout.steps):
        return None
    return rollout.steps[status.step_index]


# ----------------------------------------------------------------------------------- progress


def _note_progress(rollout: Rollout, status: Status, pods: _Pods, now: float) -> Status:
    """Progress is a pod more of the new, a pod less of the old, or a pod more available.

    Time spent at a pause or an analysis does not count against the deadline.
    """
    canary, stable, available = pods.canary.current, pods.stable.current, pods.available
    updated, old, most_available = status.progress
    moved = canary != updated or stable < old or available > most_available
    step = _step(rollout, status)
    waiting = status.user_paused or isinstance(step, Pause | Analysis)
    if isinstance(step, Analysis) and step.place == PRE_PROMOTION:
        waiting = False  # it is neither a step nor a pause of the controller's
    return replace(
        status,
        progress=(canary, stable, available),
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


def _with_phase(rollout: Rollout, status: Status, pods: _Pods) -> Status:
    phase, message = _phase(rollout, status, pods)
    return replace(status, phase=phase, message=message)


def _phase(rollout: Rollout, status: Status, pods: _Pods) -> tuple[RolloutPhase, str]:
    """Phase and message as `CalculateRolloutPhase` words them."""
    if status.abort_message:
        words = f"RolloutAborted: Rollout aborted update to revision {status.revision}"
        reason = "" if status.abort_message == BY_HAND else f": {status.abort_message}"
        return RolloutPhase.DEGRADED, f"{words}{reason}"
    if status.timed_out:
        name = f"{rollout.name}-{status.hashes.latest}"
        words = f'ProgressDeadlineExceeded: ReplicaSet "{name}" has timed out progressing.'
        return RolloutPhase.DEGRADED, words
    if status.user_paused:
        return RolloutPhase.PAUSED, "manually paused"
    if status.paused_inconclusive:
        return RolloutPhase.PAUSED, "InconclusiveAnalysisRun"
    if status.pause_started_at is not None:
        return RolloutPhase.PAUSED, "BlueGreenPause" if rollout.blue_green else "CanaryPauseStep"
    return _progress(rollout, status, pods)


def _progress(rollout: Rollout, status: Status, pods: _Pods) -> tuple[RolloutPhase, str]:
    new, leaving = (pods.stable, pods.canary) if status.undone else (pods.canary, pods.stable)
    if new.current < rollout.replicas:
        return RolloutPhase.PROGRESSING, "more replicas need to be updated"
    if pods.available < new.current:
        return RolloutPhase.PROGRESSING, "updated replicas are still becoming available"
    if leaving.current and rollout.routing is None:
        return RolloutPhase.PROGRESSING, "old replicas are pending termination"
    if not (status.promoted or status.undone):
        return RolloutPhase.PROGRESSING, _waiting(rollout, status)
    return RolloutPhase.HEALTHY, ""


def _waiting(rollout: Rollout, status: Status) -> str:
    if not rollout.blue_green:
        return "waiting for all steps to complete"
    switched = status.weight == rollout.max_weight
    return "waiting for analysis to complete" if switched else "active service cutover pending"
