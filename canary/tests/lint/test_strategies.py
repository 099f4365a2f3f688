"""Gates are judged without a canary too: before and after a blue-green switch, and in a library."""

import copy

import pytest

from canary.lint import check, output
from canary.power import catalogue
from canary.yamls import Document

BLIND = "len(result) == 0 || result[0] >= 0"


def manifests(*, success=None, limit=None, **blue_green):
    """The good release as a blue-green one, or its template alone; with a condition of our own."""
    rollout, template, *others = (
        Document(d.file, copy.deepcopy(d.body)) for d in catalogue.good_release()
    )
    metric = template.body["spec"]["metrics"][0]
    if success:
        metric["successCondition"] = success
        metric.pop("failureCondition")
    if limit is not None:
        metric |= {"failureLimit": limit}
    rollout.body["spec"]["strategy"] = {"blueGreen": {"activeService": "shop", **blue_green}}
    return [*([rollout] if blue_green else []), template, *others]


def analysis(*args):
    hashed = {"name": "hash", "valueFrom": {"podTemplateHashValue": "Latest"}}
    return {"templates": [{"templateName": "shop-gates"}], "args": [hashed, *args]}


def said(documents):
    return {finding.rule: finding.message for finding in check.lint(documents).findings}


def test_a_healthy_blue_green_release_has_no_finding_and_is_counted():
    report = check.lint(
        manifests(prePromotionAnalysis=analysis(), postPromotionAnalysis=analysis())
    )
    assert report.findings == ()
    assert output.summary(report).startswith(
        "0 canary Rollout(s), 1 blue-green Rollout(s), 4 gate(s)"
    )


@pytest.mark.parametrize("place", ["prePromotionAnalysis", "postPromotionAnalysis"])
def test_the_gates_of_a_blue_green_release_are_judged_by_their_conditions(place):
    found = said(manifests(success=BLIND, **{place: analysis()}))
    assert {"empty-passes", "cannot-fail", "one-condition"} <= set(found)


def test_a_reference_of_a_blue_green_release_is_followed():
    missing = {"templates": [{"templateName": "gone"}]}
    found = check.lint(manifests(prePromotionAnalysis=missing)).findings
    assert [(f.rule, f.path) for f in found if f.rule == "template-missing"] == [
        ("template-missing", "spec.strategy.blueGreen.prePromotionAnalysis")
    ]


def test_an_analysis_before_the_switch_must_end():
    endless = analysis({"name": "count", "value": "0"})
    assert "interval-without-count" in said(manifests(prePromotionAnalysis=endless))


def test_a_limit_that_an_analysis_before_the_switch_cannot_reach_is_told_with_its_place():
    found = said(manifests(limit=1, prePromotionAnalysis=analysis()))
    assert "1 measurement(s) at prePromotionAnalysis" in found["limit-not-reached"]


def test_a_library_of_templates_is_judged_without_a_rollout():
    report = check.lint(manifests())
    assert report.findings == ()
    assert output.summary(report).startswith(
        "0 canary Rollout(s), 1 template(s) without a Rollout, 2 gate(s)"
    )
    assert {"empty-passes", "cannot-fail"} <= set(said(manifests(success=BLIND)))


def test_an_argument_that_a_rollout_will_give_is_no_finding_of_a_library():
    documents = manifests(success="result[0] < {{args.limit}}")
    documents[0].body["spec"]["args"].append({"name": "limit"})
    assert said(documents) == {}


def test_a_metric_of_a_library_may_be_measured_often_beside_steps():
    documents = manifests(limit=3)
    documents[0].body["spec"]["metrics"][0].pop("count")
    assert "limit-not-reached" not in said(documents)


def test_a_template_that_a_rollout_uses_is_judged_there_alone():
    report = check.lint(catalogue.good_release())
    assert [release.rollout.kind for release in report.releases] == ["Rollout"]
