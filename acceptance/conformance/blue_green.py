"""BlueGreens that the rehearsal and the real controller must agree on.

Compared are the pods asked for and whom the active Service selects (a weight of 0 or 100): while
each analysis runs, at the pause, and at the end. The gates read what the script says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from acceptance.conformance.scenarios import Act, Scenario
from acceptance.conformance.scripted import Answer, Script

PRE, POST = "pre", "post"
ANALYSES = {PRE: "prePromotionAnalysis", POST: "postPromotionAnalysis"}
GOOD, BAD, NEITHER = (0.0,), (9.0,), (1.5,)
# Less than how long a release must be still before it has ended, so that the end is seen.
SOON_S = 2
AT_PAUSE, AT_POST, INCONCLUSIVE = "BlueGreenPause", "Running-post", "Paused-Inconclusive"


def _blue_green(
    name: str,
    *acts: Act,
    pre: Sequence[Answer] = (),
    post: Sequence[Answer] = (),
    spec: Mapping[str, object] | None = None,
    **strategy: object,
) -> Scenario:
    """A gate without answers is none."""
    answers = {gate: given for gate, given in ((PRE, pre), (POST, post)) if given}
    gates = {ANALYSES[gate]: {"templates": [{"templateName": gate}]} for gate in answers}
    services = {"activeService": "active", "previewService": "preview"}
    delays = {"scaleDownDelaySeconds": SOON_S, "abortScaleDownDelaySeconds": SOON_S}
    return Scenario(
        f"bluegreen-{name}",
        Script(answers),
        replicas=3,
        acts=acts,
        spec=spec or {},
        blue_green={**services, **delays, **gates, **strategy},
    )


BLUE_GREEN = (
    _blue_green("at-once"),
    _blue_green("timed", autoPromotionSeconds=4),
    _blue_green("preview-of-one", autoPromotionSeconds=4, previewReplicaCount=1, pre=[GOOD]),
    _blue_green("preview-of-one-at-once", previewReplicaCount=1),
    _blue_green("gated", pre=[GOOD], post=[GOOD]),
    _blue_green("pre-fails", pre=[GOOD, GOOD, BAD], post=[GOOD]),
    _blue_green("post-fails", pre=[GOOD], post=[GOOD, GOOD, BAD]),
    _blue_green("pre-unread", pre=[GOOD, GOOD, ()]),
    _blue_green(
        "pre-inconclusive-promoted", Act("promote", at_phase=INCONCLUSIVE), pre=[NEITHER, GOOD]
    ),
    _blue_green(
        "post-inconclusive-promoted", Act("promote", at_phase=INCONCLUSIVE), post=[NEITHER, GOOD]
    ),
    _blue_green(
        "post-inconclusive-aborted", Act("abort", at_phase=INCONCLUSIVE), post=[GOOD, GOOD, NEITHER]
    ),
    _blue_green(
        "by-hand", Act("promote", at_phase=AT_PAUSE), autoPromotionEnabled=False, pre=[GOOD]
    ),
    _blue_green(
        "by-hand-preview-of-one",
        Act("promote", at_phase=AT_PAUSE),
        autoPromotionEnabled=False,
        previewReplicaCount=1,
        post=[GOOD],
    ),
    _blue_green("timed-promoted", Act("promote", at_phase=AT_PAUSE), autoPromotionSeconds=8),
    _blue_green(
        "promoted-in-full",
        Act("promote-full", at_phase=AT_PAUSE),
        autoPromotionEnabled=False,
        previewReplicaCount=1,
        pre=[GOOD],
        post=[BAD],
    ),
    _blue_green("aborted", Act("abort", at_phase=AT_PAUSE), autoPromotionEnabled=False),
    _blue_green("aborted-after-the-switch", Act("abort", at_phase=AT_POST), post=[GOOD]),
    _blue_green(
        "aborted-never-gone",
        Act("abort", at_phase=AT_PAUSE),
        autoPromotionEnabled=False,
        abortScaleDownDelaySeconds=0,
    ),
    _blue_green("never-gone", scaleDownDelaySeconds=0),
    _blue_green("gone-at-once", scaleDownDelayRevisionLimit=0, scaleDownDelaySeconds=60),
    _blue_green(
        "replicas-changed",
        Act("replicas=5", at_phase=AT_PAUSE),
        autoPromotionSeconds=6,
        previewReplicaCount=2,
    ),
    _blue_green(
        "post-fails-without-pods",
        Act("lose-canary=all", at_phase=AT_POST),
        post=[GOOD, GOOD, GOOD, BAD],
        spec={"minReadySeconds": 12},
    ),
    _blue_green(
        "deadline-while-pre-runs",
        pre=[GOOD],
        spec={"progressDeadlineSeconds": 8, "progressDeadlineAbort": True},
    ),
    _blue_green(
        "paused-by-hand-then-promoted",
        Act("pause", at_phase=AT_PAUSE),
        Act("promote", at_phase=AT_PAUSE),
        autoPromotionSeconds=6,
    ),
)
# The deadline must pass while it runs.
LONG = {"bluegreen-deadline-while-pre-runs": 20}


def objects(scenario: Scenario, namespace: str, prometheus: str) -> list[dict[str, Any]]:
    """The Services and the gates of such a scenario."""
    port = {"port": 80, "targetPort": 8000}
    spec = {"selector": {"app.kubernetes.io/name": "gridos"}, "ports": [port]}
    services = [_object("v1", "Service", name, namespace, spec) for name in ("active", "preview")]
    address = f"{prometheus}/{scenario.name}"
    gates = [
        _object("argoproj.io/v1alpha1", "AnalysisTemplate", gate, namespace, {"metrics": [metric]})
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


def _object(
    version: str, kind: str, name: str, namespace: str, spec: Mapping[str, Any]
) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": dict(spec)}
