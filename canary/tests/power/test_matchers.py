"""What a gate's query selects, as Prometheus reads it: what it cannot see is not vouched for."""

import random
from dataclasses import replace

import pytest

from canary.argo.dialects import Dialect, Outcome, Vocabulary
from canary.argo.model import Analysis, Metric, Pause, Rollout, SetWeight
from canary.argo.releases import LATEST, STABLE
from canary.power import power_curve, verification
from canary.power.monte_carlo import Study
from canary.power.samples import Fault, Traffic
from canary.tests.argo import queries

PLAIN = f'http_requests_total{{hash="{LATEST}"}}'
HALF = Fault(error_rate=0.5)
GUESSED = Vocabulary()
RIGHT, DEAD, UNKNOWN = "right", "dead", "unknown"


def released(query, success="result[0] < 0.01", failure=None, vocabulary=GUESSED):
    failure = success.replace("<", ">=") if failure is None else failure
    return judged(Metric("errors", query, success, failure), vocabulary=vocabulary)


def judged(*metrics, n=50, vocabulary=GUESSED):
    """A release of ten pods, half of them canary for a minute, with one measurement."""
    rollout = Rollout(
        name="shop",
        namespace="shop",
        replicas=10,
        steps=(SetWeight(50), Pause(60.0), Analysis(("gate",), metrics, {}, 2)),
        background=None,
        max_surge=0,
        max_unavailable=1,
    )
    return Study(
        rollout,
        Traffic(100.0),
        n=n,
        canary_tokens=(LATEST, "shop-canary"),
        stable_tokens=("stable0hash", "shop"),
        vocabulary=vocabulary,
    )


def ratio(matcher, metric="http_requests_total", scope=f'hash="{LATEST}"', filled=True):
    """Selected requests over all of them."""
    chosen = f"sum(increase({metric}{{{scope}, {matcher}}}[1m]))"
    chosen = f"({chosen} or vector(0))" if filled else chosen
    return f"{chosen} / sum(increase({metric}{{{scope}}}[1m]))"


SHARE = ratio('status=~"5.."')


def outcome(study):
    """What becomes of a healthy release, and of one whose requests fail by half."""
    if study.unmodelled:
        return UNKNOWN
    healthy, faulty = study.outcomes(Fault()), study.outcomes(HALF)
    return (healthy.rollback_rate, faulty.rollback_rate)


MATCHERS = [
    ('status=~"5.."', RIGHT),
    ('status=~"5.*"', RIGHT),
    ('status=~"50[0-4]"', RIGHT),
    ('status=~"[45].."', RIGHT),
    ('status="500"', RIGHT),
    ('status!~"2.."', RIGHT),
    ('status!~"[1-4].."', RIGHT),
    ('code!~"2..|3..|4.."', RIGHT),
    ('status!="200"', RIGHT),
    # anchored on both ends, so these match no status of three digits
    ('status=~"5"', DEAD),
    ('status=~"50"', DEAD),
    ('status="5xx"', DEAD),
    ('status=~"5xx|4xx"', DEAD),
    ('status="503"', DEAD),
    ('status="500", status="503"', DEAD),
    ('status=~"5..", namespace="gridos-production"', DEAD),
    ('status=~"5..", pod=~".*-canary"', DEAD),
    (f'status=~"5..", pod="{LATEST}"', DEAD),
    (f'status=~"5..", rollouts_pod_template_hash="shop-{LATEST}"', DEAD),
    (f'status=~"5..", tier="{LATEST} "', DEAD),
    ('status=~"5..", job="shop", job="shop-worker"', DEAD),
    # how many requests these take is not known
    ('status=~"5..", method="POST"', UNKNOWN),
    ('status=~"5..", route="/v1/feeders"', UNKNOWN),
    ('status=~"5..", handler!="/metrics"', UNKNOWN),
    ('status=~"5..", colour="blue"', UNKNOWN),
    ('error!=""', UNKNOWN),
    ('status=~"(?<x"', UNKNOWN),
    # and these take them all
    ('status=~"5..", method=~".+"', RIGHT),
    (f'status=~"5..", pod=~"shop-{LATEST}-.*"', RIGHT),
    ('status=~"5..", namespace="shop", job="shop"', RIGHT),
]


@pytest.mark.parametrize(("matcher", "expected"), MATCHERS)
def test_a_ratio_of_failures_sees_what_its_matcher_takes(matcher, expected):
    seen = {RIGHT: (0.0, 1.0), DEAD: (0.0, 0.0), UNKNOWN: UNKNOWN}[expected]
    assert outcome(released(ratio(matcher))) == seen


EXPORTERS = [
    ("istio_requests_total", 'response_code=~"5.*"'),
    ("nginx_ingress_controller_requests", 'status=~"[4-5].*"'),
    ("response_total", 'classification="failure"'),
    ("traefik_service_requests_total", 'code=~"5.."'),
    ("envoy_cluster_upstream_rq", 'envoy_response_code=~"5.."'),
    ("envoy_cluster_upstream_rq_xx", 'envoy_response_code_class="5"'),
    ("haproxy_backend_http_responses_total", 'code="5xx"'),
    ("http_server_requests_seconds_count", 'outcome="SERVER_ERROR"'),
    ("http_server_requests_seconds_count", 'status=~"5.."'),
    ("http_server_request_duration_seconds_count", 'http_response_status_code=~"5.."'),
    ("http_request_duration_seconds_count", 'status_code=~"5.."'),
    ("http_requests_received_total", 'code=~"5.."'),
    ("flask_http_request_total", 'status=~"5.."'),
    ("grpc_server_handled_total", 'grpc_code!="OK"'),
]


@pytest.mark.parametrize(
    ("metric", "matcher"),
    [
        ("http_server_request_duration_seconds_count", 'status_code=~"5.."'),
        ("http_server_request_duration_seconds_count", 'error_type!=""'),
        ("istio_requests_total", 'status=~"5.."'),
    ],
)
def test_other_words_than_an_exporters_own_are_not_vouched_for(metric, matcher):
    assert outcome(released(ratio(matcher, metric))) == UNKNOWN


@pytest.mark.parametrize(("metric", "matcher"), EXPORTERS)
def test_each_exporters_words_for_a_failure_are_known(metric, matcher):
    assert outcome(released(ratio(matcher, metric))) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("matcher", "metric"),
    [
        ('status!~"5.."', "http_requests_total"),
        ('status!="500"', "http_requests_total"),
        ('status="200"', "http_requests_total"),
        ('status=~"2.."', "http_requests_total"),
        ('response_code!~"5.*"', "istio_requests_total"),
        ('classification="success"', "response_total"),
        ('grpc_code="OK"', "grpc_server_handled_total"),
    ],
)
def test_a_ratio_of_good_requests_is_read_as_well(matcher, metric):
    study = released(ratio(matcher, metric), "result[0] >= 0.95", "result[0] < 0.95")
    assert outcome(study) == (0.0, 1.0)


def test_a_contract_decides_what_a_name_means():
    seen = {"http_requests_total": {"status": frozenset({"2xx", "5xx"}), "hash": frozenset()}}
    grouped = Vocabulary(seen)
    assert outcome(released(ratio('status="5xx"'), vocabulary=grouped)) == (0.0, 1.0)
    assert outcome(released(SHARE, vocabulary=grouped)) == (0.0, 1.0)
    assert outcome(released(ratio('status="500"'), vocabulary=grouped)) == (0.0, 0.0)


def test_a_label_that_the_contract_does_not_show_is_empty():
    seen = {"http_requests_total": {"status": frozenset({"500"}), "route": frozenset({"/a"})}}
    contract = Vocabulary(seen)
    assert outcome(released(ratio('status=~"5..", tier="x"'), vocabulary=contract)) == (0.0, 0.0)
    assert outcome(released(ratio('status=~"5..", tier!="x"'), vocabulary=contract)) == (0.0, 1.0)
    assert outcome(released(ratio('status=~"5..", route="/a"'), vocabulary=contract)) == (0.0, 1.0)
    assert outcome(released(ratio('status=~"5..", route="/b"'), vocabulary=contract)) == (0.0, 0.0)


def test_what_is_taken_for_granted_about_a_name_is_said():
    study = released(SHARE)
    assert "an exporter that groups them" in study.assumed["http_requests_total"]
    assert released(ratio('response_code=~"5.."', "istio_requests_total")).assumed == {}


BY_STATUS = f'sum by (status) (increase({PLAIN[:-1]}, status=~"5.."}}[1m]))'
ALL = f"sum(increase({PLAIN}[1m]))"
BY_POD = f"sum by (pod) (increase({PLAIN}[1m]))"


QUERIES = [
    # labels that do not match leave nothing, or the zero beside it
    (f"({BY_STATUS} or vector(0)) / {ALL}", (0.0, 0.0)),
    (f"sum({BY_STATUS} or vector(0)) / {ALL}", (0.0, 1.0)),
    (f"({BY_STATUS} or on () vector(0)) / ignoring (status) {ALL}", (0.0, 1.0)),
    (f"({BY_STATUS} or on () vector(0)) / on () {ALL}", (0.0, 1.0)),
    (f"({BY_STATUS} or on () vector(0)) / on () group_left () {ALL}", (0.0, 1.0)),
    # a scalar has no first series to ask, and `bool` turns a comparison into a number
    (f"scalar({ALL}) * 0", (1.0, 1.0)),
    (f"({SHARE}) > bool 0.01", (0.0, 1.0)),
    # what is not modelled
    (f"topk(1, {ALL})", UNKNOWN),
    # pods, routes and statuses are one series here: no average of them, and nothing pod by pod
    (f"avg(increase({PLAIN}[1m])) * 0", UNKNOWN),
    (f"max(increase({PLAIN}[1m])) * 0", UNKNOWN),
    (f"sum by (pod) (increase({PLAIN}[1m])) * 0", UNKNOWN),
    (f"max({BY_POD} / {BY_POD})", UNKNOWN),
    (f"sum(clamp_max({BY_POD}, 1)) * 0", UNKNOWN),
    (f"max({BY_POD} - {BY_POD})", UNKNOWN),
    (f"sum({BY_POD} - {BY_POD})", (0.0, 0.0)),
    (f"avg({BY_POD}) * 0", (0.0, 0.0)),
    (f'{PLAIN[:-1]}, status="500"}} / {PLAIN}', UNKNOWN),
    (f"sum by (route) (increase({PLAIN}[1m]))", UNKNOWN),
    (f"sum without (pod) (increase({PLAIN}[1m]))", UNKNOWN),
    (f"max_over_time({ALL}[5m:30s])", (1.0, 1.0)),
    (f"max_over_time({ALL}[5m:])", UNKNOWN),
    (f"sum(increase({PLAIN}[1m] @ 100)) * 0", UNKNOWN),
    (f"sum(increase({PLAIN}[1m] offset -1m)) * 0", UNKNOWN),
    ("sum(increase(kube_pod_container_status_restarts_total[5m]))", UNKNOWN),
    ("sum(rate(http_errors_total[1m]))", UNKNOWN),
    # of cpu and of memory
    ("sum(kube_pod_container_resource_limits) * 0", UNKNOWN),
    ('sum(kube_pod_container_resource_limits{resource="cpu"}) * 0', (0.0, 0.0)),
    ("sum(rate(request_duration_seconds_sum[1m]))", UNKNOWN),
]


@pytest.mark.parametrize(("query", "expected"), QUERIES)
def test_operators_match_labels_as_prometheus_does(query, expected):
    assert outcome(released(query)) == expected


@pytest.mark.parametrize("count", [60, pytest.param(2000, marks=pytest.mark.acceptance)])
def test_a_random_query_is_followed_or_the_reason_is_said_why_not(count):
    rng = random.Random(12)
    for _ in range(count):
        study = released(queries.query(rng, rng.randint(1, 4)))
        assert study.unmodelled or study.outcomes(HALF).rollback_rate <= 1.0


def test_a_gate_that_looks_back_beyond_the_release_sees_no_canary():
    shifted = ratio('status=~"5.."', filled=False).replace("[1m]", "[1m] offset 10m")
    study = released(
        shifted, "len(result) > 0 && result[0] < 0.01", "len(result) > 0 && result[0] >= 0.01"
    )
    healthy = study.outcomes(Fault())
    assert (healthy.rollback_rate, healthy.pause_rate) == (0.0, 1.0)


def test_failures_make_no_difference_to_the_share_of_quick_requests():
    """A histogram's count and its buckets have series of the same outcomes, which begin alike."""
    quick = f'sum(rate(request_seconds_bucket{{hash="{LATEST}", le="0.25"}}[1m]))'
    count = f'sum(rate(request_seconds_count{{hash="{LATEST}"}}[1m]))'
    study = released(f"1 - {quick} / {count}", "result[0] < 0.02")
    assert study.outcomes(HALF).rollback_rate == 0.0
    assert study.outcomes(Fault(slow_share=0.1)).rollback_rate == 1.0


def test_a_window_holds_as_many_scrapes_as_intervals_wherever_it_begins():
    world = released(SHARE).draws_of(1).world(Fault())
    windows = [world.slots(at_s, 20.0) for at_s in (60.0, 61.0, 64.9)]
    assert [last - first for first, last in windows] == [3, 3, 3]


def test_two_samples_say_less_than_a_window():
    """irate() over two scrapes of 5 s: a baseline of 0.5 % trips 1 % far more often than increase()."""
    calm = Traffic(100.0, error_rate=0.005)
    steady, jumpy = (
        Study(released(query).rollout, calm, n=2000).outcomes(Fault()).rollback_rate
        for query in (
            SHARE,
            SHARE.replace("increase", "irate"),
        )
    )
    assert jumpy > steady + 0.1


@pytest.mark.parametrize(
    ("query", "success", "failure", "expected"),
    [
        (SHARE, "result[0] * 100 < 1", "result[0] * 100 >= 1", (0.0, 1.0)),
        (f"({SHARE}) > bool 0.01", "result[0] == 0", "result[0] == 1", (0.0, 1.0)),
        (f"({SHARE}) > bool 0.01", "result[0] == 1", "", (1.0, 0.0)),
        (SHARE, "1 - result[0] > 0.99", "1 - result[0] <= 0.99", (0.0, 1.0)),
        (SHARE, "result[0] >= 0.01", "result[0] < 0.01", (1.0, 0.0)),
        (SHARE, "result[0] * result[0] < 0.0001", "", UNKNOWN),
        # on a vector, a number is no answer: the metric ends in Error, whatever it is
        (SHARE, "result < 0.01", "", (1.0, 1.0)),
    ],
)
def test_conditions_are_computed_and_not_guessed(query, success, failure, expected):
    assert outcome(released(query, success, failure)) == expected


def test_failures_beside_none_of_stable_are_infinitely_many_and_more_than_twice_as_many():
    stable = SHARE.replace(LATEST, STABLE)
    study = released(f"{SHARE} / ({stable} * 0)", "result[0] < 2")
    assert study.outcomes(HALF).rollback_rate == 1.0


def test_a_gate_that_ends_with_its_first_success_is_measured_again_while_it_fails():
    """With two in a row, how often depends on what it finds, which is not modelled."""
    metric = Metric("errors", SHARE, "result[0] < 0.01", "result[0] >= 0.01", interval_s=5.0)
    until = replace(metric, count=9, consecutive_success_limit=1)
    assert outcome(judged(replace(until, failure_limit=3))) == (0.0, 1.0)
    often = replace(until, failure_limit=3, consecutive_success_limit=2)
    assert outcome(judged(often)) == UNKNOWN


def test_a_gate_that_only_sees_most_requests_fail_is_not_called_blind():
    errors, *_ = power_curve.sweep(released(SHARE, "result[0] < 0.7"), "shop", "", "", {}).curves
    assert errors.detected_95 == pytest.approx(0.72, abs=0.03)


def together(queries):
    """One release that asks many queries, each as a gate."""
    metrics = (
        Metric(f"gate-{number}", query, "result[0] < 0.01", "result[0] >= 0.01")
        for number, query in enumerate(queries)
    )
    return judged(*metrics, n=10)


def test_what_is_modelled_is_read_as_a_real_prometheus_reads_it():
    modelled = [ratio(matcher) for matcher, expected in MATCHERS if expected != UNKNOWN]
    modelled += [ratio(matcher, metric) for metric, matcher in EXPORTERS]
    modelled += [query for query, expected in QUERIES if expected != UNKNOWN]
    assert len(modelled) > 40
    study = together(modelled)
    assert study.unmodelled == {}
    assert verification.disagreements(study) == []


def test_where_nothing_is_good_there_is_no_series_of_good_requests_in_either():
    share = ratio('status!~"5.."', filled=False)
    assert verification.disagreements(released(share, "result[0] >= 0.95", "")) == []
    assert verification.disagreements(released(f"{share} or vector(1)", "result[0] >= 0.95")) == []


@pytest.mark.acceptance
def test_the_shipped_gates_are_read_as_a_real_prometheus_reads_them(subject, saved):
    study = Study(
        subject.rollout,
        Traffic(100.0, routes=(0.6, 0.4)),
        cpu_limit=subject.cpu_limit,
        vocabulary=Vocabulary(saved.values),
        n=10,
    )
    assert verification.disagreements(study) == []


def test_a_misread_query_is_noticed_before_anything_is_printed(monkeypatch):
    def begins(dialect, matcher, outcome):
        good, failed = dialect.outcomes[matcher.label]
        return (good if outcome is Outcome.GOOD else failed).startswith(matcher.value[0])

    study = together([ratio('status=~"5"')])
    monkeypatch.setattr(Dialect, "selects", begins)
    said = verification.disagreements(study)
    assert any(
        "every request fails" in words and "Prometheus Successful" in words for words in said
    )


def test_a_label_value_that_cannot_be_made_up_is_said():
    study = together([ratio('status=~"5..", job=~"[a-c]{2}x?"')])
    with pytest.raises(verification.UnverifiedError, match="no value is known"):
        verification.disagreements(study)
