"""From the last observation to a verdict."""

from dataclasses import replace

import pytest
from rehearsal import analysis
from rehearsal.ground import Observation
from rehearsal.model import AnalysisRun, Measurement, Metric, Phase, ReplicaCounts
from rehearsal.verdict import Outcome, Threshold, decide, threshold

GATE = Metric(
    "p95", "x[1m]", success_condition="result[0] < 0.25", failure_condition="result[0] >= 0.25"
)
NONE = ReplicaCounts(0, 0, 0)
BASE = Observation(1.0, "Degraded", "", 0, NONE, NONE)


def ended(phase, number, control, times=1):
    run: AnalysisRun = analysis.start("gridos-h-2-2", (GATE,), 0.0)
    for _ in range(times):
        look = Measurement(phase, 0, 0, f"[{number}]", "no answer", number, control)
        run = analysis.record(run, "p95", look)
    return replace(BASE, runs=(analysis.assess(run, 0.0),), aborted=True)


def test_a_promoted_release_is_good():
    assert decide(replace(BASE, promoted=True), load_met=True).outcome is Outcome.PROMOTED


def test_a_failed_gate_is_named_with_value_and_threshold():
    verdict = decide(ended(Phase.FAILED, 0.41, 0.02), load_met=True)
    assert verdict.outcome is Outcome.ROLLED_BACK
    assert verdict.headline == "Rolled back by p95: 0.41, which is not < 0.25"


def test_a_gate_that_stable_fails_too_blames_the_machine():
    verdict = decide(ended(Phase.FAILED, 0.41, 0.39), load_met=True)
    assert verdict.outcome is Outcome.FAULT
    assert verdict.headline.startswith("Not the release: p95 is 0.41 on the canary and 0.39")


def test_alike_values_on_a_machine_that_cannot_keep_up_blame_the_machine():
    assert decide(ended(Phase.FAILED, 0.26, 0.22), load_met=False).outcome is Outcome.FAULT


def test_a_distinctly_worse_canary_is_rolled_back_even_on_a_slow_machine():
    assert decide(ended(Phase.FAILED, 0.41, 0.05), load_met=False).outcome is Outcome.ROLLED_BACK


def test_errors_in_a_row_are_no_verdict_on_the_release():
    verdict = decide(ended(Phase.ERROR, None, None, times=5), load_met=True)
    assert (verdict.outcome, verdict.outcome.exit_code) == (Outcome.NOT_MEASURED, 3)
    assert "p95 could not be read 5 times in a row (no answer)" in verdict.headline


def test_an_inconclusive_look_waits_for_a_person():
    seen = replace(ended(Phase.INCONCLUSIVE, None, None), aborted=False, inconclusive=True)
    verdict = decide(seen, load_met=True)
    assert (verdict.outcome, verdict.outcome.exit_code) == (Outcome.INCONCLUSIVE, 3)
    assert "p95 read nothing" in verdict.headline


def test_an_inconclusive_look_on_a_machine_that_cannot_keep_up_blames_the_machine():
    seen = replace(ended(Phase.INCONCLUSIVE, None, None), aborted=False, inconclusive=True)
    assert decide(seen, load_met=False).outcome is Outcome.FAULT


def test_the_progress_deadline_rolls_back_with_argos_words():
    message = 'RolloutAborted: Rollout aborted update to revision 2: ReplicaSet "x" has timed out progressing.'
    verdict = decide(replace(BASE, aborted=True, message=message), load_met=True)
    assert verdict.headline == 'Rolled back: ReplicaSet "x" has timed out progressing.'
    assert verdict.outcome.exit_code == 1


def test_a_stuck_release_that_is_left_in_place_is_bad():
    verdict = decide(replace(BASE, timed_out=True), load_met=True)
    assert (verdict.outcome, "left in place" in verdict.headline) == (Outcome.ROLLED_BACK, True)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("len(result) > 0 && result[0] < 0.01", Threshold("<", 0.01)),
        ("result[0] >= 300", Threshold(">=", 300)),
        ("all(result, # < 1)", None),
    ],
)
def test_a_threshold_is_read_off_the_condition_where_it_says_so_plainly(condition, expected):
    assert threshold(replace(GATE, success_condition=condition)) == expected
