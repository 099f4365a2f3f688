"""What the controller, or an API server before it, refuses of a Rollout: it would be InvalidSpec.

Source: `pkg/apis/rollouts/validation/validation.go` of v1.9.1. Whatever it meets it reads.
"""

import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from canary.argo import quantities
from canary.yamls import listed, mapping, scalar

ACTIONS = (
    "setWeight", "pause", "setCanaryScale", "setHeaderRoute", "setMirrorRoute", "analysis",
    "experiment", "plugin", "replicaProgressThreshold",
)  # fmt: skip
# Of these a step has one; the others may be beside them (`hasMultipleStepsType`).
_ALONE = ("setWeight", "pause", "experiment", "analysis")


def refusals(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The paths of a Rollout's spec that are refused, and why."""
    yield from _spec(spec)
    yield from _canary(spec)


# What Go's time.ParseDuration reads; a pause may be a bare number of seconds too.
GO_DURATION = re.compile(r"(?:\d+(?:\.\d*)?(?:ns|us|µs|ms|s|m|h))+")


def _is_duration(value: object) -> bool:
    words = scalar(value)
    return words.isdigit() or GO_DURATION.fullmatch(words) is not None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def durations(metric: Mapping[str, Any]) -> Iterator[str]:
    """The durations of a metric that end its run in Error."""
    for key in ("interval", "initialDelay"):
        words = scalar(metric.get(key))
        if words and "{{" not in words and not GO_DURATION.fullmatch(words):
            yield f"{key} {words!r} is not a duration: hours, minutes and seconds, such as 90s"


def _spec(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key in ("replicas", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"):
        if (_number(spec.get(key)) or 0) < 0:
            yield f"spec.{key}", f"{key} is below 0"
    ready, deadline = (_number(spec.get(k)) for k in ("minReadySeconds", "progressDeadlineSeconds"))
    if (ready or 0) >= (600 if deadline is None else deadline):
        yield "spec.minReadySeconds", "minReadySeconds is not below progressDeadlineSeconds"
    yield from _strategies(mapping(spec.get("strategy")))
    yield from _blue_green(spec)
    template = mapping(spec.get("template"))
    labels = mapping(mapping(template.get("metadata")).get("labels"))
    wanted = mapping(mapping(spec.get("selector")).get("matchLabels"))
    # Without one it is that of the workload that `workloadRef` names, with labels of its own.
    if template and any(labels.get(name) != value for name, value in wanted.items()):
        yield "spec.selector", "the selector does not match the template's labels"
    pod = mapping(template.get("spec"))
    for container in listed(pod.get("containers")):
        where = f"spec.template.spec.containers[{scalar(mapping(container).get('name'))}]"
        for message in _container(mapping(container), _number(pod.get(_GRACE))):
            yield where, message
        resources = mapping(mapping(container).get("resources"))
        limits, requests = (mapping(resources.get(key)) for key in ("limits", "requests"))
        for name in set(limits) & set(requests):
            most, least = _quantity(limits[name]), _quantity(requests[name])
            if most is not None and least is not None and least > most:
                yield where, f"requests {name} {requests[name]} are above limits {limits[name]}"


def _container(container: Mapping[str, Any], grace_s: float | None) -> Iterator[str]:
    hook = mapping(mapping(container.get("lifecycle")).get("preStop"))
    sleep_s = _number(mapping(hook.get("sleep")).get("seconds"))
    grace_s = 30.0 if grace_s is None else grace_s
    if sleep_s is not None and not 0 <= sleep_s <= grace_s:
        yield f"preStop sleeps {sleep_s:g} s, and {_GRACE} is {grace_s:g}"
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = mapping(container.get(name))
        below = [key for key, value in probe.items() if (_number(value) or 0) < 0]
        yield from (f"{name}: {key} is below 0" for key in below)
        if name != "readinessProbe" and (_number(probe.get("successThreshold")) or 1) != 1:
            yield f"{name}: successThreshold is not 1"


_GRACE = "terminationGracePeriodSeconds"


def _strategies(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if {"canary", "blueGreen"} <= set(given):
        yield "spec.strategy", "both canary and blueGreen are given"
    for name, strategy in given.items():
        apart = mapping(strategy).get("antiAffinity")
        if apart is not None and len(_AFFINITIES & set(mapping(apart))) != 1:
            yield f"spec.strategy.{name}.antiAffinity", "antiAffinity names exactly one way"


def _blue_green(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    path = "spec.strategy.blueGreen"
    given = mapping(mapping(spec.get("strategy")).get("blueGreen"))
    if given and given.get("activeService") == given.get("previewService"):
        yield f"{path}.previewService", "activeService and previewService are the same"
    delayed, kept = given.get("scaleDownDelayRevisionLimit"), spec.get("revisionHistoryLimit", 10)
    if (_number(delayed) or 0) > max(_number(kept) or 0, 0):
        message = f"scaleDownDelayRevisionLimit {delayed} is above revisionHistoryLimit {kept}"
        yield f"{path}.scaleDownDelayRevisionLimit", message


def _canary(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    path = "spec.strategy.canary"
    canary = mapping(mapping(spec.get("strategy")).get("canary"))
    services = [scalar(canary.get(key)) for key in ("canaryService", "stableService")]
    routing = mapping(canary.get("trafficRouting"))
    if services[0] and services[0] == services[1]:
        yield f"{path}.canaryService", "canaryService and stableService are the same"
    if _needs_services(canary) and not all(services):
        yield path, "a traffic router needs canaryService and stableService"
    for key, message in (*_ping_pong(canary), *_scaling(canary)):
        yield f"{path}.{key}", message
    for index, step in enumerate(listed(canary.get("steps"))):
        for key, message in _step(mapping(step), routing):
            yield f"{path}.steps[{index}].{key}".rstrip("."), message


def _needs_services(canary: Mapping[str, Any]) -> bool:
    """Whether the router tells sides apart by Services (`requireCanaryStableServices`)."""
    routing = mapping(canary.get("trafficRouting"))
    routers = set(routing) - {"plugins", "managedRoutes", "maxTrafficWeight"}
    # Istio may tell pods apart by subset, and services that take turns have other names.
    subsets = mapping(mapping(routing.get("istio")).get("destinationRule"))
    apart = {"istio"} if subsets else set()
    return bool(routers - apart - ({"istio", "alb"} if canary.get("pingPong") else set()))


def _ping_pong(canary: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    turns = mapping(canary.get("pingPong"))
    routing = mapping(canary.get("trafficRouting"))
    if not turns:
        return
    if routing and not {"alb", "istio"} & set(routing):
        yield "pingPong", "pingPong needs the router alb or istio"
    if turns.get("pingService") == turns.get("pongService"):
        yield "pingPong.pingService", "pingService and pongService are the same"
    if "alb" in routing and not mapping(routing["alb"]).get("rootService"):
        yield "trafficRouting.alb", "pingPong needs its rootService"


def _scaling(canary: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    routing = mapping(canary.get("trafficRouting"))
    surge, unavailable = (canary.get(key, default) for key, default in _FENCES)
    if scalar(surge).rstrip("%") == "0" and scalar(unavailable).rstrip("%") == "0":
        yield "maxSurge", "maxSurge and maxUnavailable are both 0"
    delay = canary.get("scaleDownDelaySeconds") is not None
    dynamic = canary.get("dynamicStableScale") is True
    if "trafficRouting" not in canary:
        if delay:
            yield "scaleDownDelaySeconds", "scaleDownDelaySeconds needs a traffic router"
        if dynamic:
            yield "dynamicStableScale", "dynamicStableScale needs a traffic router"
    elif delay and dynamic:
        message = "dynamicStableScale and scaleDownDelaySeconds exclude each other"
        yield "dynamicStableScale", message
    if "maxTrafficWeight" in routing and not {"nginx", "plugins"} & set(routing):
        yield "trafficRouting.maxTrafficWeight", "maxTrafficWeight needs nginx or a plugin"
    virtual = mapping(routing.get("istio"))
    if {"virtualService", "virtualServices"} <= set(virtual):
        yield "trafficRouting.istio", "both virtualService and virtualServices are given"


_AFFINITIES = {
    "preferredDuringSchedulingIgnoredDuringExecution",
    "requiredDuringSchedulingIgnoredDuringExecution",
}
_FENCES = (("maxSurge", "25%"), ("maxUnavailable", "25%"))


def _step(step: Mapping[str, Any], routing: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    actions = [name for name in step if name in ACTIONS]
    alone = [name for name in actions if name in _ALONE]
    if not actions or len(alone) > 1:
        told = " and ".join(actions) or "nothing"
        yield "", f"a step does one thing; this one does {told}"
    weight = _number(step.get("setWeight"))
    most = _number(routing.get("maxTrafficWeight")) or 100.0
    if weight is not None and not 0 <= weight <= most:
        yield "setWeight", f"setWeight {weight:g} is not between 0 and {most:g}"
    duration = mapping(step.get("pause")).get("duration")
    if duration is not None and not _is_duration(duration):
        told = f"pause {duration!r} is not a duration: hours, minutes and seconds, such as 1h30m"
        yield "pause.duration", told
    if "setCanaryScale" in step and not routing:
        yield "setCanaryScale", "setCanaryScale needs a traffic router"
    for name, routers in _ROUTE_STEPS.items():
        if name in step:
            found = _route(name, mapping(step[name]), routing, routers)
            yield from ((name, message) for message in found)


# The routers that can route by a header, and that can mirror.
_ROUTE_STEPS = {
    "setHeaderRoute": {"istio", "alb", "apisix", "plugins"},
    "setMirrorRoute": {"istio"},
}


def _route(
    name: str, step: Mapping[str, Any], routing: Mapping[str, Any], routers: set[str]
) -> Iterator[str]:
    if not routers & set(routing):
        yield f"{name} needs the router {' or '.join(sorted(routers))}"
        return
    managed = [mapping(route).get("name") for route in listed(routing.get("managedRoutes"))]
    if step.get("name") not in managed:
        yield f"{name} {scalar(step.get('name'))!r} is not among trafficRouting.managedRoutes"
    for match in map(mapping, listed(step.get("match"))):
        value = mapping(match.get("headerValue"))
        given = [kind for kind in ("exact", "prefix", "regex") if value.get(kind)]
        if name == "setHeaderRoute" and (
            len(given) != 1 or ("alb" in routing and given != ["exact"])
        ):
            wanted = "exact" if "alb" in routing else "one of exact, prefix and regex"
            yield f"{name}: headerValue is not {wanted}"


def _quantity(value: object) -> Fraction | None:
    """A Kubernetes quantity; None if it is none."""
    try:
        return quantities.parse(scalar(value))
    except ValueError:
        return None
