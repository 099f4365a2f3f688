"""Which alerts keep a release from going on, as docs/adr/0005 says: by real rules and the shipped query."""

import re
from dataclasses import replace

import pytest
from observe import cases as compact
from observe import promtool

from canary import durations

# What says of a release that it failed, waits or cannot say: the next release is the way out.
ABOUT_A_RELEASE = {
    "GridosAnalysisInconclusive",
    "GridosArgoOutOfSync",
    "GridosRolloutAborted",
    "GridosRolloutPaused",
    "GridosRolloutStuck",
}
UP = 'up{namespace="gridos", rollouts_pod_template_hash="abc", pod="gridos-abc-%s"}'
# The canary's pod is scraped from the first minute on.
BEFORE = "1x200"


@pytest.fixture(scope="module")
def query(alert_gate):
    asked = alert_gate("blocking-alerts")["provider"]["prometheus"]["query"]
    return lambda despite="": asked.replace("{{args.canary-hash}}", "abc").replace(
        "{{args.despite}}", despite
    )


@pytest.fixture(scope="module")
def firing(root):
    return [
        case
        for case in compact.read(root / "observability/tests/alerts.cases.yaml")
        if case.fires and not case.without
    ]


def answers(groups, tests, tmp_path):
    """What promtool says of expected answers; nothing if all are right."""
    tool = promtool.debian()
    return "".join(tool.test_of(file, tmp_path) for file in compact.of_cases(groups, tests))


def expectation(case, query, value, *, at="", name="", **pods):
    """A case's test: the query about its alert alone, with the canary's pods scraped so."""
    series = dict(case.series) | {UP % name: values for name, values in pods.items()}
    about = query.replace(
        'blocks_release="true"', f'blocks_release="true", alertname="{case.alert}"'
    )
    checks = [{"expr": about, "eval_time": at or case.at, "exp_samples": [{"value": value}]}]
    return case, {
        "name": name or case.alert,
        "interval": "1m",
        "input_series": [{"series": s, "values": v} for s, v in series.items()],
        "promql_expr_test": checks,
    }


@pytest.fixture(scope="module")
def database_down(firing):
    """An alert that fires from the second minute on."""
    (case,) = (case for case in firing if case.alert == "GridosDatabaseDown")
    return replace(case, series=dict.fromkeys(case.series, "0x20"))


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
    tests = [expectation(case, query(), 1, a=BEFORE) for case in aborting]
    tests += [expectation(case, query(), 0, a=BEFORE) for case in others]
    assert answers(groups, tests, tmp_path) == ""


def test_an_alert_that_was_there_before_a_release_began_aborts_none(
    groups, query, firing, tmp_path
):
    tests = [
        expectation(case, query(), 0, a=f"_x{durations.parse(case.at) / 60:.0f} 1x10")
        for case in firing
    ]
    assert answers(groups, tests, tmp_path) == ""


def test_the_question_always_has_an_answer(groups, query, database_down, tmp_path):
    """Argo makes Inconclusive of an empty result, which would pause a healthy release."""
    # The database is lost in minute 4, and the alert fires from minute 5 on.
    lost = replace(database_down, series=dict.fromkeys(database_down.series, "1x3 0x20"))
    aborts = [
        (0, {}, "no pod of the canary was ever scraped"),
        (1, {"a": "0x20"}, "every scrape of the canary fails"),
        (1, {"a": "1 0 1 0 0 1x20"}, "some fail"),
        (1, {"a": "1x20", "b": "_x8 1x20"}, "more pods came later"),
        (1, {"a": "1x7 stale", "b": "1x20"}, "one of the first pods is gone"),
        (0, {"a": "1x7 stale", "b": "_x8 1x20"}, "an earlier attempt's pods are gone"),
        (0, {"a": "1x7 stale"}, "every pod of the canary is gone"),
    ]
    tests = [
        expectation(lost, query(), value, at="10m", name=what, **pods)
        for value, pods, what in aborts
    ]
    assert answers(groups, tests, tmp_path) == ""


def test_an_alert_that_was_decided_about_aborts_no_release(groups, query, database_down, tmp_path):
    named = {"GridosDatabaseDown": 0, "GridosUnreachable|GridosDatabase.*": 0, "Gridos": 1}
    tests = [
        expectation(database_down, query(despite), value, at="10m", a=BEFORE)
        for despite, value in named.items()
    ]
    assert answers(groups, tests, tmp_path) == ""


def test_the_runbook_that_lets_a_fix_out_says_how_it_starts(root):
    text = (root / "docs/runbooks/GridosErrorBudgetHalfSpent.md").read_text(encoding="utf-8")
    assert re.search(r"amtool silence add alertname=GridosErrorBudgetHalfSpent --duration", text)
    assert "gridos.example.com/release-despite=GridosErrorBudgetHalfSpent" in text
