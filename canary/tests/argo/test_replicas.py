"""Replica counts, against the tables of the real controller's own tests and runs."""

import pytest

from canary.argo import replicas
from canary.argo.model import ReplicaCounts, Rollout

DEFAULT = ("25%", "25%")

# Source: approximateWeightedCanaryStableReplicaCounts of argo-rollouts @9f8d111, run on these.
SHARES = [
    # replicas, surge and unavailable, then (canary, stable) at 10 %, 25 % and 50 %
    (4, DEFAULT, (1, 4), (1, 3), (2, 2)),
    (4, (1, 0), (1, 4), (1, 3), (2, 2)),
    (4, (0, 1), (1, 3), (1, 3), (2, 2)),
    (5, DEFAULT, (1, 5), (1, 4), (3, 3)),
    (5, (1, 0), (1, 5), (1, 4), (3, 3)),
    (5, (0, 1), (1, 4), (1, 4), (3, 2)),
    (10, DEFAULT, (1, 9), (3, 8), (5, 5)),
    (10, (1, 0), (1, 9), (3, 8), (5, 5)),
    (10, (0, 1), (1, 9), (3, 7), (5, 5)),
]


@pytest.mark.parametrize(("count", "limits", "ten", "quarter", "half"), SHARES)
def test_a_weight_becomes_the_nearest_share_that_pods_can_give(count, limits, ten, quarter, half):
    assert [replicas.split(count, weight, *limits) for weight in (10, 25, 50)] == [
        ten,
        quarter,
        half,
    ]


@pytest.mark.parametrize(
    ("count", "weight", "limits", "expected"),
    [
        (0, 50, DEFAULT, (0, 0)),
        (1, 0, (1, 0), (0, 1)),
        (1, 5, (1, 0), (1, 1)),
        (1, 95, (1, 0), (1, 1)),
        (1, 5, (0, 1), (0, 1)),
        (10, 100, DEFAULT, (10, 0)),
        (3, 50, (0, 1), (2, 1)),
        (2, 1, (0, 1), (1, 1)),
        (2, 99, (0, 1), (1, 1)),
    ],
)
def test_neither_side_is_emptied_by_a_weight_between_1_and_99(count, weight, limits, expected):
    assert replicas.split(count, weight, *limits) == expected


@pytest.mark.parametrize(
    ("surge", "unavailable", "count", "expected"),
    [
        ("25%", "25%", 10, (3, 2)),
        ("25%", "25%", 4, (1, 1)),
        ("25%", "25%", 1, (1, 0)),
        ("25", "25", 10, (3, 2)),
        ("1", 0, 10, (1, 0)),  # a quoted "1" is 1 %, rounded up to one pod
        (0, "1", 10, (0, 1)),  # and rounded down to none, where both being none means one
        (0, 0, 10, (0, 1)),
        (3, 2, 10, (3, 2)),
    ],
)
def test_surge_rounds_up_and_unavailable_down(surge, unavailable, count, expected):
    assert replicas.fenceposts(surge, unavailable, count) == expected


def rollout(count=10, surge: int | str = "25%", unavailable: int | str = "25%"):
    return Rollout("r", "n", count, (), max_surge=surge, max_unavailable=unavailable)


def steady(count):
    return ReplicaCounts(count, count, count)


# Source: the examples above CalculateReplicaCountsForBasicCanary, utils/replicaset/canary.go.
@pytest.mark.parametrize(
    ("count", "weight", "canary", "stable", "unavailable", "surge", "expected"),
    [
        (10, 10, 0, 10, 1, 1, (1, 9)),
        (10, 30, 0, 10, 0, 3, (3, 10)),
        (10, 30, 0, 10, 5, 0, (0, 7)),
        # The comment's own answer here is (1, 9): it is older than the rounding to replicas + 1.
        (10, 5, 0, 10, 1, 1, (1, 10)),
        (1, 5, 0, 1, 0, 1, (1, 1)),
        (1, 95, 0, 1, 0, 1, (1, 1)),
    ],
)
def test_one_reconcile_scales_as_the_controller_documents(
    count, weight, canary, stable, unavailable, surge, expected
):
    spec = rollout(count, surge, unavailable)
    assert replicas.scale(spec, weight, steady(canary), steady(stable)) == expected


def test_a_canary_that_is_not_available_does_not_complete_its_weight():
    stable = steady(9)
    assert not replicas.at_desired(rollout(), 10, ReplicaCounts(1, 1, 0), stable)
    assert replicas.at_desired(rollout(), 10, steady(1), stable)


def test_a_stable_pod_too_many_keeps_a_weight_incomplete():
    assert not replicas.at_desired(rollout(), 10, steady(1), ReplicaCounts(9, 10, 10))
