"""Canaries behind a traffic router that the rehearsal and the real controller must agree on.

The router is ingress-nginx's Ingress, which is built into Kubernetes and which the controller only
writes: nobody serves it. Compared at each pause are the weight, and the pods of canary and stable
that were asked for; and the pods at the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from acceptance.conformance.scenarios import Act, Scenario

PAUSE = {"pause": {"duration": "3s"}}
# Less than how long a release must be still before it has ended, so that the end is seen.
SOON_S = 2


def _steps(*steps: Mapping[str, Any] | int) -> Sequence[Mapping[str, Any]]:
    """Each with a pause after it; a number is a weight."""
    each = ({"setWeight": step} if isinstance(step, int) else step for step in steps)
    return [part for step in each for part in (step, PAUSE)]


def _scale(**scale: object) -> Mapping[str, Any]:
    return {"setCanaryScale": scale}


def _routed(
    name: str,
    *steps: Mapping[str, Any] | int,
    acts: Sequence[Act] = (),
    replicas: int = 5,
    most: int | None = None,
    **canary: object,
) -> Scenario:
    routing: dict[str, Any] = {"nginx": {"stableIngress": "gridos"}}
    if most is not None:
        routing["maxTrafficWeight"] = most
    services = {"stableService": "stable", "canaryService": "canary"}
    strategy = {**services, "trafficRouting": routing, "steps": list(_steps(*steps)), **canary}
    return Scenario(f"routed-{name}", replicas=replicas, acts=tuple(acts), canary=strategy)


ROUTED = (
    _routed("thirds", 20, 50, 80),
    _routed("uneven", 1, 33, 66, replicas=4),
    _routed("max-weight", 250, 333, 900, most=1000),
    _routed("scale-of-replicas", _scale(replicas=1), 40, 80, _scale(matchTrafficWeight=True)),
    _routed("scale-of-weight", 10, _scale(weight=50), 20),
    _routed("scale-above", _scale(replicas=4), 20, 40),
    _routed("min-pods", 10, 90, minPodsPerReplicaSet=2),
    _routed("dynamic", 20, 60, 100, dynamicStableScale=True),
    _routed("dynamic-min-pods", 30, 95, dynamicStableScale=True, minPodsPerReplicaSet=2),
    _routed("no-steps"),
    _routed("weight-of-nothing", 0, 50),
    _routed("soon-gone", 50, scaleDownDelaySeconds=SOON_S),
    _routed("never-gone", 50, scaleDownDelaySeconds=0),
    _routed("gone-at-once", 50, scaleDownDelaySeconds=60, scaleDownDelayRevisionLimit=0),
    _routed("abort", 20, 60, acts=[Act("abort", at_step=3)]),
    _routed(
        "abort-soon-gone", 60, acts=[Act("abort", at_step=1)], abortScaleDownDelaySeconds=SOON_S
    ),
    _routed("abort-never-gone", 60, acts=[Act("abort", at_step=1)], abortScaleDownDelaySeconds=0),
    _routed(
        "abort-scaled-never-gone",
        _scale(replicas=2),
        60,
        acts=[Act("abort", at_step=3)],
        abortScaleDownDelaySeconds=0,
    ),
    _routed("abort-dynamic", 20, 80, acts=[Act("abort", at_step=3)], dynamicStableScale=True),
    _routed("threshold", 40, 80, replicaProgressThreshold={"type": "Percent", "value": 50}),
    _routed("replicas-changed", 40, 80, acts=[Act("replicas=8", at_step=1)]),
)


def objects(namespace: str) -> list[dict[str, Any]]:
    """The Services and the Ingress of such a scenario."""
    labels = {"app.kubernetes.io/name": "gridos"}
    port = {"port": 80, "targetPort": 8000}
    backend = {"service": {"name": "stable", "port": {"number": 80}}}
    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    rule = {"host": "gridos.example", "http": {"paths": [path]}}
    ingress = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "gridos", "namespace": namespace},
        "spec": {"ingressClassName": "nginx", "rules": [rule]},
    }
    services = [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"selector": labels, "ports": [port]},
        }
        for name in ("stable", "canary")
    ]
    return [ingress, *services]
