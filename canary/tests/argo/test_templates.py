"""A reference finds the template that the controller would find, and no namesake of it."""

import pytest
import yaml

from canary.argo import releases
from canary.argo.templates import Templates
from canary.lint import check
from canary.yamls import Document


def argo(kind, name, namespace, file, spec):
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    body = {"apiVersion": "argoproj.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}
    return Document(file, body)


def rollout(*references, name="shop", namespace=None, file="shop.yaml"):
    steps = [{"setWeight": 50}, {"analysis": {"templates": list(references)}}]
    return argo("Rollout", name, namespace, file, {"strategy": {"canary": {"steps": steps}}})


def template(name="success-rate", *, namespace=None, file="shop.yaml", cluster=False, **more):
    metric = yaml.safe_load(
        "{name: up, successCondition: 'result[0] > 0', provider: {prometheus: {query: vector(1)}}}"
    )
    kind = "ClusterAnalysisTemplate" if cluster else "AnalysisTemplate"
    return argo(kind, name, namespace, file, {"metrics": [metric], **more})


def ref(name="success-rate", **more):
    return {"templateName": name, **more}


def judging(subject, *others):
    """The templates whose metrics judge a Rollout, and how many references find none."""
    release = releases.read(subject, Templates(others))
    return (
        [gate.template for gate in release.gates],
        sum(len(analysis.missing) for analysis in release.analyses),
    )


@pytest.mark.parametrize("own", ["a", "b"])
def test_two_services_with_a_template_of_one_name_are_each_judged_by_their_own(own):
    known = {name: template(namespace=name) for name in ("a", "b")}
    assert judging(rollout(ref(), namespace=own), *known.values()) == ([known[own]], 0)


@pytest.mark.parametrize(
    ("namespace", "held"), [("a", "b"), ("a", None), (None, "a")], ids=["other", "none", "given"]
)
def test_a_template_of_another_namespace_is_missing(namespace, held):
    assert judging(rollout(ref(), namespace=namespace), template(namespace=held)) == ([], 1)


def test_only_cluster_scope_finds_a_template_of_the_cluster():
    cluster, own = template(cluster=True), template()
    assert judging(rollout(ref()), cluster) == ([], 1)
    assert judging(rollout(ref(clusterScope=True)), own) == ([], 1)
    assert judging(rollout(ref(clusterScope=True), namespace="a"), own, cluster) == ([cluster], 0)


def test_a_template_that_a_template_lists_is_looked_up_in_the_rollouts_namespace():
    outer = template("all", cluster=True, templates=[ref()])
    mine, theirs = template(namespace="a"), template(namespace="b")
    found, _ = judging(rollout(ref("all", clusterScope=True), namespace="a"), outer, mine, theirs)
    assert found == [outer, mine]


def test_a_template_listed_twice_is_taken_once():
    own = template()
    assert judging(rollout(ref(), ref()), own) == ([own], 0)


def test_of_several_files_with_one_template_the_closest_is_taken():
    near, far = (template(file=f"{name}/gates.yaml") for name in ("a", "b"))
    subject = rollout(ref(), file="a/rollout.yaml")
    assert judging(subject, near, far)[0] == judging(subject, far, near)[0] == [near]


def test_an_object_of_another_project_with_argos_name_for_it_is_no_rollout():
    foreign = rollout(ref())
    foreign.body["apiVersion"] = "rollouts.kruise.io/v1beta1"
    assert releases.find([foreign, template()]) == ()


def test_a_missing_template_is_accused_with_its_namesakes():
    found = check.lint([rollout(ref(), namespace="a"), template(namespace="b")]).findings
    (said,) = (f.message for f in found if f.rule == "template-missing")
    assert said == (
        "AnalysisTemplate 'success-rate' of namespace a is not among the manifests; "
        "there is AnalysisTemplate 'success-rate' of namespace b"
    )
