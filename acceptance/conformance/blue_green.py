"""BlueGreens that the rehearsal and the real controller must agree on.

Compared are the pods asked for and whom the active Service selects (a weight of 0 or 100): while
each analysis runs, at the pause, and at the end. The gates read what the script says.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from acceptance.conformance.scenarios import Act, Scenario
from acceptance.conformance.scripted import Answer, Script
from acceptance.things import thing

PRE, POST = "pre", "post"
ANALYSES = {PRE: "prePromotionAnalysis", POST: "postPromotionAnalysis"}
ANSWERS: Mapping[str, Answer] = {"good": (0.0,), "bad": (9.0,), "neither": (1.5,), "nothing": ()}
# Less than how long a release must be still before it has ended, so that the end is seen.
SOON_S = 2
AT_PAUSE, AT_POST = "BlueGreenPause", "Running-post"


def _blue_green(
    name: str,
    *,
    acts: Sequence[Mapping[str, Any]] = (),
    pre: Sequence[str] = (),
    post: Sequence[str] = (),
    spec: Mapping[str, object] | None = None,
    strategy: Mapping[str, object] | None = None,
) -> Scenario:
    gated = {gate: given for gate, given in ((PRE, pre), (POST, post)) if given}
    gates = {ANALYSES[gate]: {"templates": [{"templateName": gate}]} for gate in gated}
    services = {"activeService": "active", "previewService": "preview"}
    delays = {"scaleDownDelaySeconds": SOON_S, "abortScaleDownDelaySeconds": SOON_S}
    return Scenario(
        f"bluegreen-{name}",
        Script({gate: [ANSWERS[word] for word in given] for gate, given in gated.items()}),
        replicas=3,
        acts=tuple(Act(**act) for act in acts),
        spec=spec or {},
        blue_green={**services, **delays, **gates, **(strategy or {})},
    )


FILE = Path(__file__).with_name("blue_green.yaml")
BLUE_GREEN = tuple(_blue_green(**given) for given in yaml.safe_load(FILE.read_text("utf-8")))
# The deadline must pass while it runs.
LONG = {"bluegreen-deadline-while-pre-runs": 20}


def objects(scenario: Scenario, namespace: str, prometheus: str) -> list[dict[str, Any]]:
    """The Services and the gates of such a scenario."""
    port = {"port": 80, "targetPort": 8000}
    spec = {"selector": {"app.kubernetes.io/name": "gridos"}, "ports": [port]}
    services = [
        thing("v1", "Service", name, namespace, spec=spec) for name in ("active", "preview")
    ]
    address = f"{prometheus}/{scenario.name}"
    gates = [
        thing(
            "argoproj.io/v1alpha1", "AnalysisTemplate", gate, namespace, spec={"metrics": [metric]}
        )
        for gate in scenario.script.answers
        for metric in [_metric(gate, address, LONG.get(scenario.name, 4))]
    ]
    return [*services, *gates]


def _metric(gate: str, address: str, count: int) -> dict[str, Any]:
    return {
        "name": gate,
        "count": count,
        "interval": "1s",
        "consecutiveErrorLimit": 0,
        "successCondition": "result[0] < 1",
        "failureCondition": "result[0] > 2",
        "provider": {"prometheus": {"address": address, "query": gate}},
    }
