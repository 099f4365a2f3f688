"""Manifests in the idioms of public repositories: what is said of each was judged by hand."""

import json
import re
from collections import Counter
from dataclasses import replace

import pytest
import yaml

from acceptance.calling import call
from canary import cli
from canary.argo import dialects, promql, releases
from canary.argo.gates import Severity
from canary.argo.model import Phase
from canary.lint import check, repository
from canary.lint.pods import scraping
from canary.power import verification
from canary.power.monte_carlo import Study
from canary.power.samples import Traffic
from canary.tests.argo import shapes
from canary.tests.lint import corpus

CASES = list(corpus.cases())
NAMES = [name for name, _, _ in CASES]
# What a step or a kind that no rule judges is called where it is passed over.
UNJUDGED = {"experiment", "step-plugin", "canary-scale", "header", "mirror"}
# What no rule knows of a query.
UNKNOWN = re.compile(r"\b(delta|idelta|label_replace|quantile|topk) ?\(")


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
    unknown = UNKNOWN.search(case.get("query", ""))
    assert ("not judged" in named) is bool(unknown or UNJUDGED & set(case["as"].split()))


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


# Who says of a gate that it passes or aborts without data, or without a failure, or stays undecided.
ACCUSING = {
    Phase.SUCCESSFUL: {
        "cannot-fail",
        "empty-passes",
        "half-may-fail",
        "nan-passes",
        "no-data-passes",
    },
    Phase.ERROR: {"always-fails", "condition-always-errors", "empty-aborts"},
    Phase.FAILED: {"always-fails", "conditions-reversed", "empty-pauses", "matcher-never-matches"},
    Phase.INCONCLUSIVE: {"empty-pauses", "matcher-never-matches"},
}
# What lets a release pass of which half of the requests fail.
BLIND = {
    "cannot-fail",
    "half-may-fail",
    "limit-not-reached",
    "matcher-never-matches",
    "not-scoped",
}
HALF = "half of the requests fail"


def picks_outcomes(query):
    picks = (dialects.picks_failures, dialects.picks_successes)
    return any(pick(s) for s in query.selectors for pick in picks)


def answered(documents):
    """What a real Prometheus's answers make of each gate in each world."""
    (release,) = releases.find(documents)
    _, scrape_s = scraping(documents, release)
    study = Study(
        releases.in_virtual_time(release),
        Traffic(100.0),
        scrape_s=scrape_s or 5.0,
        canary_tokens=release.canary_tokens,
        stable_tokens=release.stable_tokens,
        n=50,
    )
    said = {world: set() for world in verification.WORLDS}
    for answer in verification.answers(study):
        said[answer.world].add(answer.phases[1])
    return said


PRINTED = [(name, *rest) for name, *rest in CASES if not isinstance(rest[1]["power"], str)]
MEASURED = [c for c in PRINTED if "repo" in c[2]]


@pytest.mark.acceptance
@pytest.mark.parametrize(
    ("documents", "case"), [c[1:] for c in MEASURED], ids=[name for name, *_ in MEASURED]
)
def test_a_real_prometheus_confirms_what_was_judged_of_a_gate(documents, case, monkeypatch):
    fault = replace(verification.WORLDS["every request fails"], error_rate=0.5)
    monkeypatch.setitem(verification.WORLDS, HALF, fault)
    said, accused = answered(documents), set(case["lint"])
    (phase,) = said["healthy"] if len(said["healthy"]) == 1 else [None]
    if phase in (Phase.ERROR, Phase.FAILED, Phase.INCONCLUSIVE):
        assert accused & ACCUSING[phase]
    if "all" in case["power"][:2]:
        assert said["healthy"] - {Phase.SUCCESSFUL}
    assert said[HALF] & {Phase.FAILED, Phase.ERROR} or case["power"][2] != "all"
    query = promql.parse(re.sub(r"\{\{.*?\}\}", "x", case["query"]))
    errors = promql.divides(query.tree)
    if errors and picks_outcomes(query):
        # Where none is good, a ratio of good requests may be empty.
        assert said[HALF] != {Phase.SUCCESSFUL} or accused & BLIND
        every = said["every request fails"]
        assert every != {Phase.SUCCESSFUL} or accused & {*BLIND, "empty-passes"}
    for phase in said[verification.NO_DATA] - {Phase.FAILED, Phase.INCONCLUSIVE} if errors else ():
        assert accused & ACCUSING[phase]
