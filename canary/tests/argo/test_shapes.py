"""Canaries in the shapes that others have: read, released to both ends, or refused by name."""

from dataclasses import replace
from pathlib import Path

import pytest

from canary.argo import manifests, virtual_rollout
from canary.argo.model import Hashes, Pause
from canary.errors import UsageError
from canary.rehearse import alerts, meter, scraping
from canary.tests.argo import shapes
from canary.yamls import Document


def read(shape):
    return shapes.bundle(shapes.manifests(shape))


def plan(bundle):
    """What is rehearsed, once nothing that a plan refuses was found."""
    rollout = manifests.rollout(bundle)
    alerts.check(rollout, Path("rehearsal.yaml"), None, ())
    return rollout


def promoted_at_once(rollout):
    """A person who is waited for promotes at once."""
    steps = (Pause(0.0) if step == Pause(None) else step for step in rollout.steps)
    return replace(rollout, steps=tuple(steps))


def roll_out(rollout, measure):
    return virtual_rollout.roll_out(rollout, Hashes("new", "old"), measure, lambda: 2.0)


def rehearsable(shape):
    return not shapes.REFUSED.keys() & set(shape)


def named(shape):
    return "-".join(shape)


@pytest.mark.parametrize("shape", [*filter(rehearsable, shapes.SHAPES), *shapes.UNUSUAL], ids=named)
def test_a_shape_is_read_and_walked_to_both_ends(shape):
    bundle = read(shape)
    rollout = promoted_at_once(plan(bundle))
    assert list(meter.refusals(bundle, rollout)) == []
    assert list(scraping.refusals(rollout, bundle)) == []
    good = roll_out(rollout, virtual_rollout.always_passing)
    assert good.outcome == virtual_rollout.PROMOTED
    if rollout.analyses:
        assert roll_out(rollout, shapes.failing).outcome == virtual_rollout.ROLLED_BACK


@pytest.mark.parametrize("shape", [s for s in shapes.SHAPES if not rehearsable(s)], ids=named)
def test_what_cannot_be_rehearsed_is_refused_by_its_path(shape):
    words = [shapes.REFUSED[word] for word in shape if word in shapes.REFUSED]
    with pytest.raises(UsageError) as refused:
        plan(read(shape))
    assert all(word in str(refused.value) for word in words)
    assert "correct the manifest" not in str(refused.value)


UNANSWERED = [s for s in shapes.SHAPES if {"datadog", "kayenta"} & set(s)]


@pytest.mark.parametrize("shape", UNANSWERED, ids=named)
def test_a_shape_whose_provider_is_elsewhere_is_walked_without_its_metric(shape):
    given = [Document("shape.yaml", body) for body in shapes.manifests(shape)]
    names = {m["name"] for d in given for m in d.spec.get("metrics", ())}
    planned = plan(manifests.read(given, without=names))
    good = roll_out(promoted_at_once(planned), virtual_rollout.always_passing)
    assert good.outcome == virtual_rollout.PROMOTED


def test_three_of_four_public_canaries_and_most_blue_greens_rehearse_end_to_end():
    """Each that is counted is released above."""
    blue_greens = [shape for shape in shapes.SHAPES if shape[0].startswith("blue-green")]
    canaries = [shape for shape in shapes.SHAPES if shape not in blue_greens]
    assert len(canaries) >= 60
    assert sum(map(rehearsable, canaries)) >= 0.75 * len(canaries)
    assert len(blue_greens) >= 8
    assert sum(map(rehearsable, blue_greens)) >= 0.7 * len(blue_greens)


def test_all_that_stands_in_the_way_is_said_at_once():
    (rollout, *rest) = shapes.manifests(("basic", "datadog", "experiment", "plain", "none"))
    rollout["spec"]["strategy"]["canary"]["dynamicStableScale"] = True
    rollout["spec"]["template"]["spec"]["containers"][0]["ports"][0]["containerPort"] = "often"
    with pytest.raises(UsageError) as refused:
        shapes.bundle((rollout, *rest))
    said = str(refused.value)
    assert said.startswith("4 things stand in the way:")
    for path in (
        "spec.strategy.canary.dynamicStableScale",
        "spec.strategy.canary.steps[1].experiment",
        "spec.template.spec.containers[0].ports[0].containerPort",
        "spec.metrics[0].provider.datadog",
    ):
        assert f"field {path} is not supported — " in said


def test_what_is_read_and_not_enforced_is_listed_with_what_happens_instead():
    bundle = read(("alb", "none", "timed", "exec-probe", "none"))
    listed = "\n".join(bundle.unenforced)
    assert "livenessProbe.exec: passes once the port accepts connections" in listed
    assert "trafficRouting.alb.stickinessConfig: each request is shared by weight anew" in listed
    assert "Anything objects" in listed


def test_a_gate_that_would_read_nothing_of_the_router_is_refused_with_the_names_that_are_there():
    body = shapes.manifests(("istio", "istio", "timed", "plain", "none"))
    args = body[0]["spec"]["strategy"]["canary"]["steps"][2]["analysis"]["args"]
    args[0]["value"] = "another"
    bundle = shapes.bundle(body)
    (said,) = meter.refusals(bundle, plan(bundle))
    assert "destination_service_name='another' (it has shop-canary, shop-stable)" in said


def test_a_relabeling_is_of_texts():
    body = shapes.manifests(("basic", "none", "timed", "plain", "relabelings"))
    (monitor,) = [b for b in body if b["kind"] == "ServiceMonitor"]
    monitor["spec"]["endpoints"][0]["metricRelabelings"] = [{"targetLabel": {"a": "b"}}]
    with pytest.raises(
        UsageError, match="targetLabel of a relabeling is neither a text nor a list"
    ):
        shapes.bundle(body)


def test_a_relabeling_of_what_one_machine_does_not_know_is_refused_by_name():
    body = shapes.manifests(("basic", "none", "timed", "plain", "relabelings"))
    (monitor,) = [b for b in body if b["kind"] == "ServiceMonitor"]
    config = monitor["spec"]["endpoints"][0]["relabelings"][0]
    config["sourceLabels"] = ["__meta_kubernetes_node_label_zone"]
    with pytest.raises(UsageError, match="__meta_kubernetes_node_label_zone is not known"):
        shapes.bundle(body)
