"""Canaries behind a traffic router that the rehearsal and the real controller must agree on.

The router is ingress-nginx's Ingress, which is built into Kubernetes and which the controller only
writes: nobody serves it. Compared at each pause are the weight, and the pods of canary and stable
that were asked for; and the pods at the end.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from acceptance.conformance.scenarios import Act, Scenario
from acceptance.things import thing

PAUSE = {"pause": {"duration": "3s"}}


def _routed(
    name: str,
    *,
    steps: Sequence[Mapping[str, Any] | int] = (),
    acts: Sequence[Mapping[str, Any]] = (),
    replicas: int = 5,
    most: int | None = None,
    canary: Mapping[str, object] | None = None,
) -> Scenario:
    each = ({"setWeight": step} if isinstance(step, int) else step for step in steps)
    paused = [part for step in each for part in (step, PAUSE)]
    routing: dict[str, Any] = {"nginx": {"stableIngress": "gridos"}}
    if most is not None:
        routing["maxTrafficWeight"] = most
    services = {"stableService": "stable", "canaryService": "canary"}
    strategy = {**services, "trafficRouting": routing, "steps": paused, **(canary or {})}
    done = tuple(Act(**act) for act in acts)
    return Scenario(f"routed-{name}", replicas=replicas, acts=done, canary=strategy)


FILE = Path(__file__).with_name("routed.yaml")
ROUTED = tuple(_routed(**given) for given in yaml.safe_load(FILE.read_text("utf-8")))


def objects(namespace: str) -> list[dict[str, Any]]:
    """The Services and the Ingress of such a scenario."""
    labels = {"app.kubernetes.io/name": "gridos"}
    port = {"port": 80, "targetPort": 8000}
    backend = {"service": {"name": "stable", "port": {"number": 80}}}
    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    rule = {"host": "gridos.example", "http": {"paths": [path]}}
    named = {"ingressClassName": "nginx", "rules": [rule]}
    spec = {"selector": labels, "ports": [port]}
    return [
        thing("networking.k8s.io/v1", "Ingress", "gridos", namespace, spec=named),
        *(thing("v1", "Service", name, namespace, spec=spec) for name in ("stable", "canary")),
    ]
