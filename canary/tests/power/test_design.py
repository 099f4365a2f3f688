"""A plan does what was asked for, or says why nothing can."""

import pytest
import yaml

from canary.argo import releases
from canary.power import design, edits
from canary.power.design import Goal
from canary.power.samples import Traffic


def plan(shipped, release, goal, rps=50.0):
    return design.plan(shipped, release, goal, Traffic(rps))


def test_gates_that_do_it_already_are_left_alone(shipped, release):
    found = plan(shipped, release, Goal("errors", 0.02))
    assert found.chosen is found.now
    assert "nothing to change" in design.table(found, shipped)


def test_a_smaller_fault_gets_another_limit_and_a_patch_that_reaches_it(shipped, release):
    found = plan(shipped, release, Goal("errors", 0.01))
    assert found.chosen.power >= 0.95
    assert found.chosen.false_rollback <= 0.01
    patches = yaml.safe_load(design.patch(shipped, found.chosen.documents))["patches"]
    operations = {p["target"]["kind"]: yaml.safe_load(p["patch"]) for p in patches}
    limit = {"op": "replace", "path": "/spec/args/5/value", "value": f"{found.chosen.limit:g}"}
    assert limit in operations["AnalysisTemplate"]


def test_the_patch_makes_of_the_shipped_manifests_what_was_tried(shipped, release):
    found = plan(shipped, release, Goal("slow", 0.1), rps=5.0)
    assert found.chosen.factor > 1
    bodies = {(d.kind, d.name): d.body for d in edits.apply(shipped, [])}
    for entry in yaml.safe_load(design.patch(shipped, found.chosen.documents))["patches"]:
        for operation in yaml.safe_load(entry["patch"]):
            *way, last = operation["path"].strip("/").split("/")
            node = bodies[entry["target"]["kind"], entry["target"]["name"]]
            for part in way:
                node = node[int(part)] if isinstance(node, list) else node[part]
            node[int(last) if isinstance(node, list) else last] = operation["value"]
    assert bodies == {(d.kind, d.name): d.body for d in found.chosen.documents}


@pytest.mark.parametrize(
    ("goal", "words"),
    [
        (Goal("errors", 0.0005), "not more than the ordinary"),
        (Goal("slow", 0.02), "ask for the 0.99 quantile"),
    ],
)
def test_what_cannot_be_is_said_with_its_reason(shipped, release, goal, words):
    found = plan(shipped, release, goal)
    assert found.chosen is None
    assert words in found.why_not


def test_too_small_a_fault_is_answered_with_the_requests_it_would_take(
    shipped, release, monkeypatch
):
    monkeypatch.setattr(design, "FACTORS", (1.0,))
    found = plan(shipped, release, Goal("errors", 0.0012))
    assert "canary requests:" in found.why_not
    assert "impossible" in design.table(found, shipped)


def test_a_release_without_the_gate_is_told_to_add_one(shipped):
    kind, path = "AnalysisTemplate", ("spec", "metrics", "name=cpu-saturation-ratio")
    blind = edits.apply(shipped, [edits.Edit(kind, path, delete=True)])
    (release,) = releases.find(blind)
    assert "reads cpu: add one" in plan(blind, release, Goal("cpu", 0.9)).why_not


def test_windows_in_a_query_follow_the_pauses(shipped):
    query = "spec.metrics.*.provider.prometheus.query"
    literal = edits.read(
        {"kind": "AnalysisTemplate", "path": query, "replace": ["[{{args.window}}]", "[1m]"]}
    )
    changed = edits.apply(shipped, [literal])
    (release,) = releases.find(changed)
    found = plan(changed, release, Goal("slow", 0.1), rps=5.0)
    assert "[5m]" in design.patch(changed, found.chosen.documents)
