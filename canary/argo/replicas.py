"""Replica counts of a basic canary: what share a weight really gives, and the order of scaling.

Source: utils/replicaset/canary.go and `resolveFenceposts`, utils/replicaset/replicaset.go
@9f8d111. Of older ReplicaSets than stable and canary there is one at most: the canary of a release
that another replaced before its end.
"""

import math

from canary.argo import routing
from canary.argo.model import NO_PODS, ReplicaCounts, Rollout


def fenceposts(max_surge: int | str, max_unavailable: int | str, replicas: int) -> tuple[int, int]:
    """How many pods may be there too many, and missing: surge rounds up, unavailable down.

    Text is a percentage with or without its sign: a quoted "1" means 1 %.
    """
    surge = _resolve(max_surge, replicas, math.ceil)
    unavailable = _resolve(max_unavailable, replicas, math.floor)
    return surge, (unavailable if surge or unavailable else 1)


def split(
    replicas: int, weight: int, max_surge: int | str, max_unavailable: int | str
) -> tuple[int, int]:
    """The (canary, stable) counts nearest to a weight in per cent.

    Source: `approximateWeightedCanaryStableReplicaCounts`.
    """
    if replicas == 0:
        return 0, 0
    surge, _ = fenceposts(max_surge, max_unavailable, replicas)
    ceiling, floor = -(-replicas * weight // 100), replicas * weight // 100
    # With two pods or more, a weight between 1 and 99 never empties either side.
    zero_allowed = weight in (0, 100) or (replicas == 1 and surge == 0)
    options = [(ceiling, replicas)] if ceiling < replicas or zero_allowed else []
    if not _tied(weight, replicas) and (floor or zero_allowed):
        options.append((floor, replicas))
    if surge:
        options.append((ceiling, replicas + 1))
        if not _tied(weight, replicas + 1) and (floor or zero_allowed):
            options.append((floor, replicas + 1))
    if not options:
        return 0, replicas
    canary, total = min(options, key=lambda option: abs(option[0] * 100 / option[1] - weight))
    return canary, total - canary


def scale(
    rollout: Rollout,
    weight: int,
    canary: ReplicaCounts,
    stable: ReplicaCounts,
    old: ReplicaCounts = NO_PODS,
) -> tuple[int, int]:
    """The (canary, stable) counts to ask for in this reconcile.

    Up first, stable before canary, within the surge; then down on the side that drains, as far as
    available pods allow, once no `old` ones of a replaced release are left.
    Source: `CalculateReplicaCountsForBasicCanary`.
    """
    want_canary, want_stable = split(
        rollout.replicas, weight, rollout.max_surge, rollout.max_unavailable
    )
    surge, unavailable = fenceposts(rollout.max_surge, rollout.max_unavailable, rollout.replicas)
    most, least_available = rollout.replicas + surge, rollout.replicas - unavailable
    room = most - canary.desired - stable.desired - old.desired
    new_stable = _raise(stable.desired, want_stable, room)
    new_canary = _raise(canary.desired, want_canary, room - (new_stable - stable.desired))

    if old.desired:
        return new_canary, new_stable
    increasing = want_canary >= canary.desired
    removable = _removable(canary, ignore_availability=not increasing)
    removable += _removable(stable, ignore_availability=increasing)
    spare = removable - least_available
    if spare <= 0:
        return new_canary, new_stable
    if increasing:
        new_stable = _lower(stable.desired, want_stable, spare, new_stable)
        new_stable, new_canary = _fit(
            (stable, new_stable), (canary, new_canary), most, least_available
        )
    else:
        new_canary = _lower(canary.desired, want_canary, spare, new_canary)
        new_canary, new_stable = _fit(
            (canary, new_canary), (stable, new_stable), most, least_available
        )
    return new_canary, new_stable


def at_desired(
    rollout: Rollout,
    weight: int,
    canary: ReplicaCounts,
    stable: ReplicaCounts,
    old: ReplicaCounts = NO_PODS,
) -> bool:
    """Whether a setWeight step is complete: canary available, stable created, both as wanted.

    Source: `AtDesiredReplicaCountsForCanary`.
    """
    want_canary, want_stable = scale(rollout, weight, canary, stable, old)
    canary_there = routing.enough(rollout, canary, want_canary) and not old.available
    return canary_there and stable.desired == want_stable == stable.current


def _resolve(value: int | str, replicas: int, rounded: object) -> int:
    if isinstance(value, int):
        return value
    share = float(value.rstrip("%")) / 100
    # 25 % of 4 must be 1 and not 1.0000000000000002 rounded up.
    exact = round(share * replicas, 9)
    return int(math.ceil(exact) if rounded is math.ceil else math.floor(exact))


def _tied(weight: int, total: int) -> bool:
    """Whether rounding up and down miss the weight by the same distance."""
    return (total * weight) % 100 == 50  # noqa: PLR2004 — half of a hundred


def _raise(now: int, wanted: int, room: int) -> int:
    return min(wanted, now + room) if now < wanted and room > 0 else now


def _lower(now: int, wanted: int, spare: int, otherwise: int) -> int:
    return max(wanted, now - spare) if now > wanted else otherwise


def _removable(counts: ReplicaCounts, *, ignore_availability: bool) -> int:
    """Source: `GetReplicasForScaleDown`."""
    if ignore_availability or counts.desired < counts.available:
        return counts.desired
    return counts.available


def _fit(
    draining: tuple[ReplicaCounts, int],
    other: tuple[ReplicaCounts, int],
    most: int,
    least_available: int,
) -> tuple[int, int]:
    """Keeps the sum within the surge without taking available pods that are needed.

    Source: `adjustReplicaWithinLimits`.
    """
    drain_counts, drain = draining
    other_counts, rest = other
    rest -= max(0, rest + drain - most)
    available = min(drain_counts.available, drain) + min(other_counts.available, rest)
    given_up = max(0, other_counts.available - rest)
    rest += min(given_up, max(0, least_available - available))
    drain -= max(0, rest + drain - most)
    return drain, rest
