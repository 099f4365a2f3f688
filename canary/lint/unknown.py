"""What the manifests hold that no rule here judges: steps, kinds, and other projects' Rollouts."""

from collections.abc import Iterable, Iterator
from typing import Any

from canary.argo import promql, threshold
from canary.argo.gates import Release
from canary.argo.templates import is_argo
from canary.lint.repository import PassedOver
from canary.yamls import Document, listed, mapping, scalar

# What some rule or other knows the answers of; of anything else only its conditions are judged.
_JUDGED_PARTS = {
    "sum", "avg", "max", "min", "count",
    "rate", "increase", "irate", "histogram_quantile", "absent", "absent_over_time",
    "avg_over_time", "last_over_time", "max_over_time", "min_over_time", "quantile_over_time",
    "sum_over_time", "abs", "ceil", "clamp", "clamp_max", "clamp_min", "exp", "floor", "ln",
    "log10", "log2", "round", "scalar", "sgn", "sqrt", "time", "timestamp", "vector",
}  # fmt: skip
_JUDGED_STEPS = {"analysis", "pause", "setWeight"}
_JUDGED_STRATEGIES = {"blueGreen", "canary"}
_PROJECTS = {
    ("Rollout", "rollouts.kruise.io"): "Kruise's Rollout",
    ("Canary", "flagger.app"): "Flagger's Canary",
}


def find(documents: Iterable[Document], releases: Iterable[Release]) -> Iterator[PassedOver]:
    """Everything about a release that was read and not judged."""
    for document in documents:
        if reason := _reason(document):
            yield PassedOver(_place(document), reason)
    for release in releases:
        for gate in release.gates:
            if gate.metric and (unread := threshold.unread(gate.metric)):
                yield PassedOver(_place(gate.template), f"{gate.name} not judged: {unread}")
            if gate.metric and (parts := _unknown_parts(gate.metric.query)):
                what = f"what {', '.join(parts)} answers"
                yield PassedOver(_place(gate.template), f"{gate.name} not judged: {what}")
        canary = mapping(mapping(release.rollout.spec.get("strategy")).get("canary"))
        actions = [next(iter(mapping(step)), "") for step in listed(canary.get("steps"))]
        unknown = [f"{i} ({a})" for i, a in enumerate(actions) if a and a not in _JUDGED_STEPS]
        if unknown:
            where = f"step{'s' * (len(unknown) > 1)} {', '.join(unknown)}"
            yield PassedOver(
                _place(release.rollout), f"{where} not judged, and taken to last no time"
            )


def _unknown_parts(query: str) -> list[str]:
    """What of a query no rule knows, each once, in the query's order."""
    parts: list[str] = []
    for node in promql.nodes(promql.read(query).tree):
        match type(node).__name__:
            case "AggregateExpr":
                parts.append(str(node.op))
            case "Call":
                parts.append(node.func.name)
            case "VectorSelector" if not (node.name or _names_one(node)):
                parts.append("a selector without a metric's name")
    return [part for part in dict.fromkeys(parts) if part not in _JUDGED_PARTS]


def _names_one(selector: Any) -> bool:
    return any((m.label, m.sign) == ("__name__", "=") for m in promql.matchers_of(selector))


def _reason(document: Document) -> str:
    """Why an object is not judged; nothing if it is, or if none of its kind is."""
    group = scalar(document.body.get("apiVersion")).partition("/")[0]
    if project := _PROJECTS.get((document.kind, group)):
        return f"{project} is not Argo's, and not judged"
    if document.kind in ("AnalysisRun", "Experiment") and group == "argoproj.io":
        return f"objects of kind {document.kind} are not judged"
    strategy = mapping(document.spec.get("strategy"))
    if document.kind == "Rollout" and is_argo(document) and not set(strategy) & _JUDGED_STRATEGIES:
        return "it has no strategy: a patch, or a Rollout that the controller refuses"
    blue_green = mapping(strategy.get("blueGreen"))
    if blue_green and not {"prePromotionAnalysis", "postPromotionAnalysis"} & set(blue_green):
        return "blueGreen without an analysis: nothing judges the switch"
    return ""


def _place(document: Document) -> str:
    return f"{document.file}: {document}"
