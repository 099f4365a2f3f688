"""The step machine, on a simulated clock with pods that are ready at once.

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


class Driver:
    """One release: `phase_of(run_name)` is what each measurement finds, `available` what pods become."""

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
                self.measure(run)
        self.now += 1.0

    def measure(self, run):
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


def promoted(driver):
    return driver.status.promoted and driver.stable == 0


def withdrawn(driver):
    return driver.status.abort_message and driver.canary == 0 and driver.stable == 10


def test_a_healthy_release_scales_as_the_real_controller_does():
    driver = Driver().until(promoted)
    assert driver.sequence == FORWARD
    assert (driver.status.phase, driver.status.message) != (RolloutPhase.DEGRADED, "")
    driver.tick()
    assert driver.status.phase is RolloutPhase.HEALTHY


def test_the_pauses_last_what_they_say_and_start_after_readiness():
    driver = Driver().until(promoted)
    entered = {index: at for at, index in driver.steps}
    assert entered[2] - entered[1] == pytest.approx(60, abs=3)
    assert entered[5] - entered[4] == pytest.approx(120, abs=3)
    late = Driver(canary_ready=False)
    for _ in range(50):
        late.tick()
    late.canary_ready = True
    late.until(lambda driver: driver.status.step_index == 2)
    assert late.now > 110


def test_a_gate_that_fails_at_the_last_step_withdraws_the_canary_as_seen_on_the_real_controller():
    driver = Driver(phase_of=lambda run: Phase.FAILED if run.endswith("-8") else Phase.SUCCESSFUL)
    driver.until(withdrawn)
    assert driver.sequence[-3:] == [(5, 8), (0, 8), (0, 10)]
    assert driver.status.phase is RolloutPhase.DEGRADED
    assert driver.status.message == (
        "RolloutAborted: Rollout aborted update to revision 2: Step-based analysis phase "
        'error/failed: Metric "gate" assessed Failed due to failed (1) > failureLimit (0)'
    )


def test_five_errors_abort_as_a_failure_does():
    driver = Driver(phase_of=lambda run: Phase.ERROR).until(withdrawn)
    assert "consecutiveErrors (5) > consecutiveErrorLimit (4)" in driver.status.abort_message


def test_the_background_guard_starts_at_its_step_and_covers_the_final_scale_up():
    driver = Driver().until(lambda driver: driver.status.background_run is not None)
    assert driver.status.step_index == 6
    driver.until(lambda driver: driver.status.step_index == len(STEPS))
    assert driver.status.background_run is not None
    driver.until(promoted)
    assert driver.status.background_run is None
    ended = driver.status.finished_runs[-1]
    assert (ended.name, ended.phase) == ("gridos-new-2", Phase.SUCCESSFUL)


def test_a_background_guard_that_fails_aborts_in_the_middle_of_a_pause():
    driver = Driver(
        phase_of=lambda run: Phase.FAILED if run == "gridos-new-2" else Phase.SUCCESSFUL
    )
    driver.until(withdrawn)
    assert driver.status.abort_message.startswith("Background analysis phase error/failed: ")


def test_an_inconclusive_look_pauses_and_halts_scaling_until_a_person_resumes():
    driver = Driver(phase_of=lambda run: Phase.INCONCLUSIVE)
    driver.until(lambda driver: driver.status.paused_inconclusive)
    assert (driver.status.phase, driver.status.message) == (
        RolloutPhase.PAUSED,
        "InconclusiveAnalysisRun",
    )
    before = list(driver.sequence)
    for _ in range(500):
        driver.tick()
    assert driver.sequence == before
    driver.phase_of = lambda run: Phase.SUCCESSFUL
    index = driver.status.step_index
    driver.status = resume(driver.status, driver.now)
    assert driver.status.step_index == index + 1, "the step that could not judge is passed over"
    driver.until(promoted)
    assert driver.sequence == FORWARD


def test_without_an_inline_analysis_after_the_last_weight_a_hundred_per_cent_is_unguarded():
    rollout = replace(ROLLOUT, steps=(SetWeight(50), Pause(5)), background=None)
    driver = Driver(rollout, phase_of=lambda run: Phase.FAILED).until(promoted)
    assert driver.status.finished_runs == ()


def test_a_canary_that_never_becomes_ready_aborts_at_the_progress_deadline():
    driver = Driver(canary_ready=False).until(withdrawn)
    assert driver.status.abort_message == 'ReplicaSet "gridos-new" has timed out progressing.'
    assert driver.now == pytest.approx(120, abs=6)


def test_without_progress_deadline_abort_the_broken_canary_is_left_in_place():
    rollout = replace(ROLLOUT, progress_deadline_abort=False)
    driver = Driver(rollout, canary_ready=False).until(lambda driver: driver.status.timed_out)
    assert driver.status.phase is RolloutPhase.DEGRADED
    assert driver.status.message.startswith("ProgressDeadlineExceeded: ")
    assert driver.canary == 1


def test_a_pause_longer_than_the_deadline_is_not_a_lack_of_progress():
    rollout = replace(ROLLOUT, progress_deadline_s=10)
    Driver(rollout).until(promoted)


def test_a_measurement_for_a_run_that_is_over_changes_nothing():
    status = begin(ROLLOUT, Hashes("new", "old"), 0.0)
    taken = {"gate": Measurement(Phase.FAILED, 0, 0)}
    assert record_measurements(status, "gridos-new-2-2", taken, 0.0) == status


def test_a_person_can_abort_at_any_time():
    driver = Driver().until(lambda driver: driver.status.step_index == 4)
    driver.status = controller.abort(driver.status, "by hand", driver.now)
    driver.until(withdrawn)
    # As seen on v1.9.1: there is no reason behind it.
    assert driver.status.message == "RolloutAborted: Rollout aborted update to revision 2"


def test_the_canarys_hash_is_filled_into_each_query():
    driver = Driver().until(lambda driver: driver.status.step_run is not None)
    assert driver.status.step_run.metrics[0].query == 'x{hash="new"}'
