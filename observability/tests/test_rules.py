"""Rules and alerts, by promtool of both majors, and guards against what promtool passes unasked."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from observe import cases as compact
from observe import generate, rules

from canary import durations
from canary.argo import promql
from canary.errors import UsageError

TESTS = Path(__file__).parent
RUNBOOKS = "https://github.com/example/gridos/blob/main/docs/runbooks/"
SEVERITIES = {"page", "ticket", "freeze", "none"}
TEAMS = {"service", "platform"}


@pytest.fixture(scope="module")
def files(root):
    return rules.files(root / "observability/rules")


@pytest.fixture(scope="module")
def cases():
    return compact.read(TESTS / "alerts.cases.yaml")


def run(tool, folder, contents):
    """What promtool says of some test files, one text a file; nothing where it passed."""
    return [tool.test_of(content, folder) for content in contents]


def test_promtool_finds_every_rule_that_the_files_hold(tool, files, groups):
    assert tool.check(files) == sum(len(group.rules) for group in groups) > 60


def test_every_alert_fires_and_stays_silent_as_its_cases_say(tool, groups, cases, tmp_path):
    files = compact.promtool_tests(cases, groups)
    assert sum(len(file["tests"]) for file in files) == len(cases)
    said = run(tool, tmp_path, files)
    assert not any(said), "\n".join(said)


def test_every_alert_has_both_cases_and_only_the_watchdog_is_never_silent(alerts, cases):
    names = [alert.name for alert in alerts]
    assert len(names) == len(set(names)) == 33
    assert sorted(c.alert for c in cases if c.fires) == sorted(names)
    assert sorted(c.alert for c in cases if not c.fires) == sorted(set(names) - {"Watchdog"})


def test_a_case_that_expects_the_wrong_words_fails(tool, groups, cases, tmp_path):
    wrong = [replace(case, says="all is well") for case in cases if case.fires][:4]
    assert all(run(tool, tmp_path, compact.promtool_tests(wrong, groups)))


def test_a_firing_case_that_is_said_to_be_silent_fails(tool, groups, cases, tmp_path):
    # One is enough to know that promtool looks; the words of all are tested above.
    case = next(case for case in cases if case.fires)
    wrong = compact.promtool_tests([replace(case, fires=False)], groups)
    assert all(run(tool, tmp_path, wrong)), case.alert


def test_values_that_yaml_reads_as_a_number_are_refused(tmp_path):
    """Twenty zeros would be one sample of 32."""
    file = tmp_path / "cases.yaml"
    case = {"series": {"up": 0x20}, "at": "5m"}
    file.write_text(yaml.safe_dump([{"alert": "TargetDown", "fires": case, "silent": case}]))
    with pytest.raises(UsageError, match=r"write 0\+0x20"):
        compact.read(file)


def test_a_case_about_an_alert_that_does_not_exist_is_refused(groups, cases):
    misspelt = [replace(cases[0], alert="GridosErrorBudgetBurn1hour")]
    with pytest.raises(UsageError, match="is not an alert"):
        compact.promtool_tests(misspelt, groups)


@pytest.mark.parametrize("name", ["slo", "release", "resources", "idle", "replaced"])
def test_the_recorded_series_are_what_the_written_tests_say(tool, name):
    assert tool.test(TESTS / f"{name}.test.yaml") == ""


def test_every_alert_carries_what_a_person_needs(alerts):
    for alert in alerts:
        assert alert.labels["severity"] in SEVERITIES, alert.name
        assert alert.labels["team"] in TEAMS, alert.name
        assert set(alert.annotations) == {"summary", "description", "cost", "runbook_url"}
        assert alert.annotations["runbook_url"] == f"{RUNBOOKS}{alert.name}.md"


def test_labels_hold_no_values_and_no_alert_flaps_by_topk(alerts):
    for alert in alerts:
        assert not any("{{" in value for value in alert.labels.values()), alert.name
        assert "topk" not in alert.expression


def test_every_absence_waits_for_more_than_a_missed_scrape(alerts):
    absences = [alert for alert in alerts if "absent(" in alert.expression]
    assert absences
    for alert in absences:
        assert alert.hold_s >= 180, alert.name


EXPORTERS = {
    "http_": "the service",
    "request_": "the service",
    "gridos_": "the service",
    "container_": "the kubelet",
    "kube_": "kube-state-metrics",
    "probe_": "blackbox-exporter",
    "rollout_": "argo-rollouts",
    "analysis_run_": "argo-rollouts",
    "argocd_": "argo-cd",
    "alertmanager_": "alertmanager",
    "prometheus_": "prometheus",
    "up": "any job",
}


def exporters(expression, recorded):
    """Whose series an expression reads, those of the rules that record what it reads included."""
    found = set()
    for selector in promql.parse(expression).selectors:
        if selector.metric in recorded:
            found |= exporters(recorded[selector.metric], recorded)
        else:
            found |= {who for start, who in EXPORTERS.items() if selector.metric.startswith(start)}
            assert selector.metric.startswith(tuple(EXPORTERS)), selector.metric
    return found


def test_whatever_an_alert_reads_there_is_one_that_fires_when_it_is_not_there(groups, alerts):
    """A comparison with nothing is silent, as if all were well."""
    recorded = {rule.name: rule.expression for rule in rules.records(groups)}
    told = {
        who
        for alert in alerts
        if "absent(" in alert.expression or "unless count by (job) (up)" in alert.expression
        for who in exporters(alert.expression, recorded)
    }
    assert told == set(EXPORTERS.values())
    for alert in alerts:
        assert exporters(alert.expression, recorded) <= told, alert.name


def test_without_any_series_each_alert_about_absent_ones_fires_and_names_what_is_absent(
    tool, groups, tmp_path
):
    counts = {
        "AlertmanagerDown": 1,
        "ExporterAbsent": 4,
        "GridosKubeMetricsAbsent": 2,
        "GridosMetricsAbsent": 1,
    }
    asked = {
        f'count(ALERTS{{alertname="{name}", alertstate="firing"}})': count
        for name, count in counts.items()
    }
    for exporter in ("blackbox-exporter", "argo-rollouts", "argo-cd", "prometheus"):
        asked[f'count(ALERTS{{exporter="{exporter}", alertstate="firing"}})'] = 1
    expected = [
        {"expr": query, "eval_time": "12m", "exp_samples": [{"value": count}]}
        for query, count in asked.items()
    ]
    empty = {"interval": "1m", "input_series": [], "promql_expr_test": expected}
    assert tool.test_of(compact.of_groups(groups, [empty]), tmp_path) == ""


def test_no_recorded_series_is_used_that_no_rule_records(groups):
    recorded = {rule.name for rule in rules.records(groups)}
    for group in groups:
        for rule in group.rules:
            text = " ".join([rule.expression, *rule.annotations.values()])
            assert set(re.findall(r"\bgridos:\w+:\w+", text)) <= recorded, rule.name


def test_thresholds_are_compared_as_series_and_written_nowhere_else(root, groups):
    by_gate = {r.name: r.expression for r in rules.records(groups) if "gate_" in r.name}
    values = {float(re.search(r"[\d.]+", text)[0]) for text in by_gate.values()} - {0.0, 80.0, 1.5}
    assert len(values) > 2
    allowed = {"gridos:http_slow:rate5m"}  # `le` is a label, and tied to the gate below
    for group in groups:
        for rule in group.rules:
            if group.file.name == "gates.generated.yaml" or rule.name in allowed:
                continue
            numbers = {float(n) for n in re.findall(r"(?<![\w.])\d*\.\d+", rule.expression)}
            # 0.25 of the throttling alert is a share of periods and happens to equal 0.25 s.
            assert not numbers & (values - ({0.25} if rule.name == "GridosCpuThrottled" else set()))


def test_the_slow_requests_are_counted_at_the_latency_gates_threshold(groups):
    recorded = {rule.name: rule.expression for rule in rules.records(groups)}
    threshold = re.search(r"[\d.]+", recorded["gridos:gate_p95_latency_seconds:max"])[0]
    assert f'le="{threshold}"' in recorded["gridos:http_slow:rate5m"]


def test_the_budget_looks_back_over_the_objectives_window(root, groups):
    window = yaml.safe_load((root / "loadtest/rehearsal.yaml").read_text())["slo"]["window"]
    used = {
        seconds
        for group in groups
        if group.name == "gridos-budget"
        for rule in group.rules
        for seconds in durations.ranges_s(rule.expression)
    }
    assert used == {durations.parse(window)}


def test_what_is_generated_is_what_stands_in_git(root):
    assert generate.differing(root) == []


def test_the_operators_objects_hold_every_rule(root, groups):
    objects = list(yaml.safe_load_all((root / generate.OBJECTS).read_text()))
    assert {body["kind"] for body in objects} == {"PrometheusRule"}
    held = [r for body in objects for group in body["spec"]["groups"] for r in group["rules"]]
    assert len(held) == sum(len(group.rules) for group in groups)
    assert len({body["metadata"]["name"] for body in objects}) == len(objects)


def test_rules_scaled_in_time_keep_windows_that_hold_four_scrapes(groups):
    quick = rules.scaled(groups, 60, shortest_s=4)
    for group, fast in zip(groups, quick, strict=True):
        for rule, scaled in zip(group.rules, fast.rules, strict=True):
            assert scaled.hold_s == rule.hold_s / 60
            shrunk = [max(4, s / 60) for s in durations.ranges_s(rule.expression)]
            assert list(durations.ranges_s(scaled.expression)) == pytest.approx(shrunk)


def test_groups_come_after_those_whose_series_they_read(groups):
    order = [group.name for group in rules.ordered(groups)]
    assert sorted(order) == sorted(group.name for group in groups)
    chain = ["gridos-thresholds", "gridos-sli", "gridos-burn-rates", "gridos-slo-alerts"]
    assert sorted(chain, key=order.index) == chain
    assert order.index("gridos-budget") > order.index("gridos-burn-rates")


def test_the_written_tests_evaluate_their_groups_in_that_order(groups):
    order = [group.name for group in rules.ordered(groups)]
    for file in TESTS.glob("*.test.yaml"):
        content = yaml.safe_load(file.read_text())
        loaded = {(TESTS / rule_file).resolve() for rule_file in content["rule_files"]}
        names = [name for name in order if any(g.name == name and g.file in loaded for g in groups)]
        assert content["group_eval_order"] == names, file.name
