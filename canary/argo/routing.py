"""A canary behind a traffic router, or a blueGreen: its weight and its pods, which go apart.

Source: rollout/trafficrouting.go and `CalculateReplicaCountsForTrafficRoutedCanary`,
utils/replicaset/canary.go of v1.9.1. The weight follows the pods up (they must be there first), and
with dynamicStableScale the pods follow the weight down. What is not modelled: a router that
verifies its weights (ALB's target groups), and releases before the last two.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from canary.argo.model import (
    ReplicaCounts,
    Rollout,
    Routing,
    SetCanaryScale,
    SetRoute,
    SetWeight,
)


@dataclass(frozen=True)
class Position:
    """Where a release stands; `weight` is the canary's at the router."""

    step_index: int
    weight: int
    aborted: bool
    promoted: bool


def step_weight(rollout: Rollout, index: int) -> int:
    """The nearest setWeight up to a step; all of it past the last (`GetCurrentSetWeight`)."""
    if index >= len(rollout.steps):
        return rollout.max_weight
    return _last_weight(rollout, index)


def weight(rollout: Rollout, at: Position, canary: ReplicaCounts, stable: ReplicaCounts) -> int:
    """The canary's weight after this reconcile (`reconcileTrafficRouting`)."""
    most = rollout.max_weight
    if at.promoted:
        return most
    if rollout.blue_green:
        return _switched(rollout, at, canary)
    wanted = _wanted_weight(rollout, at, canary, stable)
    least = (most - wanted) * rollout.replicas // most
    carried = stable.available >= least or enough(rollout, stable, least)
    return wanted if carried else at.weight


def _switched(rollout: Rollout, at: Position, canary: ReplicaCounts) -> int:
    """Whom the active Service selects; it moves only while every new pod is available.

    So it does from a release that was aborted too. Source: `reconcileActiveService`,
    rollout/service.go.
    """
    if not canary.desired == rollout.replicas == canary.available:
        return at.weight
    return 0 if at.aborted else step_weight(rollout, at.step_index)


def _wanted_weight(
    rollout: Rollout, at: Position, canary: ReplicaCounts, stable: ReplicaCounts
) -> int:
    if at.aborted:
        return _weight_of_abort(rollout, at, canary, stable)
    if canary.available == 0 or not rollout.steps:
        return 0
    if not at_desired(rollout, at, canary, stable, None):
        return _last_weight(rollout, at.step_index - 1)
    return step_weight(rollout, at.step_index)


def _weight_of_abort(
    rollout: Rollout, at: Position, canary: ReplicaCounts, stable: ReplicaCounts
) -> int:
    """With dynamicStableScale requests go back as fast as stable pods come, else at once.

    Source: `calculateDesiredWeightOnAbortOrStableRollback`.
    """
    if not _of(rollout).dynamic_stable_scale or not rollout.replicas:
        return 0
    most = rollout.max_weight
    carried = most * stable.available // rollout.replicas
    wanted = _wanted_pods_weight(rollout, at, canary, stable)
    if wanted <= 0:
        return min(max(0, most - carried), at.weight)
    return at.weight if carried < most - wanted else min(wanted, at.weight)


def counts(
    rollout: Rollout,
    at: Position,
    canary: ReplicaCounts,
    stable: ReplicaCounts,
    given: int | None,
) -> tuple[int, int]:
    """The (canary, stable) pods to ask for; `given` is the weight that the router has, if any."""
    routing = _of(rollout)
    explicit = _scale_step(rollout, at)
    share = _wanted_pods_weight(rollout, at, canary, stable)
    if explicit is not None and explicit.weight is not None:
        share = explicit.weight
    if explicit is not None and explicit.replicas is not None:
        wanted, share = explicit.replicas, 0
    else:
        wanted = _at_least(routing, _pods(rollout, share))
    if not routing.dynamic_stable_scale:
        return wanted, rollout.replicas
    most = rollout.max_weight
    staying = _pods(rollout, most - share)
    if given is not None:
        staying = max(staying, _pods(rollout, most - given))
        if at.aborted:
            wanted = max(wanted, _pods(rollout, given))
    return _at_least(routing, wanted), _at_least(routing, staying)


def at_desired(
    rollout: Rollout,
    at: Position,
    canary: ReplicaCounts,
    stable: ReplicaCounts,
    given: int | None,
) -> bool:
    """Whether both have the pods that a step needs (`AtDesiredReplicaCountsForCanary`)."""
    want_canary, want_stable = counts(rollout, at, canary, stable, given)
    if not enough(rollout, canary, want_canary):
        return False
    if _of(rollout).dynamic_stable_scale:
        return True
    return stable.desired == want_stable == stable.current


def enough(rollout: Rollout, pods: ReplicaCounts, wanted: int) -> bool:
    """Whether as many are available as are wanted, or as replicaProgressThreshold says."""
    threshold = rollout.progress_threshold
    if threshold is None:
        return pods.desired == wanted == pods.available
    if isinstance(threshold, int):
        return pods.available >= threshold
    return not wanted or pods.available * 100 >= wanted * float(threshold.rstrip("%"))


def delays_on_abort(routing: Routing) -> bool:
    """Whether the pods of an aborted canary stay for a while (`shouldDelayScaleDownOnAbort`)."""
    given = routing.abort_delay_given or not routing.dynamic_stable_scale
    return routing.abort_scale_down_delay_s is not None and given


def routes(rollout: Rollout, kept: Sequence[SetRoute], step: object) -> tuple[SetRoute, ...]:
    """The managed routes once a step was reached, in the order in which they match."""
    given = step.routes if isinstance(step, SetCanaryScale) else (step,)
    fresh = {route.name: route for route in given if isinstance(route, SetRoute)}
    found = {route.name: route for route in kept} | fresh
    order = _of(rollout).routes
    return tuple(
        sorted(
            (route for route in found.values() if route.matches),
            key=lambda route: order.index(route.name) if route.name in order else len(order),
        )
    )


def _wanted_pods_weight(
    rollout: Rollout, at: Position, canary: ReplicaCounts, stable: ReplicaCounts
) -> int:
    """The weight whose pods are wanted; an abort of a dynamic one goes back over its own steps.

    Source: `GetDesiredCanaryWeight`.
    """
    if not at.aborted:
        return step_weight(rollout, at.step_index)
    if not _of(rollout).dynamic_stable_scale:
        return 0
    left = max(rollout.replicas - stable.available, canary.available)
    for step in reversed(rollout.steps):
        if isinstance(step, SetWeight) and _pods(rollout, step.weight) < left:
            return step.weight
    return 0


def _scale_step(rollout: Rollout, at: Position) -> SetCanaryScale | None:
    """The setCanaryScale in force (`UseSetCanaryScale`)."""
    if at.aborted and _of(rollout).abort_scale_down_delay_s is not None:
        return None
    if at.step_index >= len(rollout.steps):
        return None
    before = reversed(rollout.steps[: at.step_index + 1])
    found = next((step for step in before if isinstance(step, SetCanaryScale)), None)
    follows = found is not None and found.replicas is None and found.weight is None
    return None if follows else found


def _last_weight(rollout: Rollout, index: int) -> int:
    before = reversed(rollout.steps[: index + 1])
    return next((step.weight for step in before if isinstance(step, SetWeight)), 0)


def _pods(rollout: Rollout, share: int) -> int:
    return -(-share * rollout.replicas // rollout.max_weight)


def _at_least(routing: Routing, pods: int) -> int:
    return max(pods, routing.min_pods) if pods else 0


def _of(rollout: Rollout) -> Routing:
    assert rollout.routing is not None  # noqa: S101 — nothing here is asked of a basic canary
    return rollout.routing
