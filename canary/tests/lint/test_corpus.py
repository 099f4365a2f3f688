"""Manifests in the idioms of public repositories: what is said of each was judged by hand."""

import json
from collections import Counter

import pytest
import yaml

from acceptance.calling import call
from canary import cli
from canary.argo.gates import Severity
from canary.lint import check, repository
from canary.tests.argo import shapes
from canary.tests.lint import corpus

CASES = list(corpus.cases())
NAMES = [name for name, _, _ in CASES]
# What a step or a kind that no rule judges is called where it is passed over.
UNJUDGED = {"experiment", "step-plugin", "canary-scale", "header", "mirror"}


def findings(documents):
    report = check.lint_repository(repository.Reading(tuple(documents)))
    # A template that nothing refers to stands in each shape; it is judged by itself.
    own = [f for f in report.findings if f.document.name != "unused"]
    return [f for f in own if f.severity is not Severity.NOTE], report


def test_there_are_many_manifests_of_many_repositories():
    assert len(CASES) >= 120
    assert len({case["repo"] for _, _, case in CASES if "repo" in case}) >= 20
    without = {tuple(case["as"].split()) for _, _, case in CASES if "repo" not in case}
    assert without == set(shapes.SHAPES)


@pytest.mark.parametrize(("documents", "case"), [c[1:] for c in CASES], ids=NAMES)
def test_a_manifest_is_accused_of_what_was_judged_and_nothing_else(documents, case):
    found, report = findings(documents)
    assert list(dict.fromkeys(f.rule for f in found)) == case["lint"]
    assert set(case.get("wrong", {})) <= set(case["lint"])
    named = " ".join(map(str, report.passed_over))
    assert ("not judged" in named) is bool(UNJUDGED & set(case["as"].split()))


def test_few_findings_are_false():
    found = Counter(f.rule for _, documents, _ in CASES for f in findings(documents)[0])
    false = sum(len(case.get("wrong", {})) for _, _, case in CASES)
    assert found.total() > 300
    assert false <= 0.02 * found.total()


def told(rate):
    return "none" if rate < 0.05 else "all" if rate > 0.95 else "some"


def powers(root, documents):
    """What `canary power` says: which releases are stopped, or why it says nothing."""
    text = yaml.safe_dump_all([d.body for d in documents], sort_keys=False)
    done = call(cli.main, ["power", "-", "--releases", "50", "-o", "json"], root, text)
    if done.returncode:
        assert done.stdout == ""
        return done.stderr.splitlines()[0].removeprefix("canary: no table: ")
    power = json.loads(done.stdout)
    (half,) = (r for r in power["curves"][0]["rows"] if r["size"] == 0.5)
    return [told(power["false_rollback"]), told(power["false_pause"]), told(half["rolled_back"])]


@pytest.mark.acceptance
@pytest.mark.parametrize(("documents", "case"), [c[1:] for c in CASES], ids=NAMES)
def test_power_tells_what_a_real_prometheus_confirms_or_why_it_is_silent(root, documents, case):
    assert powers(root, documents) == case["power"]
