"""A rehearsal as a pull request shows it."""

import html
import re
from xml.etree import ElementTree as ET

import pytest

from canary.rehearse import pull_request
from canary.rehearse.result import Result
from canary.rehearse.verdict import Outcome


def markdown(document):
    return pull_request.markdown(Result.model_validate(document))


def suite_of(document):
    return ET.fromstring(pull_request.junit_xml(Result.model_validate(document)))


@pytest.fixture
def branch(document):
    document["release"]["candidate"] |= {"reference": "fix-42", "commit": "a" * 40}
    document["release"]["stable"] |= {"reference": "main", "commit": "b" * 40}
    document["release"]["changes"] = ["the gates: the candidate's gates judge"]
    return document


def test_the_verdict_stands_first_and_the_references_below_it(branch):
    lines = markdown(branch).splitlines()
    assert lines[0].startswith("### ❌ Rolled back by container-restarts: 4 (limit 0, ")
    assert html.unescape(lines[0]) == f"### ❌ {branch['verdict']['headline']}"
    assert lines[2] == "`fix-42` (aaaaaaaa) released over `main` (bbbbbbbb), with crash=500."


def test_what_is_to_blame_stands_below_the_verdict_with_what_changed(branch):
    branch["evidence"] = {
        "cause": ["GET /a/{id}: 9 of 9 requests failed with 500"],
        "changed": ["app.py (show)"],
        "coverage": {"known": 2, "missing": ["GET /b"]},
    }
    text = html.unescape(markdown(branch))
    assert text.splitlines()[2:4] == [
        "- GET /a/{id}: 9 of 9 requests failed with 500",
        "- changed: `app.py (show)`",
    ]
    assert "1 of 2 routes exercised; not exercised: GET /b." in text
    branch["verdict"] |= {"outcome": "promoted", "exit_code": 0}
    assert "Every gate passed, but" in markdown(branch)


def test_a_candidate_that_brings_its_own_gates_is_announced(branch):
    assert "> The candidate changes the gates:" in markdown(branch)


def test_each_gate_has_a_row_and_each_step_that_looked_a_column(document):
    text = markdown(document)
    assert "| canary (stable) | limit | 10 % | 25 % |" in text
    row = next(line for line in text.splitlines() if line.startswith("| container-restarts"))
    assert row.count("|") == 5
    assert "❌" in row


def test_a_release_that_was_never_applied_shows_no_gates(document):
    document["analysis_runs"] = []
    text = markdown(document)
    assert "No gate was measured." in text
    assert "mermaid" not in text


def test_the_chart_has_as_many_points_on_each_line(document):
    lines = [x for x in markdown(document).splitlines() if x.startswith("  line [")]
    assert len({line.count(",") for line in lines}) == 1
    assert 2 < lines[0].count(",") < 61


def test_junit_fails_the_release_and_the_gate_that_stopped_it(document):
    suite = suite_of(document)
    failed = [c.get("classname") for c in suite.iter("testcase") if c.find("failure") is not None]
    assert failed == ["release", "gate.container-restarts"]
    assert (suite.get("failures"), suite.get("errors")) == ("2", "0")
    assert suite.get("tests") == str(len(suite.findall("testcase")))


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        (Outcome.ROLLED_BACK, "failure"),
        (Outcome.NOT_RELEASED, "failure"),
        (Outcome.INCONCLUSIVE, "failure"),
        (Outcome.UNUSABLE, "error"),
        (Outcome.NOT_MEASURED, "error"),
        (Outcome.FAULT, "error"),
        (Outcome.INTERRUPTED, "error"),
    ],
)
def test_what_could_not_be_judged_is_an_error_and_no_failure(document, outcome, kind):
    document["verdict"] |= {"outcome": str(outcome), "exit_code": outcome.exit_code}
    assert suite_of(document).find("testcase").find(kind) is not None


def test_a_promoted_release_fails_nothing(document):
    document["verdict"] |= {"exit_code": 0, "outcome": "promoted"}
    document["analysis_runs"] = []
    suite = suite_of(document)
    assert (suite.get("failures"), suite.get("errors")) == ("0", "0")


HOSTILE = '<img src=x onerror="x">@everyone [a](javascript:x) | ` \x07'


def test_what_a_gate_is_called_is_text_and_neither_html_nor_a_mention_nor_a_link(document):
    for part in (document["gates"][0], document["analysis_runs"][0]["metrics"][0]):
        part["name"] = HOSTILE
    document["verdict"]["headline"] = document["command"] = HOSTILE
    document["release"]["changes"] = [HOSTILE]
    text = re.sub(r"`[^`\n]*`", "", markdown(document))
    text = text.split("<details>")[0]
    for raw in ("<img", "[a]", "\x07"):
        assert raw not in text
    assert "@everyone" not in html.unescape(text)  # as GitHub looks for mentions
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in rows}) == 1


def test_junit_is_xml_whatever_a_gate_is_called_or_said(document):
    metric = document["analysis_runs"][0]["metrics"][0]
    metric |= {"name": HOSTILE, "message": "\x00\x1b[31m", "phase": "Failed"}
    document["verdict"] |= {"headline": "\x08", "exit_code": 1, "outcome": "rolled-back"}
    assert suite_of(document).find("testcase") is not None
