"""The dashboards of observability/dashboards: six, each with few panels, in a responder's order.

Ratios, rates per release and the budget are recorded series, so that a panel, an alert and a gate
can never disagree. Raw counters appear where a reader wants them split by route.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from observe.panels import (
    Annotation,
    Dashboard,
    Kind,
    Panel,
    Source,
    Target,
    Unit,
    Variable,
)

FOLDER = Path(__file__).parents[1] / "dashboards"
CONTROLLER = "the Argo Rollouts controller's metrics"
CADVISOR = "a kubelet's cAdvisor"
STATE = "kube-state-metrics"
# What a file calls by a word; whatever else a panel needs is said in full.
_NEEDS = {
    "controller": CONTROLLER,
    "cadvisor": CADVISOR,
    "state": STATE,
    "argo-cd": "Argo CD's metrics",
    "loki": "Loki",
    "load-test": "a load test, scraped at its --metrics-port",
}
_RELEASES = (
    Annotation(
        "Phase",
        'changes(rollout_info_replicas_updated{namespace="gridos"}[1m]) > 0',
        "{{name}}: the canary was scaled",
    ),
    Annotation(
        "Abort",
        'max by (name) (rollout_info{namespace="gridos", phase="Abort"}) > 0',
        "{{name}} was rolled back",
    ),
)


def _by_track(series: str) -> str:
    """A per-release series with the release's track."""
    return (
        f"{series} * on (namespace, rollouts_pod_template_hash) group_left (track) "
        "gridos:release_track:info"
    )


def _delta(series: str) -> str:
    """Canary less stable, of a per-release series."""
    tracked = _by_track(series)
    return (
        f"sum by (namespace) (({tracked}) and on (rollouts_pod_template_hash) "
        'gridos:release_track:info{track="canary"}) - '
        f"sum by (namespace) (({tracked}) and on (rollouts_pod_template_hash) "
        'gridos:release_track:info{track="stable"})'
    )


def _query(said: str | Mapping[str, str]) -> str:
    """A query in full, or what is to be done with a per-release series."""
    match said:
        case {"by_track": series}:
            return _by_track(series)
        case {"delta": series}:
            return _delta(series)
    return str(said)


def _panel(body: Mapping[str, Any]) -> Panel:
    needs = body.get("needs", "")
    return Panel(
        **{
            **body,
            "unit": Unit(body["unit"]),
            "kind": Kind(body.get("kind", Kind.TIMESERIES)),
            "source": Source(body.get("source", Source.PROMETHEUS)),
            "needs": _NEEDS.get(needs, needs),
            "colours": tuple(body.get("colours", {}).items()),
            "targets": tuple(Target(_query(q), legend) for legend, q in body["targets"].items()),
        }
    )


def _read(name: str) -> Dashboard:
    body = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    releases = _RELEASES if body.pop("releases", False) else ()
    rows = tuple((row, tuple(map(_panel, panels))) for row, panels in body.pop("rows").items())
    variables = tuple(Variable(**variable) for variable in body.pop("variables", []))
    return Dashboard(**body, rows=rows, variables=variables, annotations=releases)


ALL = tuple(map(_read, ("service", "canary", "budget", "capacity", "pipeline", "logs")))
LOGS = ALL[-1]
