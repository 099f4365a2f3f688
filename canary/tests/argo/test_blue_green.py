"""A blueGreen as the controller takes it: nobody, then all users, and back.

What is expected was seen on Argo Rollouts 1.9.1 (acceptance/conformance/blue_green.py).
"""

from dataclasses import replace

import pytest

from canary.argo import controller, events, manifests, virtual_rollout
from canary.argo.controller import Scale
from canary.argo.model import (
    NO_PODS,
    Hashes,
    Measurement,
    Pause,
    Phase,
    ReplicaCounts,
    ReplicaSetName,
)
from canary.errors import UsageError
from canary.rehearse import time_compression
from canary.tests.argo import shapes

HASHES = Hashes("new", "old")
BOTH = ("prePromotionAnalysis", "postPromotionAnalysis")


def rollout(*analyses, deadline_s=600, **fields):
    """Five pods, with gates at these places."""
    body, *rest = shapes.manifests(("blue-green", "hash", "post", "plain", "pod-monitor"))
    given = body["spec"]["strategy"]["blueGreen"]
    gate = given.pop("postPromotionAnalysis")
    body["spec"] |= {"progressDeadlineSeconds": deadline_s, "progressDeadlineAbort": True}
    body["spec"]["strategy"]["blueGreen"] = {**given, **dict.fromkeys(analyses, gate), **fields}
    return manifests.rollout(shapes.bundle((body, *rest)))


def roll_out(given, *words, measure=virtual_rollout.always_passing):
    happening = [events.parse(text) for text in words]
    return virtual_rollout.roll_out(given, HASHES, measure, lambda: 2.0, happening=happening)


@pytest.mark.parametrize(
    ("analyses", "fields", "steps"),
    [
        ((), {}, ["preview: all pods", "activeService: switched"]),
        (BOTH, {}, ["preview: all pods", f"{BOTH[0]}: gate", "activeService: switched", f"{BOTH[1]}: gate"]),
        ((), {"autoPromotionSeconds": 30}, ["preview: all pods", "pause: 30s", "activeService: switched"]),
        (BOTH[:1], {"previewReplicaCount": 1, "autoPromotionEnabled": False, "autoPromotionSeconds": 30},
         ["preview: 1 pod", f"{BOTH[0]}: gate", "pause", "preview: all pods", "activeService: switched"]),
    ],
)  # fmt: skip
def test_its_fields_are_steps_before_and_after_the_switch(analyses, fields, steps):
    assert [str(step) for step in rollout(*analyses, **fields).steps] == steps


def test_users_are_all_on_the_old_pods_and_then_all_on_the_new_ones():
    rolled_out = roll_out(rollout(*BOTH, autoPromotionSeconds=30))
    assert rolled_out.outcome == virtual_rollout.PROMOTED
    assert [weight for _, weight in rolled_out.weights] == [0, 100]
    assert [run.name for run in rolled_out.runs] == ["shop-new-2-pre", "shop-new-2-post"]


@pytest.mark.parametrize(
    ("place", "words", "weights"),
    [(BOTH[0], "pre-promotion", [0]), (BOTH[1], "post-promotion", [0, 100, 0])],
)
def test_a_failing_gate_aborts_and_the_active_service_selects_stable(place, words, weights):
    rolled_out = roll_out(rollout(place), measure=shapes.failing)
    assert rolled_out.outcome == virtual_rollout.ROLLED_BACK
    assert rolled_out.message.startswith(f"Blue/green {words} analysis phase error/failed")
    assert [weight for _, weight in rolled_out.weights] == weights


def test_a_promotion_ends_a_pause_without_an_end():
    rolled_out = roll_out(rollout(autoPromotionEnabled=False), "promote@step=1+20s")
    assert rolled_out.outcome == virtual_rollout.PROMOTED
    assert rolled_out.ended_s == pytest.approx(22, abs=2)


def test_a_promotion_begins_a_timed_pause_anew_and_takes_nothing_else_under_way():
    timed = rollout(BOTH[0], autoPromotionSeconds=60)
    late_s = roll_out(timed, "promote@step=2+20s").ended_s - roll_out(timed).ended_s
    assert late_s == pytest.approx(20, abs=2)
    assert roll_out(timed, "promote@step=0").ended_s == roll_out(timed).ended_s


def test_an_inconclusive_gate_is_asked_anew_once_a_person_promotes():
    said = iter([Phase.INCONCLUSIVE])

    def measure(_metric, now):
        return Measurement(next(said, Phase.SUCCESSFUL), now, now + 0.05)

    rolled_out = roll_out(rollout(BOTH[0]), "promote@20s", measure=measure)
    assert rolled_out.outcome == virtual_rollout.PROMOTED
    assert [run.name for run in rolled_out.runs] == ["shop-new-2-pre", "shop-new-2-pre.1"]


def test_the_deadline_passes_while_a_gate_before_the_switch_measures_and_not_in_a_pause():
    def unread(_metric, now):
        return Measurement(Phase.ERROR, now, now + 0.05)

    rolled_out = roll_out(rollout(BOTH[0], deadline_s=15), measure=unread)
    assert rolled_out.message.endswith("has timed out progressing.")
    paused = roll_out(rollout(deadline_s=15, autoPromotionSeconds=60))
    assert paused.outcome == virtual_rollout.PROMOTED


@pytest.mark.parametrize(
    ("fields", "gone_s"),
    [
        ({"scaleDownDelaySeconds": 20}, 20),
        ({"scaleDownDelaySeconds": 20, "scaleDownDelayRevisionLimit": 0}, 0),
        ({"scaleDownDelaySeconds": 0}, None),
    ],
)
def test_the_old_pods_go_after_their_delay_at_once_or_never(fields, gone_s):
    assert rollout(**fields).routing.scale_down_delay_s == gone_s
    quick = time_compression.scale(rollout(**fields), 2).routing.scale_down_delay_s
    assert quick == (gone_s and gone_s / 2)


def test_the_active_service_stays_on_a_failed_release_whose_pods_are_not_all_available():
    """And selects none, once its pods are taken away."""
    given = rollout(BOTH[1], abortScaleDownDelaySeconds=5)
    stable, lost = ReplicaCounts(5, 5, 5), ReplicaCounts(5, 5, 4)
    status = controller.abort(controller.begin(given, HASHES, 0.0), "post", 0.0)
    status = replace(status, weight=100)
    status, _ = controller.reconcile(given, status, lost, stable, 1.0)
    status, scales = controller.reconcile(given, status, lost, stable, 7.0)
    assert scales == (Scale(ReplicaSetName.LATEST, 0),)
    status, _ = controller.reconcile(given, status, NO_PODS, stable, 8.0)
    assert (status.weight, controller.weight_in_force(given, status)) == (100, 100)


def test_a_preview_of_one_is_scaled_up_before_the_switch():
    rolled_out = roll_out(rollout(previewReplicaCount=1, autoPromotionSeconds=30))
    created = sorted(pod.created_s for pod in rolled_out.pods if pod.canary)
    assert [created_s < 30 for created_s in created] == [True, False, False, False, False]
    assert rolled_out.weights[1][0] > created[-1]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"previewService": "shop"}, "blueGreen.previewService is not supported — the controller"),
        (
            {"scaleDownDelayRevisionLimit": 11},
            "scaleDownDelayRevisionLimit 11 is above revisionHistoryLimit 10",
        ),
        ({"scaleDownDelayRevisionLimit": "few"}, "scaleDownDelayRevisionLimit is not supported"),
        ({"autoPromotion": True}, "blueGreen.autoPromotion is not supported"),
    ],
)
def test_what_the_controller_refuses_of_it_is_refused_by_its_path(fields, words):
    with pytest.raises(UsageError) as refused:
        rollout(**fields)
    assert words in str(refused.value)


def test_two_strategies_are_refused():
    body, *rest = shapes.manifests(("blue-green", "none", "at-once", "plain", "none"))
    body["spec"]["strategy"]["canary"] = {"steps": []}
    with pytest.raises(UsageError, match="takes one of canary and blueGreen"):
        shapes.bundle((body, *rest))


def test_a_pause_of_it_is_one_of_the_controllers_own():
    given = rollout(autoPromotionEnabled=False)
    assert given.steps[1] == Pause(None)
    status = replace(controller.begin(given, HASHES, 0.0), step_index=1)
    pods = ReplicaCounts(5, 5, 5)
    status, _ = controller.reconcile(given, status, pods, pods, 1.0)
    assert (str(status.phase), status.message) == ("Paused", "BlueGreenPause")
