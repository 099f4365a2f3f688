"""The step machine, walked on a simulated clock with pods that are ready at once.

Expected sequences are those seen on the real controller v1.9.1 (10 replicas, default surge).
"""

from dataclasses import replace

import pytest

from canary.argo import analysis, controller
from canary.argo.controller import (
    RolloutPhase,
    begin,
    reconcile,
    record_measurements,
    resume,
)
from canary.argo.model import (
    Analysis,
    Hashes,
    Measurement,
    Metric,
    Pause,
    Phase,
    ReplicaCounts,
    ReplicaSetName,
    Rollout,
    SetWeight,
)

GATE = Metric("gate", 'x{hash="{{args.hash}}"}', success_condition="result[0] < 1")
GUARD = replace(GATE, name="guard", interval_s=20)
INLINE = Analysis(("gates",), (GATE,), {"hash": ReplicaSetName.LATEST})
STEPS = (
    *(SetWeight(10), Pause(60), INLINE),
    *(SetWeight(25), Pause(120), INLINE),
    *(SetWeight(50), Pause(180), INLINE),
)
BACKGROUND = Analysis(("gates",), (GUARD,), {"hash": ReplicaSetName.LATEST}, starting_step=6)
ROLLOUT = Rollout(
    "gridos", "n", 10, STEPS, BACKGROUND, progress_deadline_s=120, progress_deadline_abort=True
)

FORWARD = [(0, 10), (0, 9), (1, 9), (1, 8), (3, 8), (3, 5), (5, 5), (5, 3), (10, 3), (10, 0)]


class Walk:
    """One walk: `phase_of(run_name)` is what each look finds, `available` what pods become."""

    def __init__(self, rollout=ROLLOUT, phase_of=lambda _: Phase.SUCCESSFUL, canary_ready=True):
        self.rollout, self.phase_of, self.canary_ready = rollout, phase_of, canary_ready
        self.status = begin(rollout, Hashes("new", "old"), 0.0)
        self.canary, self.stable, self.now = 0, rollout.replicas, 0.0
        self.sequence, self.steps = [(0, rollout.replicas)], [(0.0, 0)]

    def tick(self):
        canary = ReplicaCounts(self.canary, self.canary, self.canary if self.canary_ready else 0)
        stable = ReplicaCounts(self.stable, self.stable, self.stable)
        index = self.status.step_index
        self.status, scales = reconcile(self.rollout, self.status, canary, stable, self.now)
        assert len(scales) <= 1
        for scale in scales:
            latest = scale.replica_set is ReplicaSetName.LATEST
            self.canary, self.stable = (
                (scale.replicas, self.stable) if latest else (self.canary, scale.replicas)
            )
            self.sequence.append((self.canary, self.stable))
        if self.status.step_index != index:
            self.steps.append((self.now, self.status.step_index))
        for run in (self.status.step_run, self.status.background_run):
            if run is not None:
                self.look(run)
        self.now += 1.0

    def look(self, run):
        due = analysis.due(run, self.now)
        taken = {m.name: Measurement(self.phase_of(run.name), self.now, self.now) for m in due}
        if taken:
            self.status = record_measurements(self.status, run.name, taken, self.now)

    def until(self, over, most=1000):
        for _ in range(most):
            self.tick()
            if over(self):
                return self
        raise AssertionError(f"not over after {most} ticks: {self.status}")


def promoted(walk):
    return walk.status.promoted and walk.stable == 0


def withdrawn(walk):
    return walk.status.abort_message and walk.canary == 0 and walk.stable == 10


def test_a_healthy_release_scales_as_the_real_controller_does():
    walk = Walk().until(promoted)
    assert walk.sequence == FORWARD
    assert (walk.status.phase, walk.status.message) != (RolloutPhase.DEGRADED, "")
    walk.tick()
    assert walk.status.phase is RolloutPhase.HEALTHY


def test_the_pauses_last_what_they_say_and_start_after_readiness():
    walk = Walk().until(promoted)
    entered = {index: at for at, index in walk.steps}
    assert entered[2] - entered[1] == pytest.approx(60, abs=3)
    assert entered[5] - entered[4] == pytest.approx(120, abs=3)
    late = Walk(canary_ready=False)
    for _ in range(50):
        late.tick()
    late.canary_ready = True
    late.until(lambda walk: walk.status.step_index == 2)
    assert late.now > 110


def test_a_gate_that_fails_at_the_last_step_withdraws_the_canary_as_seen_on_the_real_controller():
    walk = Walk(phase_of=lambda run: Phase.FAILED if run.endswith("-8") else Phase.SUCCESSFUL)
    walk.until(withdrawn)
    assert walk.sequence[-3:] == [(5, 8), (0, 8), (0, 10)]
    assert walk.status.phase is RolloutPhase.DEGRADED
    assert walk.status.message == (
        "RolloutAborted: Rollout aborted update to revision 2: Step-based analysis phase "
        'error/failed: Metric "gate" assessed Failed due to failed (1) > failureLimit (0)'
    )


def test_five_errors_abort_as_a_failure_does():
    walk = Walk(phase_of=lambda run: Phase.ERROR).until(withdrawn)
    assert "consecutiveErrors (5) > consecutiveErrorLimit (4)" in walk.status.abort_message


def test_the_background_guard_starts_at_its_step_and_covers_the_final_scale_up():
    walk = Walk().until(lambda walk: walk.status.background_run is not None)
    assert walk.status.step_index == 6
    walk.until(lambda walk: walk.status.step_index == len(STEPS))
    assert walk.status.background_run is not None
    walk.until(promoted)
    assert walk.status.background_run is None
    ended = walk.status.finished_runs[-1]
    assert (ended.name, ended.phase) == ("gridos-new-2", Phase.SUCCESSFUL)


def test_a_background_guard_that_fails_aborts_in_the_middle_of_a_pause():
    walk = Walk(phase_of=lambda run: Phase.FAILED if run == "gridos-new-2" else Phase.SUCCESSFUL)
    walk.until(withdrawn)
    assert walk.status.abort_message.startswith("Background analysis phase error/failed: ")


def test_an_inconclusive_look_pauses_and_halts_scaling_until_a_person_resumes():
    walk = Walk(phase_of=lambda run: Phase.INCONCLUSIVE)
    walk.until(lambda walk: walk.status.paused_inconclusive)
    assert (walk.status.phase, walk.status.message) == (
        RolloutPhase.PAUSED,
        "InconclusiveAnalysisRun",
    )
    before = list(walk.sequence)
    for _ in range(500):
        walk.tick()
    assert walk.sequence == before
    walk.phase_of = lambda run: Phase.SUCCESSFUL
    index = walk.status.step_index
    walk.status = resume(walk.status, walk.now)
    assert walk.status.step_index == index + 1, "the step that could not judge is passed over"
    walk.until(promoted)
    assert walk.sequence == FORWARD


def test_without_an_inline_analysis_after_the_last_weight_a_hundred_per_cent_is_unguarded():
    rollout = replace(ROLLOUT, steps=(SetWeight(50), Pause(5)), background=None)
    walk = Walk(rollout, phase_of=lambda run: Phase.FAILED).until(promoted)
    assert walk.status.finished_runs == ()


def test_a_canary_that_never_becomes_ready_aborts_at_the_progress_deadline():
    walk = Walk(canary_ready=False).until(withdrawn)
    assert walk.status.abort_message == 'ReplicaSet "gridos-new" has timed out progressing.'
    assert walk.now == pytest.approx(120, abs=6)


def test_without_progress_deadline_abort_the_broken_canary_is_left_in_place():
    rollout = replace(ROLLOUT, progress_deadline_abort=False)
    walk = Walk(rollout, canary_ready=False).until(lambda walk: walk.status.timed_out)
    assert walk.status.phase is RolloutPhase.DEGRADED
    assert walk.status.message.startswith("ProgressDeadlineExceeded: ")
    assert walk.canary == 1


def test_a_pause_longer_than_the_deadline_is_not_a_lack_of_progress():
    rollout = replace(ROLLOUT, progress_deadline_s=10)
    Walk(rollout).until(promoted)


def test_a_measurement_for_a_run_that_is_over_changes_nothing():
    status = begin(ROLLOUT, Hashes("new", "old"), 0.0)
    taken = {"gate": Measurement(Phase.FAILED, 0, 0)}
    assert record_measurements(status, "gridos-new-2-2", taken, 0.0) == status


def test_a_person_can_abort_at_any_time():
    walk = Walk().until(lambda walk: walk.status.step_index == 4)
    walk.status = controller.abort(walk.status, "by hand", walk.now)
    walk.until(withdrawn)
    # As seen on v1.9.1: there is no reason behind it.
    assert walk.status.message == "RolloutAborted: Rollout aborted update to revision 2"


def test_the_canarys_hash_is_filled_into_each_query():
    walk = Walk().until(lambda walk: walk.status.step_run is not None)
    assert walk.status.step_run.metrics[0].query == 'x{hash="new"}'
