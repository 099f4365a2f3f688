"""From the last observation to a verdict."""

from dataclasses import replace

import pytest

from canary.argo import analysis, threshold
from canary.argo.model import Measurement, Metric, Phase, ReplicaCounts
from canary.argo.threshold import Threshold
from canary.rehearse.target import Observation, Place
from canary.rehearse.verdict import Conditions, Outcome, decide


def gate(name, limit):
    return Metric(
        name,
        "x[1m]",
        success_condition=f"result[0] < {limit}",
        failure_condition=f"result[0] >= {limit}",
    )


GATE = gate("p95", 0.25)
ERRORS = gate("error-ratio", 0.01)
NONE = ReplicaCounts(0, 0, 0)
BASE = Observation(1.0, "Degraded", "", 0, NONE, NONE, rate=300.0)
STRAINED = Conditions(strained="the machine could not keep up the load")


def measured(metrics, *taken, aborted=True):
    """What is seen after measurements of some metrics, each with its name."""
    run = analysis.start("gridos-h-2-2", metrics, 0.0)
    for name, measurement in taken:
        run = analysis.record(run, name, measurement)
    return replace(BASE, runs=(analysis.assess(run, 0.0),), aborted=aborted)


def taking(phase, number, control, message="no answer"):
    return Measurement(phase, 0, 0, f"[{number}]", message, number, control, controlled=True)


def ended(phase, number, control, times=1, metric=GATE):
    return measured((metric,), *[(metric.name, taking(phase, number, control))] * times)


def paused(number, control):
    return replace(ended(Phase.INCONCLUSIVE, number, control), aborted=False, inconclusive=True)


def test_a_promoted_release_is_good():
    assert decide(replace(BASE, promoted=True)).outcome is Outcome.PROMOTED


def test_a_metric_that_was_left_out_is_not_said_to_have_passed():
    verdict = decide(replace(BASE, promoted=True, left_out=("apm",)))
    assert verdict.headline.startswith("Promoted: every gate but apm passed at every step")


def test_a_failed_gate_is_named_with_value_and_threshold():
    verdict = decide(ended(Phase.FAILED, 0.41, 0.02))
    assert verdict.outcome is Outcome.ROLLED_BACK
    assert verdict.headline == ("Rolled back: the canary's p95 was 0.41 (limit 0.25, stable 0.02).")


def test_an_alert_that_kept_a_release_from_starting_is_named():
    shown = '[{"labels": {"alertname": "GridosDatabaseDown"}}]'
    asks = Metric("before", "http://a/api/v2/alerts", "len(result) == 0", json_path="{$}")
    told = decide(measured((asks,), ("before", Measurement(Phase.FAILED, 0, 0, shown))))
    assert told.headline == "Rolled back: before found that GridosDatabaseDown fires."


def test_the_verdict_is_one_sentence_with_the_weight_the_limit_stable_and_the_time():
    seen = ended(Phase.FAILED, 0.0266, 0.0, metric=ERRORS)
    told = decide(seen, place=Place(weight=10, at_s=12.3, failed_share=0.028))
    assert told.headline == (
        "Rolled back at 10 %: 2.7 % of canary requests failed (limit 1 %, stable 0 %), "
        "12 s after release."
    )


def test_a_gate_that_weighs_evidence_is_said_in_the_shares_that_failed_and_its_own_number():
    seen = ended(Phase.FAILED, 5.4e23, 1.0, metric=gate("errors-against-stable", 100))
    told = decide(seen, place=Place(weight=10, at_s=5.0, failed_share=0.032, stable_share=0.0))
    assert told.headline == (
        "Rolled back at 10 %: 3.2 % of canary requests failed (stable 0 %); errors-against-stable "
        "was over a million (limit 100), 5 s after release."
    )


def test_a_gate_with_a_confidence_margin_is_said_to_read_at_least_so_many_failures():
    seen = ended(Phase.FAILED, 0.26, 0.0, metric=gate("error-ratio", 0.25))
    told = decide(seen, place=Place(failed_share=0.5))
    assert "at least 26 % of canary requests failed (limit 25 %" in told.headline


def test_where_stable_failed_as_much_in_the_gates_window_the_verdict_says_that_it_is_shared():
    # The query finds nothing of stable pods that have left: the gateway knows of 92 %.
    told = decide(ended(Phase.FAILED, 0.81, 0.0, metric=ERRORS), place=Place(25, 28.0, 0.93, 0.92))
    assert told.outcome is Outcome.ROLLED_BACK
    assert told.headline == (
        "Rolled back at 25 %: at least 81 % of canary requests failed (limit 1 %, stable 92 %); "
        "stable failed too, so the cause is probably shared, 28 s after release."
    )


def test_a_canary_that_fails_twice_as_much_as_stable_shares_its_cause_with_nobody():
    told = decide(
        ended(Phase.FAILED, 0.04, 0.005, metric=ERRORS), place=Place(25, 28.0, 0.04, 0.005)
    )
    assert "(limit 1 %, stable 0.5 %), 28 s" in told.headline


def test_a_gate_about_errors_that_stable_fails_too_names_a_shared_cause():
    told = decide(ended(Phase.FAILED, 0.81, 0.8, metric=ERRORS))
    assert told.outcome is Outcome.FAULT
    assert told.headline.endswith(
        "which fails the same gate, so the cause is probably shared — "
        "look in the pods' logs for a dependency of both, such as a database"
    )


def test_a_gate_that_stable_fails_too_blames_the_machine():
    verdict = decide(ended(Phase.FAILED, 0.41, 0.39))
    assert verdict.outcome is Outcome.FAULT
    assert verdict.headline.startswith("Not the release: p95 is 0.41 on the canary and 0.39")


def test_alike_values_on_a_machine_that_cannot_keep_up_blame_the_machine():
    assert decide(ended(Phase.FAILED, 0.26, 0.22), STRAINED).outcome is Outcome.FAULT


def test_a_distinctly_worse_canary_is_rolled_back_even_on_a_slow_machine():
    assert decide(ended(Phase.FAILED, 0.41, 0.05), STRAINED).outcome is Outcome.ROLLED_BACK


@pytest.mark.parametrize(
    ("name", "failed", "outcome", "said"),
    [
        ("http-errors", 0.13, Outcome.ROLLED_BACK, "13 % of canary requests failed (stable 0 %)"),
        ("p95-seconds", 0.13, Outcome.NOT_MEASURED, "; stable gave this gate no data then."),
    ],
)
def test_a_query_that_is_empty_without_errors_is_compared_by_what_failed_at_the_gateway(
    name, failed, outcome, said
):
    seen = ended(Phase.FAILED, 0.41, None, metric=gate(name, 0.25))
    verdict = decide(seen, place=Place(100, None, failed, 0.0))
    assert verdict.outcome is outcome
    assert said in verdict.headline


@pytest.mark.parametrize("control", [None, float("nan")])
def test_a_gate_that_fails_when_stable_has_no_requests_left_does_not_blame_the_release(control):
    verdict = decide(ended(Phase.FAILED, 0.41, control))
    assert (verdict.outcome, verdict.outcome.exit_code) == (Outcome.NOT_MEASURED, 3)
    assert verdict.headline.startswith("Rolled back, and not comparable: ")
    assert verdict.headline.endswith("; stable had no requests then.")


def test_a_release_that_a_person_ended_is_unjudged_whatever_the_machine_did():
    verdict = decide(replace(BASE, promoted=True, unjudged="Promoted by hand"), STRAINED)
    assert (verdict.outcome, verdict.outcome.exit_code) == (Outcome.UNJUDGED, 3)
    assert verdict.headline == "Promoted by hand"


def test_errors_in_a_row_are_no_verdict_on_the_release():
    verdict = decide(ended(Phase.ERROR, None, None, times=5))
    assert (verdict.outcome, verdict.outcome.exit_code) == (Outcome.NOT_MEASURED, 3)
    assert "p95 could not be read 5 times in a row (no answer)" in verdict.headline


def test_an_inconclusive_look_waits_for_a_person():
    verdict = decide(paused(None, 0.02))
    assert (verdict.outcome, verdict.outcome.exit_code) == (Outcome.INCONCLUSIVE, 3)
    assert verdict.headline == (
        "Paused: p95 returned no data (limit 0.25, stable 0.02), so it neither passed nor failed; "
        "a manual decision is needed."
    )


def test_an_inconclusive_look_on_a_machine_that_cannot_keep_up_blames_the_machine():
    assert decide(paused(None, None), STRAINED).outcome is Outcome.FAULT


def test_what_cannot_be_read_of_either_side_is_never_a_pause_for_a_person():
    verdict = decide(paused(None, None))
    assert verdict.outcome is Outcome.FAULT
    assert "p95 returned no data for the canary or for stable" in verdict.headline


def test_one_blind_gate_among_others_is_enough_for_the_machine_to_be_at_fault():
    known = ("requests", taking(Phase.INCONCLUSIVE, 60.0, 900.0))
    blind = ("p95", taking(Phase.INCONCLUSIVE, None, None))
    seen = measured((replace(GATE, name="requests"), GATE), known, blind, aborted=False)
    assert decide(replace(seen, inconclusive=True)).outcome is Outcome.FAULT


def test_where_no_traffic_is_asked_for_nothing_to_read_waits_for_a_person():
    assert decide(replace(paused(None, None), rate=0.0)).outcome is Outcome.INCONCLUSIVE


def test_a_ground_that_asks_nothing_of_stable_cannot_say_that_stable_read_nothing():
    seen = paused(None, None)
    (run,) = seen.runs
    result = run.results["p95"]
    measurements = tuple(
        replace(measurement, controlled=False) for measurement in result.measurements
    )
    alone = replace(run, results={"p95": replace(result, measurements=measurements)})
    assert decide(replace(seen, runs=(alone,))).outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    "seen",
    [
        replace(BASE, promoted=True),
        ended(Phase.FAILED, 0.41, 0.02),
        ended(Phase.ERROR, None, None, times=5),
        paused(None, 0.02),
        replace(BASE, timed_out=True),
    ],
)
def test_a_harness_that_was_later_than_a_measurements_interval_says_nothing(seen):
    verdict = decide(seen, Conditions(blind="the harness ran 4.2 s late"))
    assert verdict.outcome is Outcome.FAULT
    assert "trusted: the harness ran 4.2 s late — use a less busy machine" in verdict.headline


@pytest.mark.parametrize("name", ["p95", "cpu-saturation-ratio", "container-restarts", "errors"])
@pytest.mark.parametrize(
    ("canary", "control", "outcome"),
    [
        (0.41, 0.30, Outcome.FAULT),  # stable fails the same gate
        (0.41, 0.20, Outcome.FAULT),  # twice as much, as pods have that have just started
        (0.41, 0.10, Outcome.ROLLED_BACK),
        (0.41, 0.0, Outcome.ROLLED_BACK),
    ],
)
def test_on_a_strained_machine_every_gate_must_tell_the_canary_from_stable(
    name, canary, control, outcome
):
    seen = ended(Phase.FAILED, canary, control, metric=gate(name, 0.25))
    assert decide(seen, STRAINED).outcome is outcome


@pytest.mark.parametrize(("canary", "outcome"), [(2.55, Outcome.FAULT), (8.4, Outcome.ROLLED_BACK)])
def test_on_a_strained_machine_a_canary_may_be_several_times_as_slow_as_stable(canary, outcome):
    query = "histogram_quantile(0.95, sum by (le) (rate(request_duration_seconds_bucket[50s])))"
    slower = replace(gate("p95-against-stable", 2.0), query=query)
    assert decide(ended(Phase.FAILED, canary, 0.74, metric=slower), STRAINED).outcome is outcome


@pytest.mark.parametrize(
    ("name", "failed", "stable", "outcome"),
    [
        ("success-rate", 0.37, 0.0, Outcome.ROLLED_BACK),
        ("good-share", 0.37, 0.0, Outcome.ROLLED_BACK),
        ("success-rate", 0.37, 0.12, Outcome.ROLLED_BACK),
        ("success-rate", 0.37, 0.2, Outcome.FAULT),
        ("success-rate", 0.0, 0.0, Outcome.FAULT),
        ("success-rate", None, None, Outcome.FAULT),
        ("requests-against-stable", 0.37, 0.0, Outcome.FAULT),
    ],
)
def test_a_share_of_success_on_a_strained_machine_is_told_apart_by_what_failed_at_the_gateway(
    name, failed, stable, outcome
):
    share = Metric(
        name, "x[1m]", success_condition="result[0] >= 0.95", failure_condition="result[0] < 0.95"
    )
    seen = ended(Phase.FAILED, 0.85, 1.0, metric=share)
    assert decide(seen, STRAINED, Place(20, 29.0, failed, stable)).outcome is outcome


@pytest.mark.parametrize(
    "seen",
    [
        ended(Phase.ERROR, None, None, times=5),
        replace(BASE, timed_out=True),
        replace(BASE, aborted=True, message="has timed out progressing."),
    ],
)
def test_a_deadline_or_a_silent_prometheus_on_a_strained_machine_is_not_the_releases(seen):
    assert decide(seen, STRAINED).outcome is Outcome.FAULT


def test_a_query_that_is_answered_with_no_data_is_not_the_machines():
    said = f"metric result is nil or empty: {analysis.NO_DATA} from the metric provider"
    nothing = ("p95", taking(Phase.ERROR, None, None, said))
    assert decide(measured((GATE,), *[nothing] * 5), STRAINED).outcome is Outcome.NOT_MEASURED


def test_the_progress_deadline_rolls_back_with_argos_words():
    message = 'RolloutAborted: Rollout aborted update to revision 17: ReplicaSet "x" has timed out progressing.'
    verdict = decide(replace(BASE, aborted=True, message=message))
    assert verdict.headline == 'Rolled back: ReplicaSet "x" has timed out progressing.'
    assert verdict.outcome.exit_code == 1


def test_an_aborted_blue_green_whose_users_were_not_switched_back_is_not_said_to_be_rolled_back():
    seen = replace(BASE, aborted=True, settled=True, weight=100, message="post failed")
    verdict = decide(seen, place=Place(weight=100, at_s=40.0))
    assert verdict.outcome is Outcome.ROLLED_BACK
    assert verdict.headline == (
        "Aborted at 100 % and not rolled back: the active Service returns to stable only while every "
        "new pod is available: post failed, 40 s after release."
    )


def test_a_stuck_release_that_is_left_in_place_is_bad():
    verdict = decide(replace(BASE, timed_out=True))
    assert (verdict.outcome, "not rolled back" in verdict.headline) == (Outcome.ROLLED_BACK, True)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("len(result) > 0 && result[0] < 0.01", Threshold("<", 0.01)),
        ("result[0] >= 300", Threshold(">=", 300)),
        ("0.25 > result[0]", Threshold("<", 0.25)),
        ("all(result, # < 1)", None),
    ],
)
def test_a_threshold_is_read_off_the_condition_where_it_says_so_plainly(condition, expected):
    assert threshold.of(replace(GATE, success_condition=condition)) == expected
