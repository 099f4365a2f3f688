"""Verdicts: each limit alone, each doubt alone, and what outweighs what."""

import pytest
from loadtesting import outcomes, verdict
from loadtesting.model import Check, Outcome, Result
from loadtesting.outcomes import FOREIGN
from loadtesting.verdict import Facts
from openarrivals.samples import Sample


def sample(status=200, latency_s=0.01, due_s=0.0, error="", lag_s=0.001):
    return Sample("/v1/feeders", status, error, due_s, latency_s, lag_s)


def judge(metrics, limits, profile, complete=True, extra=(), planned=None):
    planned = metrics.counts.due if planned is None else planned
    return verdict.judge(metrics, limits, profile, Facts(planned, complete, extra))


def mixed(good, bad, **kind):
    """So many good samples and bad ones of a kind, spread over ten seconds."""
    total = good + bad
    return [
        sample(due_s=10 * i / total, **(kind if i % (total // max(bad, 1)) == 1 and bad else {}))
        for i in range(total)
    ]


def failing(said):
    return {check.name for check in said.checks if check.result is Result.FAIL}


def test_a_good_run_passes(measure, limits, catalogue):
    said = judge(measure(mixed(1000, 0)), limits, catalogue["errors-good"])
    assert said.result is Result.PASS
    assert "1,000 requests, 0 failed, 0 lost" in said.headline


CASES = [
    ("error-ratio", {"status": 503}),
    ("lost-ratio", {"status": 0, "error": "ConnectionResetError: reset"}),
    ("lost-ratio", {"status": 502, "error": f"{FOREIGN}: HTTP 502"}),
    ("refused-ratio", {"status": 404}),
    ("p95-latency", {"latency_s": 0.3}),
]


@pytest.mark.parametrize(("check", "kind"), CASES)
def test_each_limit_fails_alone(measure, limits, catalogue, check, kind):
    said = judge(measure(mixed(900, 100, **kind)), limits, catalogue["errors-good"])
    assert said.result is Result.FAIL
    assert failing(said) == {check}
    assert check in said.headline


def test_a_ratio_at_its_limit_fails_as_the_gate_does(measure, limits, catalogue):
    bad = round(1000 * limits.max_error_ratio)
    at = judge(measure(mixed(1000 - bad, bad, status=500)), limits, catalogue["errors-good"])
    below = judge(measure(mixed(1001 - bad, bad - 1, status=500)), limits, catalogue["errors-good"])
    assert (at.result, below.result) == (Result.FAIL, Result.PASS)


def test_slowness_is_counted_exactly_where_percentiles_are_rounded(measure, limits, catalogue):
    slow = round(1000 * limits.max_slow_ratio)
    just = limits.max_latency_s
    at = judge(measure(mixed(1000 - slow, slow, latency_s=just)), limits, catalogue["latency-good"])
    under = judge(
        measure(mixed(1000 - slow, slow, latency_s=just - 1e-6)), limits, catalogue["latency-good"]
    )
    assert (at.result, under.result) == (Result.FAIL, Result.PASS)


def test_too_few_requests_say_nothing_either_way(measure, limits, catalogue):
    for samples in (mixed(40, 0), mixed(20, 20, status=500)):
        said = judge(measure(samples), limits, catalogue["idle"])
        assert said.result is Result.INCONCLUSIVE
        assert "enough-requests: 40 ended" in said.headline


def test_dropped_work_is_no_pass_but_does_not_hide_a_failure(measure, limits, catalogue):
    profile = catalogue["errors-good"]
    good = judge(measure(mixed(1000, 0), dropped=50), limits, profile)
    bad = judge(measure(mixed(900, 100, status=500), dropped=50), limits, profile)
    assert (good.result, bad.result) == (Result.INCONCLUSIVE, Result.FAIL)
    assert "--users" in good.headline


def test_a_generator_out_of_cpu_says_nothing_either_way(measure, limits, catalogue):
    lagging = [s._replace(lag_s=0.1) for s in mixed(900, 100, latency_s=0.4)]
    said = judge(measure(lagging), limits, catalogue["latency-good"])
    assert said.result is Result.INCONCLUSIVE
    assert "out of CPU" in said.headline


def test_a_late_generator_is_named_before_the_work_it_dropped(measure, limits, catalogue):
    lagging = [s._replace(lag_s=0.1) for s in mixed(1000, 0)]
    said = judge(measure(lagging, dropped=50), limits, catalogue["errors-good"])
    assert "generator-lag" in said.headline


def test_a_run_that_was_stopped_does_not_claim_that_every_arrival_has_an_end(
    measure, limits, catalogue
):
    metrics = measure([sample(500)] * 70)
    said = judge(metrics, limits, catalogue["errors-bad"], complete=False, planned=650)
    (unfinished,) = (check for check in said.checks if check.name == "unfinished")
    assert unfinished.message == "580 arrivals were not waited for: the run was stopped"


def test_arrivals_without_an_end_say_nothing(measure, limits, catalogue):
    said = judge(measure(mixed(900, 0), unfinished=100), limits, catalogue["errors-good"])
    assert said.result is Result.INCONCLUSIVE
    assert "did a worker die" in said.headline


def test_a_target_that_goes_away_fails_with_when_and_why(measure, limits, catalogue):
    lost = [
        sample(0, 0.001, 5 + i / 100, "ConnectionRefusedError: [Errno 111] Connection refused")
        for i in range(400)
    ]
    said = judge(measure([*mixed(500, 0), *lost]), limits, catalogue["errors-good"], complete=False)
    assert said.result is Result.FAIL
    assert "target-gone: no response since second 10.0" in said.headline
    assert "connection refused" in said.headline


def test_what_another_system_could_not_say_makes_it_inconclusive(measure, limits, catalogue):
    unknown = Check("cpu-saturation", Result.INCONCLUSIVE, "cpu-saturation: name a Prometheus")
    said = judge(measure(mixed(200, 0)), limits, catalogue["cpu-good"], extra=(unknown,))
    assert said.result is Result.INCONCLUSIVE
    assert said.headline == unknown.message


def test_a_close_pass_says_that_it_is_close(measure, limits, catalogue):
    said = judge(measure(mixed(993, 7, status=500)), limits, catalogue["smoke"])
    assert said.result is Result.PASS
    assert "error-ratio may in truth lie beyond its limit" in said.notes[0]


def test_the_objective_is_judged_where_the_profile_asks(measure, limits, catalogue):
    samples = mixed(1995, 5, status=500)
    assert judge(measure(samples), limits, catalogue["smoke"]).result is Result.PASS
    assert failing(judge(measure(samples), limits, catalogue["soak"])) == {"objective"}


@pytest.mark.parametrize("status", [500, 404])
def test_failing_is_certain_only_when_nothing_to_come_could_save_it(measure, limits, status):
    planned = 1000
    least = round(planned * limits.max_error_ratio)
    for count, certain in ((least - 1, False), (least, True)):
        metrics = measure([sample(status)] * count)
        assert verdict.failing_is_certain(metrics, limits, planned) is certain


def test_a_failure_beyond_doubt_needs_no_more_requests(measure, limits, catalogue):
    metrics = measure([sample(500)] * 70)
    said = judge(metrics, limits, catalogue["errors-bad"], complete=False, planned=650)
    assert said.result is Result.FAIL


def test_outcomes_know_who_failed():
    assert outcomes.of(sample(304)) is Outcome.OK
    assert outcomes.of(sample(503)) is Outcome.FAILED
    assert outcomes.of(sample(502, error=f"{FOREIGN}: HTTP 502")) is Outcome.GATEWAY
    assert outcomes.of(sample(0)) is Outcome.LOST


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("ConnectionRefusedError: [Errno 111] Connection refused", "connection refused"),
        ("SSLCertVerificationError: certificate has expired", "certificate"),
        ("timeout: timed out", "timed out"),
        ("ConnectionResetError: [Errno 104] Connection reset by peer", "connection reset"),
        ("HTTPConnectionClosed: connection closed.", "connection reset"),
        ("OddError: odd", "OddError"),
        ("", "no response"),
    ],
)
def test_reasons_are_sorted_by_few_words(error, words):
    assert outcomes.reason(sample(0, error=error)) == words
