"""Thirty days of the error budget, against arithmetic done here; and raw counters in a real TSDB.

promtool's rule tests see recorded series only. What happens to counters before that (a restart
that sets one back, pods that come and go) is shown to a real Prometheus over backfilled blocks.
"""

import pytest
from observe import cases, rules

from canary.power import backfill

HOURS = 30 * 24
BUDGET = 0.001
BUSY, QUIET = 100.0, 1.0
NIGHT = range(6)
TOLERANCE = 0.001  # 0.1 percentage points of the budget


def busy_by_day(hour):
    return QUIET if hour % 24 in NIGHT else BUSY


def idle_by_night(hour):
    return 0.0 if hour % 24 in NIGHT else BUSY


def steady(share):
    return lambda hour, requests: share * requests


def outage_at(outage):
    return lambda hour, requests: requests if hour == outage else 0.0


SCENARIOS = {
    "a steady burn at half the budget": (busy_by_day, steady(0.0005)),
    "one hour's total outage at three in the night": (busy_by_day, outage_at(10 * 24 + 3)),
    "one hour's total outage at noon": (busy_by_day, outage_at(10 * 24 + 12)),
    "idle nights and a steady burn": (idle_by_night, steady(0.0002)),
}


def truth(traffic, failing):
    """What is left of the budget, by counting requests."""
    requests = [traffic(hour) for hour in range(HOURS)]
    failures = [failing(hour, requests[hour]) for hour in range(HOURS)]
    return 1 - sum(failures) / sum(requests) / BUDGET


def promtool_test(name, traffic, failing):
    requests = [traffic(hour) for hour in range(HOURS)]
    failures = [failing(hour, count) for hour, count in enumerate(requests)]
    left = truth(traffic, failing)
    remaining = "gridos:slo_budget_remaining"
    labels = '{namespace="gridos"}'
    series = {"requests": requests, "failures": failures}
    return {
        "name": name,
        "interval": "1h",
        "input_series": [
            {"series": f"gridos:http_{what}:rate5m{labels}", "values": " ".join(map(str, values))}
            for what, values in series.items()
        ],
        "promql_expr_test": [
            {
                "expr": f"abs({remaining}:{what} - {expected!r}) < bool {allowed!r}",
                "eval_time": f"{HOURS - 1}h",
                "exp_samples": [{"labels": labels, "value": 1}],
            }
            for what, expected, allowed in (
                ("ratio", left, TOLERANCE),
                ("minutes", left * 43.2, TOLERANCE * 43.2),
            )
        ],
    }


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_budget_left_of_thirty_days_is_right_within_a_tenth_of_a_point(
    tool, name, groups, tmp_path
):
    # Thresholds first: an hour-old sample of theirs would be too old for the budget.
    used = [group for group in groups if group.name in ("gridos-thresholds", "gridos-budget")]
    content = cases.of_groups(used, [promtool_test(name, *SCENARIOS[name])], "1h")
    assert content["group_eval_order"] == ["gridos-thresholds", "gridos-budget"]
    assert tool.test_of(content, tmp_path) == ""


def test_an_outage_at_night_costs_less_than_at_noon():
    night = truth(*SCENARIOS["one hour's total outage at three in the night"])
    noon = truth(*SCENARIOS["one hour's total outage at noon"])
    assert night == pytest.approx(0.9815, abs=0.0005)
    assert noon < 0  # more than the whole month's budget


# ------------------------------------------------------------------------ raw counters, real TSDB

SCRAPE_S = 15
SPAN_S = 5400  # inside one block
PODS = 6


def churning_pods():
    """(pod, first, last, per-second rates) of pods that are replaced, one of which restarts."""
    for number in range(PODS):
        yield f"gridos-aaa-{number}", 0, SPAN_S // 2, number == 2
        yield f"gridos-bbb-{number}", SPAN_S // 2, SPAN_S, False


def samples(base_s):
    for pod, first, last, restarts in churning_pods():
        for status, rate in (("200", 19.8), ("500", 0.2)):
            labels = (
                f'namespace="gridos",pod="{pod}",method="GET",route="/v1/feeders",status="{status}"'
            )
            for at in range(first, last + 1, SCRAPE_S):
                begun = first + 1200 if restarts and at >= first + 1200 else first
                yield f"http_requests_total{{{labels}}} {rate * (at - begun):.1f} {base_s + at}"


@pytest.fixture(scope="module")
def churned(tmp_path_factory):
    """A Prometheus over the counters of pods that came, went and restarted."""
    folder = tmp_path_factory.mktemp("churn")
    base_s = 7200 * 240_000  # the start of a block, in 2024
    ordered = sorted(samples(base_s), key=lambda line: line.rpartition("} ")[0])
    backfill.load(ordered, folder, "churn")
    with backfill.serving(folder) as server:
        yield server, base_s


def test_restarts_and_churn_do_not_bend_the_ratio_that_the_budget_is_made_of(churned, groups):
    server, base_s = churned
    by_name = {rule.name: rule.expression for rule in rules.records(groups)}
    by_route = by_name["gridos:http_requests_by_route:rate5m"]
    failed = (
        f'sum((({by_route}) and on (status) label_replace(vector(1), "status", "500", "", "")))'
    )
    ratio = f"{failed} / sum({by_route})"
    # Through the restart, through the replacement of every pod, and at rest.
    for at_s in (1200, 1300, SPAN_S // 2 + 60, SPAN_S // 2 + 290, SPAN_S - 100):
        (value,) = server.query(ratio, at_s=base_s + at_s)
        assert value == pytest.approx(0.01, abs=1e-4), at_s


def test_the_sum_of_recorded_rates_counts_requests_through_restarts_and_churn(churned, groups):
    server, base_s = churned
    by_name = {rule.name: rule.expression for rule in rules.records(groups)}
    summed = f"sum_over_time(sum({by_name['gridos:http_requests_by_route:rate5m']})[80m:30s]) * 30"
    (counted,) = server.query(summed, at_s=base_s + SPAN_S)
    true = PODS * 20 * 80 * 60
    # What a new pod counts before its first scrape is lost to any rate; 2 % at this rhythm.
    assert counted == pytest.approx(true, rel=0.02)
