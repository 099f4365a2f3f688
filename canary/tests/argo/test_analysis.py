"""AnalysisRuns: schedule, limits and phases, as analysis/analysis.go @9f8d111 has them."""

import pytest

from canary.argo import analysis, resolve
from canary.argo.model import Measurement, Metric, Phase

OK, BAD, ERR, UNSURE = Phase.SUCCESSFUL, Phase.FAILED, Phase.ERROR, Phase.INCONCLUSIVE


def metric(name="m", **fields):
    return Metric(name, "query", success_condition="result[0] < 1", **fields)


def roll_out(spec, phases):
    """A run of one metric that measures these phases, each a moment after it is due."""
    run = analysis.start("run", (spec,), 0.0)
    for phase in phases:
        at = analysis.next_due(run)
        if at is None:
            break
        run = analysis.record(run, spec.name, Measurement(phase, at, at))
        run = analysis.assess(run, at)
    return run


def measured(fields, **phases):
    """A run of metrics with these fields, each measured once at the start."""
    run = analysis.start("run", tuple(metric(name, **fields) for name in phases), 0.0)
    for name, phase in phases.items():
        run = analysis.record(run, name, Measurement(phase, 0, 0))
    return analysis.assess(run, 0.0)


def test_one_measurement_ends_a_metric_without_interval_or_count():
    run = roll_out(metric(), [OK, OK])
    assert (run.phase, run.results["m"].count) == (OK, 1)


def test_an_interval_without_a_count_has_no_end():
    run = roll_out(metric(interval_s=10), [OK] * 50)
    assert run.phase is Phase.RUNNING
    assert run.results["m"].measurements[-1].started_at == 490


def test_the_first_measurement_waits_for_the_initial_delay():
    run = analysis.start("run", (metric(initial_delay_s=20),), 5.0)
    assert analysis.due(run, 24.9) == ()
    assert len(analysis.due(run, 25.0)) == 1


def test_what_is_in_flight_is_not_due_again():
    run = analysis.start("run", (metric("a"), metric("b")), 0.0)
    assert [m.name for m in analysis.due(run, 0.0, frozenset({"a"}))] == ["b"]


def test_five_errors_in_a_row_end_in_error_after_forty_seconds_whatever_the_interval():
    run = roll_out(metric(interval_s=300, count=3), [ERR] * 9)
    assert (run.phase, run.completed_at) == (ERR, 40)
    assert run.results["m"].consecutive_error == 5
    assert run.message == (
        'Metric "m" assessed Error due to consecutiveErrors (5) > consecutiveErrorLimit (4)'
    )


def test_four_errors_and_a_success_do_not_use_up_the_count():
    run = roll_out(metric(interval_s=10, count=2), [ERR] * 4 + [OK] + [ERR] * 4 + [OK])
    assert (run.phase, run.results["m"].count, run.results["m"].error) == (OK, 2, 8)


@pytest.mark.parametrize(
    ("fields", "phases", "expected"),
    [
        ({"count": 3, "interval_s": 1, "failure_limit": 1}, [BAD, OK, OK], OK),
        ({"count": 3, "interval_s": 1, "failure_limit": 1}, [BAD, BAD], BAD),
        ({"count": 3, "interval_s": 1, "inconclusive_limit": 1}, [UNSURE, OK, OK], OK),
        ({"count": 3, "interval_s": 1}, [UNSURE], UNSURE),
        ({"count": 5, "interval_s": 1, "consecutive_success_limit": 2}, [OK, OK], OK),
        (
            {"count": 4, "interval_s": 1, "consecutive_success_limit": 2, "failure_limit": 2},
            [OK, BAD, OK, BAD],
            UNSURE,
        ),
        (
            {"count": 3, "interval_s": 1, "consecutive_success_limit": 2, "failure_limit": -1},
            [OK, BAD, OK],
            BAD,
        ),
        (
            {"interval_s": 1, "consecutive_success_limit": 2, "failure_limit": -1},
            [BAD, BAD, BAD, OK, OK],
            OK,
        ),
    ],
)
def test_limits_decide_a_metrics_phase(fields, phases, expected):
    assert roll_out(metric(**fields), phases).phase is expected


def test_a_failed_run_says_both_numbers():
    run = roll_out(metric(count=3, interval_s=1, failure_limit=1), [BAD, BAD])
    assert run.message == 'Metric "m" assessed Failed due to failed (2) > failureLimit (1)'


def test_the_first_bad_metric_ends_the_others_and_the_worst_phase_wins():
    run = measured({"interval_s": 9}, a=OK, b=BAD)
    assert (run.phase, run.results["a"].phase, run.completed_at) == (BAD, OK, 0)
    assert analysis.due(run, 100.0) == ()


@pytest.mark.parametrize(
    ("first", "second", "worst"),
    [(UNSURE, BAD, BAD), (BAD, UNSURE, BAD), (UNSURE, OK, UNSURE), (OK, OK, OK)],
)
def test_of_looks_taken_together_the_worst_counts(first, second, worst):
    assert measured({}, a=first, b=second).phase is worst


def test_a_run_terminated_before_any_measurement_is_successful():
    run = analysis.terminate(analysis.start("run", (metric(),), 0.0), 3.0)
    assert (run.phase, run.completed_at, run.message) == (OK, 3, "Run Terminated")


def test_a_run_terminated_between_good_measurements_is_successful():
    run = analysis.terminate(roll_out(metric(interval_s=10), [OK, OK]), 15.0)
    assert (run.phase, run.results["m"].phase) == (OK, OK)


def test_a_dry_run_metric_is_measured_and_never_decides():
    run = analysis.start("run", (metric("dry", dry_run=True), metric("real")), 0.0)
    run = analysis.record(run, "dry", Measurement(BAD, 0, 0))
    run = analysis.assess(run, 0.0)
    assert run.phase is Phase.RUNNING
    assert (
        run.results["dry"].message == "Metric assessed Failed due to failed (1) > failureLimit (0)"
    )
    run = analysis.assess(analysis.record(run, "real", Measurement(OK, 1, 1)), 1.0)
    assert run.phase is OK


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"failure_limit": -1}, "cannot both be disabled"),
        ({"failure_limit": -2}, "failureLimit must be >= 0, or -1"),
        ({"consecutive_success_limit": -1}, "consecutiveSuccessLimit must be >= 0"),
        ({"inconclusive_limit": -1}, "inconclusiveLimit must be >= 0"),
        ({"consecutive_error_limit": -1}, "consecutiveErrorLimit must be >= 0"),
        ({"count": 2}, "interval must be specified when count > 1"),
        ({"count": 1, "failure_limit": 2, "interval_s": 1}, "count (1) must be >= failureLimit"),
        ({"count": 1, "inconclusive_limit": 2, "interval_s": 1}, "must be >= inconclusiveLimit"),
        (
            {"count": 1, "failure_limit": -1, "consecutive_success_limit": 2, "interval_s": 1},
            "count must be >= consecutiveSuccessLimit",
        ),
    ],
)
def test_what_the_validator_refuses_ends_in_error_before_the_first_measurement(fields, refusal):
    run = analysis.start("run", (metric(**fields),), 7.0)
    assert (run.phase, run.completed_at) == (ERR, 7)
    assert run.message.startswith("Analysis spec invalid: metrics[0]: ")
    assert refusal in run.message


def test_duplicate_names_and_no_metrics_are_refused():
    assert "duplicate name 'm'" in analysis.start("r", (metric(), metric()), 0.0).message
    assert analysis.start("r", (), 0.0).message == "Analysis spec invalid: no metrics specified"


def test_arguments_are_filled_into_query_and_conditions():
    spec = Metric("m", "x{h='{{args.hash}}'}", success_condition="result[0] < {{ args.max }}")
    filled = resolve.filled(spec, {"hash": "abc", "max": "3"})
    assert (filled.query, filled.success_condition) == ("x{h='abc'}", "result[0] < 3")


def test_an_argument_without_a_value_is_named():
    with pytest.raises(ValueError, match="metric m: argument 'hash' has no value"):
        resolve.filled(Metric("m", "{{args.hash}}"), {})


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.annotations['example.com/ticket']", "42"),
        ("metadata.annotations['example.com/absent']", ""),
        ("metadata.labels['region']", "west"),
        ("status.currentStepIndex", "status.currentStepIndex"),
    ],
)
def test_an_argument_is_read_from_the_rollout_and_a_missing_annotation_is_empty(path, value):
    metadata = {"annotations": {"example.com/ticket": "42"}, "labels": {"region": "west"}}
    referred = [{"name": "a", "valueFrom": {"fieldRef": {"fieldPath": path}}}]
    merged = resolve.merge({"metadata": metadata}, [{"name": "a"}], referred, {})
    assert merged == {"a": value}
