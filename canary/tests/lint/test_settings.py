"""A repository says what it accepts: by rule, by place, with a reason, until a day, or as known."""

import json
from datetime import date

import pytest
import yaml

from canary.argo.gates import Severity
from canary.errors import UsageError
from canary.lint import baseline, check, output, settings
from canary.lint.rules import RULES
from canary.power import catalogue, edits
from canary.tests.test_cli import CANARY, run

TODAY = date(2026, 11, 28)
ACCEPTED = {"rule": "unguarded-end", "reason": "promoted by hand"}


@pytest.fixture
def report():
    """Of a release with one warning, unguarded-end."""
    (example,) = (e for e in catalogue.examples() if e.rule == "unguarded-end")
    return check.lint(example.failing)


def read(tmp_path, **body):
    file = tmp_path / ".canary.yaml"
    file.write_text(yaml.safe_dump(body, sort_keys=False), encoding="utf-8")
    return settings.load(file)


def applied(report, tmp_path, **body):
    return settings.apply(report, read(tmp_path, **body), TODAY)


@pytest.mark.parametrize("word", ["off", False])
def test_a_rule_can_be_off(report, tmp_path, word):
    assert applied(report, tmp_path, rules={"unguarded-end": word}).findings == ()


@pytest.mark.parametrize("severity", Severity)
def test_a_rule_can_have_another_severity(report, tmp_path, severity):
    found = applied(report, tmp_path, rules={"unguarded-end": str(severity)}).findings
    assert [f.severity for f in found] == [severity]


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"path": "exam*"},
        {"object": "Rollout/*", "expires": "2026-11-28"},
        {"expires": "2027-01-01"},
    ],
)
def test_an_ignore_sets_a_finding_aside_with_its_reason(report, tmp_path, more):
    left = applied(report, tmp_path, ignores=[ACCEPTED | more])
    assert left.findings == ()
    assert [reason for _, reason in left.suppressed] == ["promoted by hand"]


@pytest.mark.parametrize(
    "more", [{"rule": "not-scoped"}, {"path": "other/*"}, {"object": "Rollout/other"}]
)
def test_an_ignore_of_something_else_sets_nothing_aside(report, tmp_path, more):
    assert applied(report, tmp_path, ignores=[ACCEPTED | more]).findings == report.findings


def test_an_ignore_ends_on_its_day_and_says_so(report, tmp_path):
    left = applied(report, tmp_path, ignores=[ACCEPTED | {"expires": "2026-11-27"}])
    assert left.suppressed == ()
    assert [f.message for f in left.findings] == [
        "from 50 % to 100 % no gate measures (ignored until 2026-11-27)"
    ]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"rule": {}}, "line 1: 'rule' is not known here — write ignores, paths, rules"),
        ({"rules": {"no-rule": "off"}}, "line 2: 'no-rule' is not a rule"),
        ({"rules": {"not-scoped": "fatal"}}, "line 2: 'fatal' is not a severity"),
        ({"ignores": [{"rule": "not-scoped"}]}, "line 2: the ignore of not-scoped has no reason"),
        ({"ignores": [ACCEPTED | {"expires": "soon"}]}, "line 2: 'soon' is not a day"),
        ({"ignores": [ACCEPTED | {"until": "2027-01-01"}]}, "'until' is not known here"),
        ({"ignores": [{"reason": "x"}]}, "'' is not a rule"),
    ],
)
def test_settings_that_mean_nothing_are_refused_with_their_line(tmp_path, body, said):
    with pytest.raises(UsageError) as refused:
        read(tmp_path, **body)
    assert said in str(refused.value)


def test_an_empty_file_of_settings_changes_nothing(report, tmp_path):
    (tmp_path / ".canary.yaml").write_text("# nothing yet\n", encoding="utf-8")
    assert settings.apply(report, settings.load(tmp_path / ".canary.yaml"), TODAY) == report


def test_only_findings_that_are_new_count_against_a_baseline(report, tmp_path):
    file = tmp_path / "known.json"
    file.write_text(output.document(report), encoding="utf-8")
    worse = edits.apply(
        [*{f.document: None for f in report.findings}, *catalogue.good_release()[1:]],
        [edits.read({"kind": "Rollout", "path": "spec.replicas", "set": 4})],
    )
    left = baseline.apply(check.lint(worse), baseline.load(file))
    assert [finding.rule for finding in left.known] == ["unguarded-end"]
    assert {finding.rule for finding in left.findings} == {"share-not-weight"}
    assert output.summary(left).endswith("1 known")


def test_of_two_findings_in_one_place_one_was_known(report):
    twice = check.Report(report.releases, report.findings * 2, ())
    (key,) = (("unguarded-end", "example", "Rollout/shop", "spec.strategy.canary"),)
    left = baseline.apply(twice, baseline.Counter({key: 1}))
    assert (len(left.findings), len(left.known)) == (1, 1)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"findings": [1]}', "[" * 100_000])
def test_a_baseline_that_no_lint_wrote_is_refused(tmp_path, content):
    file = tmp_path / "known.json"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match="is not the JSON of a lint"):
        baseline.load(file)


def test_the_program_reads_the_settings_where_it_stands_and_a_baseline(tmp_path):
    (example,) = (e for e in catalogue.examples() if e.rule == "unguarded-end")
    (tmp_path / "app").mkdir()
    bodies = (d.body for d in example.failing)
    (tmp_path / "app/shop.yaml").write_text(yaml.safe_dump_all(bodies), encoding="utf-8")
    read(tmp_path, paths=["app"], rules={"unguarded-end": "error"})
    first = run(CANARY, "lint", "-o", "json", cwd=tmp_path)
    assert first.returncode == 1
    assert [f["severity"] for f in json.loads(first.stdout)["findings"]] == ["error"]
    (tmp_path / "known.json").write_text(first.stdout, encoding="utf-8")
    assert run(CANARY, "lint", "--baseline", "known.json", cwd=tmp_path).returncode == 0


def test_each_rule_is_explained_as_the_page_of_all_rules_does():
    page = catalogue.render()
    for rule in RULES:
        assert catalogue.explain(rule).startswith(f"## `{rule}`")
        assert catalogue.explain(rule) in page


def test_a_rule_that_is_mistyped_is_answered_with_the_nearest():
    done = run(CANARY, "lint", "--explain", "not-scope")
    assert (done.returncode, done.stderr) == (
        2,
        "canary: 'not-scope' is not a rule — did you mean not-scoped?\n",
    )
