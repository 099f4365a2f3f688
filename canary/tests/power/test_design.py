"""A plan does what was asked for, or says why nothing can."""

import json
from xml.etree import ElementTree as ET

import pytest
import yaml

from acceptance.calling import call
from canary import cli
from canary.argo import releases
from canary.argo.dialects import Vocabulary
from canary.argo.model import SetWeight
from canary.errors import UsageError
from canary.power import design, edits
from canary.power.design import Goal
from canary.power.samples import Traffic
from canary.runtime import documents

MANIFESTS = "canary/tests/power/margins.yaml"


@pytest.fixture(scope="module")
def shipped(root):
    return documents.read_all([str(root / MANIFESTS)])


@pytest.fixture(scope="module")
def release(shipped):
    (found,) = releases.find(shipped)
    return found


@pytest.fixture(scope="module")
def planned(shipped, release, saved):
    """What is proposed for a fault that the gates as they are often let through."""
    goal = Goal("errors", 0.013, vocabulary=Vocabulary(saved.values))
    return plan(shipped, release, goal, rps=20.0)


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
    limit = {
        "op": "replace",
        "path": "/spec/args/5/value",
        "value": f"{found.chosen.knobs.limit:g}",
    }
    assert limit in operations["AnalysisTemplate"]


def test_a_ratio_of_successes_gets_another_limit_too_in_both_of_its_conditions(root):
    ratio = documents.read_all([str(root / "canary/tests/power/success.yaml")])
    (release,) = releases.find(ratio)
    found = plan(ratio, release, Goal("errors", 0.03))
    assert 0.97 < found.chosen.knobs.limit < 0.999
    patch = design.patch(ratio, found.chosen.documents)
    for condition, sign in (("success", ">="), ("failure", "<")):
        path = f"path: /spec/metrics/0/{condition}Condition"
        limit = f"len(result) > 0 && result[0] {sign} {found.chosen.knobs.limit:.4g}"
        assert f"{path}\n      value: {limit}" in patch


def test_the_patch_makes_of_the_shipped_manifests_what_was_tried(shipped, release):
    found = plan(shipped, release, Goal("slow", 0.1), rps=5.0)
    assert found.chosen.knobs != design.Knobs()
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
    assert f"[{found.chosen.knobs.lengths:g}m]" in design.patch(changed, found.chosen.documents)


def test_a_larger_share_of_users_may_take_the_place_of_a_longer_release(shipped, planned):
    found = planned
    knobs = found.chosen.knobs
    assert knobs.weights > 1
    assert knobs.lengths <= 1
    weights = [
        step.weight for step in found.chosen.study.rollout.steps if isinstance(step, SetWeight)
    ]
    assert weights == sorted(weights)
    assert max(weights) <= design.MAX_WEIGHT
    assert yaml.safe_load(design.patch(shipped, found.chosen.documents))


def test_the_operating_curve_shows_what_the_patch_buys_and_costs(shipped, planned):
    found = planned
    healthy, *faulty = design.curve(found.chosen, found.goal)
    assert healthy.rolled_back + healthy.paused <= 0.01
    # A few pause for want of requests whatever fails, and the others are judged.
    assert max(point.paused for point in faulty) <= 0.01
    shares = [round(point.rolled_back / (1 - point.paused), 6) for point in faulty]
    assert shares == sorted(shares)
    (asked,) = (point for point in faulty if point.size == 0.013)
    assert asked.rolled_back == found.chosen.power
    assert f"{asked.rolled_back:.1%}" in design.table(found, shipped)


def test_intervals_shrink_to_no_less_than_a_scrape(release):
    def intervals(factor):
        return {edit.set_to for edit in design.more_often(release, factor)}

    assert intervals(1.0) == set()
    assert intervals(0.5) == {"10s"}
    assert intervals(0.01) == {"5s"}


def test_a_bare_share_is_of_errors_and_a_baseline_is_what_a_healthy_release_fails(root):
    given = ("design", MANIFESTS, "--detect", "2%", "--baseline", "3%", "--rate", "20")
    done = call(cli.main, given, root)
    assert done.returncode == 1
    assert "errors=2.000% is not more than the ordinary 3.000%" in done.stdout


def test_a_plan_is_told_to_programs_too(root):
    given = ("design", MANIFESTS, "--detect", "2%", "--power", "90%", "-o", "json")
    told = json.loads(call(cli.main, given, root).stdout)
    shares = {"power": 0.9, "false_rollback": 0.01}
    assert told["goal"] == {"kind": "errors", "size": 0.02, "scrape_s": 5.0, **shares}
    assert told["plan"]["power"] >= 0.9


def test_a_design_follows_how_often_pods_are_scraped(root):
    given = ("design", MANIFESTS, "--detect", "2%", "-o", "json", "--scrape")
    often, rarely = (json.loads(call(cli.main, (*given, t), root).stdout) for t in ("5s", "15s"))
    assert (often["goal"]["scrape_s"], rarely["goal"]["scrape_s"]) == (5, 15)
    assert often["now"] != rarely["now"]


def test_there_is_no_design_where_a_window_holds_one_scrape_or_two(root):
    done = call(cli.main, ("design", MANIFESTS, "--detect", "2%", "--scrape", "40s"), root)
    assert (done.returncode, done.stdout) == (3, "")
    assert "which are scraped every 40 s: that is not modelled" in done.stderr


def test_a_picture_shows_what_each_limit_stops_and_what_it_costs(root, tmp_path):
    drawn = tmp_path / "roc.svg"
    given = ("design", MANIFESTS, "--detect", "2%", "--rate", "20", "--roc", str(drawn))
    done = call(cli.main, given, root)
    assert done.returncode == 0
    path = ET.fromstring(drawn.read_text()).find(".//{*}path").get("d")
    points = [tuple(map(float, point.split(","))) for point in path[1:].split("L")]
    # From where nothing is stopped to where all are: SVG counts downwards.
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    assert points[0][1] > points[-1][1]


def test_a_kind_without_a_limit_to_move_has_no_such_picture(shipped, release):
    with pytest.raises(UsageError, match="no limit of slow to move"):
        design.roc(shipped, release, Goal("slow", 0.1), Traffic(50.0))
