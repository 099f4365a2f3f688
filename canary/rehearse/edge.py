"""A traffic router's weights and managed routes, or a blueGreen's, in the local Envoy's words."""

from typing import Any

from canary.argo.controller import Status
from canary.argo.model import RequestMatch, Rollout, Routing, SetRoute, TextMatch
from canary.runtime.gateway import PODS

# The last one is the new pods of a blueGreen as the preview Service reaches them.
STABLE, CANARY, PREVIEW = "stable", "canary", "preview"
# Application Gateway's own; it does not retry.
ROUTE_TIMEOUT = "30s"


def clusters(rollout: Rollout) -> tuple[str, ...]:
    """The groups of pods that requests are meant for."""
    if rollout.routing is None:
        return (PODS,)
    return (STABLE, CANARY, PREVIEW) if rollout.blue_green else (STABLE, CANARY)


def apart(rollout: Rollout) -> str:
    """The group that has an address of its own, that of the new release's Service; or none."""
    if rollout.routing is None or not rollout.routing.services[0]:
        return ""
    return PREVIEW if rollout.blue_green else CANARY


def routes(rollout: Rollout, status: Status | None, *, canary_ready: bool) -> list[dict[str, Any]]:
    """What takes a request, the first that matches; before a release it is stable."""
    routing = rollout.routing or Routing("")
    weight = status.weight if status is not None else 0
    share = {
        "weighted_clusters": {
            "clusters": [
                {"name": STABLE, "weight": routing.max_weight - weight},
                {"name": CANARY, "weight": weight},
            ]
        },
        "timeout": ROUTE_TIMEOUT,
    }
    managed = (*routing.always, *status.routes) if status is not None and canary_ready else ()
    ahead = [
        {"match": _match(match), "route": _action(route, share)}
        for route in managed
        for match in route.matches
    ]
    return [*ahead, {"match": {"prefix": "/"}, "route": share}]


def _action(route: SetRoute, share: dict[str, Any]) -> dict[str, Any]:
    if route.mirror is None:
        return {"cluster": CANARY, "timeout": ROUTE_TIMEOUT}
    fraction = {"default_value": {"numerator": route.mirror, "denominator": "HUNDRED"}}
    return {**share, "request_mirror_policies": [{"cluster": CANARY, "runtime_fraction": fraction}]}


def _match(match: RequestMatch) -> dict[str, Any]:
    headers = dict(match.headers) | ({":method": match.method} if match.method else {})
    found: dict[str, Any] = {"prefix": "/"}
    if match.path is not None:
        field = {"exact": "path", "prefix": "prefix", "regex": "safe_regex"}[match.path.kind]
        value = match.path.value
        found = {field: {"regex": value} if field == "safe_regex" else value}
    found["headers"] = [
        {"name": name, "string_match": _text(text)} for name, text in headers.items()
    ]
    return found


def _text(text: TextMatch) -> dict[str, Any]:
    if text.kind == "regex":
        return {"safe_regex": {"regex": text.value}}
    return {text.kind: text.value}
