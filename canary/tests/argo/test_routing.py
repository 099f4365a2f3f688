"""Behind a router: the weight, the pods of both sides, and their order, as the controller has them."""

from dataclasses import replace

import pytest

from canary.argo import routing
from canary.argo.model import (
    ReplicaCounts,
    RequestMatch,
    Rollout,
    Routing,
    SetCanaryScale,
    SetRoute,
    SetWeight,
    TextMatch,
)
from canary.argo.routing import Position

NONE = ReplicaCounts(0, 0, 0)


def pods(count, available=None):
    return ReplicaCounts(count, count, count if available is None else available)


def rollout(*steps, replicas=5, threshold=None, **fields):
    made = tuple(SetWeight(step) if isinstance(step, int) else step for step in steps)
    return Rollout(
        "r", "n", replicas, made, routing=Routing("nginx", **fields), progress_threshold=threshold
    )


def at(step=0, weight=0, *, aborted=False):
    return Position(step, weight, aborted, promoted=False)


@pytest.mark.parametrize(
    ("steps", "replicas", "fields", "expected"),
    [
        ((20,), 5, {}, (1, 5)),
        ((1,), 5, {}, (1, 5)),
        ((33,), 4, {}, (2, 4)),
        ((250,), 5, {"max_weight": 1000}, (2, 5)),
        ((10,), 5, {"min_pods": 2}, (2, 5)),
        ((20,), 5, {"dynamic_stable_scale": True}, (1, 4)),
        ((100,), 5, {"dynamic_stable_scale": True}, (5, 0)),
        ((90,), 5, {"dynamic_stable_scale": True, "min_pods": 2}, (5, 2)),
        ((SetCanaryScale(replicas=1),), 5, {}, (1, 5)),
        ((SetCanaryScale(weight=50),), 5, {}, (3, 5)),
        ((SetCanaryScale(),), 5, {}, (0, 5)),
    ],
)
def test_pods_follow_the_weight_upwards_and_stable_keeps_all_unless_it_is_dynamic(
    steps, replicas, fields, expected
):
    made = rollout(*steps, replicas=replicas, **fields)
    assert routing.counts(made, at(), NONE, pods(replicas), None) == expected


DYNAMIC = {"dynamic_stable_scale": True}
FOR_EVER = {"abort_scale_down_delay_s": None, "abort_delay_given": True}


@pytest.mark.parametrize(
    ("steps", "replicas", "fields", "where", "canary", "stable", "given", "expected"),
    [
        ((100, SetCanaryScale(replicas=9)), 1, {}, at(1), NONE, pods(1), None, (9, 1)),
        ((100, SetCanaryScale(weight=200)), 4, {}, at(1), NONE, pods(4), None, (8, 4)),
        ((20, SetCanaryScale()), 10, {}, at(1), NONE, pods(10), None, (2, 10)),
        ((5,), 10, {"min_pods": 2}, at(), NONE, pods(10), None, (2, 10)),
        ((SetCanaryScale(1),), 1, FOR_EVER, at(aborted=True), pods(1), pods(1), None, (1, 1)),
        ((SetCanaryScale(1),), 1, {}, at(aborted=True), pods(1), pods(1), None, (0, 1)),
        ((10,), 10, DYNAMIC, at(), NONE, NONE, 10, (1, 9)),
        ((20,), 10, DYNAMIC, at(), NONE, NONE, 10, (2, 9)),
        ((20, 60), 10, DYNAMIC, at(0, 60, aborted=True), pods(6), pods(4), 60, (6, 8)),
        ((20, 60), 10, DYNAMIC, at(0, 60, aborted=True), pods(1), pods(4), 60, (6, 8)),
        ((20, 60), 10, DYNAMIC, at(0, 60, aborted=True), pods(2), pods(8, 4), 60, (6, 8)),
    ],
)
def test_the_controllers_own_cases_give_the_same_pods(
    steps, replicas, fields, where, canary, stable, given, expected
):
    """Those of utils/replicaset/canary_test.go of v1.9.1 that have both ReplicaSets."""
    made = rollout(*steps, replicas=replicas, **fields)
    assert routing.counts(made, where, canary, stable, given) == expected


def test_stable_keeps_the_pods_of_the_weight_that_the_router_still_has():
    made = rollout(20, 80, dynamic_stable_scale=True)
    assert routing.counts(made, at(1), pods(4), pods(4), 20) == (4, 4)
    assert routing.counts(made, at(1), pods(4), pods(4), 80) == (4, 1)


def test_a_weight_waits_for_its_pods_and_the_one_before_holds_until_then():
    made = rollout(20, 60)
    assert routing.weight(made, at(1, 20), pods(3, 2), pods(5)) == 20
    assert routing.weight(made, at(1, 20), pods(3), pods(5)) == 60


def test_no_weight_goes_to_a_canary_without_an_available_pod():
    assert routing.weight(rollout(60), at(0, 60), pods(3, 0), pods(5)) == 0


def test_a_weight_stays_where_stable_could_not_carry_the_rest():
    made = rollout(20, 60)
    assert routing.weight(made, at(0, 60, aborted=True), pods(3), pods(5, 2)) == 60
    assert routing.weight(made, at(0, 60, aborted=True), pods(3), pods(5)) == 0


def test_half_of_the_pods_are_enough_where_the_threshold_says_so():
    made = rollout(80, threshold="50%")
    assert not routing.at_desired(made, at(), pods(4, 1), pods(5), 0)
    assert routing.at_desired(made, at(), pods(4, 2), pods(5), 0)


def test_an_abort_of_a_dynamic_canary_goes_back_over_its_own_steps():
    made = rollout(20, 80, dynamic_stable_scale=True)
    back = at(0, 80, aborted=True)
    assert routing.weight(made, back, pods(4), pods(1)) == 80
    assert routing.weight(made, back, pods(4), pods(4)) == 20
    assert routing.counts(made, back, pods(4), pods(1), 80) == (4, 4)


@pytest.mark.parametrize(
    ("given", "delays"),
    [
        ({}, True),
        ({"abort_scale_down_delay_s": None, "abort_delay_given": True}, False),
        ({"dynamic_stable_scale": True}, False),
        ({"dynamic_stable_scale": True, "abort_delay_given": True}, True),
    ],
)
def test_who_keeps_an_aborted_canarys_pods_for_a_while(given, delays):
    assert routing.delays_on_abort(Routing("nginx", **given)) is delays


def test_managed_routes_match_in_their_declared_order_and_one_without_a_match_goes():
    match = (RequestMatch({"x": TextMatch("exact", "y")}),)
    first, second = SetRoute("first", match), SetRoute("second", match)
    made = rollout(20, routes=("first", "second"))
    both = routing.routes(made, (second,), first)
    assert both == (first, second)
    assert routing.routes(made, both, replace(first, matches=())) == (second,)


def test_a_scale_may_have_routes_beside_it_which_do_not_wait_for_its_pods():
    """`reconcileTrafficRouting` sets the routes of the current step whatever its pods are."""
    route = SetRoute("first", (RequestMatch({"x": TextMatch("exact", "y")}),))
    scale = SetCanaryScale(weight=30, routes=(route,))
    made = replace(rollout(routes=("first",)), steps=(scale, SetCanaryScale(routes=(route,))))
    assert routing.routes(made, (), scale) == (route,)
    assert not routing.at_desired(made, at(), pods(0), pods(5), 0)
    assert routing.counts(made, at(), pods(0), pods(5), 0) == (2, 5)
    # matchTrafficWeight follows the weight again.
    assert routing.counts(made, at(1), pods(2), pods(5), 0) == (0, 5)
    assert str(scale) == "setCanaryScale: 30 %, setHeaderRoute: first"
