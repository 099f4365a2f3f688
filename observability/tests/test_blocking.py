"""Which alerts keep a release from going on, as docs/adr/0005 says: by real rules and the shipped query."""

import re

import pytest
import yaml
from observe import cases as compact
from observe import promtool, rules

from canary.runtime import documents

# What says of a release that it failed, waits or cannot say: the next release is the way out.
ABOUT_A_RELEASE = {
    "GridosAnalysisInconclusive",
    "GridosArgoOutOfSync",
    "GridosRolloutAborted",
    "GridosRolloutPaused",
    "GridosRolloutStuck",
}
# Seconds at which the canary's first pod is made: before everything, and after it.
BEFORE, AFTER = -60, 100_000


@pytest.fixture(scope="module")
def query(root):
    file = root / "deploy/components/alerts-abort/analysis-blocking-alerts.yaml"
    found = (read.body for read in documents.read(file))
    template = next(body for body in found if body["metadata"]["name"] == "blocking-alerts")
    (metric,) = template["spec"]["metrics"]
    return metric["provider"]["prometheus"]["query"].replace("{{args.canary-hash}}", "abc")


@pytest.fixture(scope="module")
def firing(root):
    return [
        case
        for case in compact.read(root / "observability/tests/alerts.cases.yaml")
        if case.fires and not case.without
    ]


def asked(query, case, made):
    """A promtool test: the query about this alert alone, with a canary made at a moment."""
    pods = 'kube_pod_created{namespace="gridos", pod="gridos-abc-1"}'
    series = [{"series": s, "values": v} for s, v in case.series.items()]
    series.append({"series": pods, "values": f"{made}+0x200"})
    about = query.replace(
        'blocks_release="true"', f'blocks_release="true", alertname="{case.alert}"'
    )
    return about, series


def answers(groups, tests, tmp_path):
    """What promtool says of expected answers; nothing if all are right."""
    file = tmp_path / "test.yaml"
    body = {
        "rule_files": sorted({str(group.file) for group in groups}),
        "evaluation_interval": "1m",
        "group_eval_order": [group.name for group in rules.ordered(groups)],
        "tests": tests,
    }
    file.write_text(yaml.safe_dump(body))
    return promtool.debian().test(file)


def expectation(case, query, made, value):
    about, series = asked(query, case, made)
    checks = [{"expr": about, "eval_time": case.at, "exp_samples": [{"value": value}]}]
    return {
        "name": case.alert,
        "interval": "1m",
        "input_series": series,
        "promql_expr_test": checks,
    }


def test_no_alert_about_a_release_blocks_one(alerts):
    blocking = {alert.name for alert in alerts if "blocks_release" in alert.labels}
    assert {alert.name for alert in alerts if "about_release" in alert.labels} == ABOUT_A_RELEASE
    assert not blocking & ABOUT_A_RELEASE
    assert len(blocking) > 8


def test_a_blocking_alert_that_begins_during_a_release_aborts_it_and_a_freeze_does_not(
    groups, alerts, query, firing, tmp_path
):
    labels = {alert.name: alert.labels for alert in alerts}
    aborting = [
        case
        for case in firing
        if "blocks_release" in labels[case.alert] and labels[case.alert]["severity"] != "freeze"
    ]
    others = [case for case in firing if case not in aborting]
    assert len(aborting) > 8
    assert "GridosErrorBudgetHalfSpent" in {case.alert for case in others}
    tests = [expectation(case, query, BEFORE, 1) for case in aborting]
    tests += [expectation(case, query, BEFORE, 0) for case in others]
    assert answers(groups, tests, tmp_path) == ""


def test_an_alert_that_was_there_before_a_release_began_aborts_none(
    groups, query, firing, tmp_path
):
    tests = [expectation(case, query, AFTER, 0) for case in firing]
    assert answers(groups, tests, tmp_path) == ""


def test_without_the_moment_at_which_a_release_began_nothing_can_be_said(
    groups, query, firing, tmp_path
):
    about, series = asked(query, firing[0], BEFORE)
    checks = [{"expr": about, "eval_time": "5m", "exp_samples": []}]
    tests = [{"interval": "1m", "input_series": series[:-1], "promql_expr_test": checks}]
    assert answers(groups, tests, tmp_path) == ""


def test_the_runbook_that_lets_a_fix_out_says_how_it_starts(root):
    text = (root / "docs/runbooks/GridosErrorBudgetHalfSpent.md").read_text(encoding="utf-8")
    assert re.search(r"amtool silence add alertname=GridosErrorBudgetHalfSpent --duration", text)
