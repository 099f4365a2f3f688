"""How long the edge goes on sending requests to a pod that has died, by the Ingress's own probe.

A pod that leaves in order is taken out of the endpoints first. One that dies is found out by the
edge's health probe: Application Gateway's, as its ingress controller reads it from annotations.
Any other edge is taken to learn of it at once, and the result says so.
"""

from collections.abc import Iterable

from canary.yamls import Document, mapping, scalar

PREFIX = "appgw.ingress.kubernetes.io/health-probe-"
# Application Gateway's own, where an annotation is missing.
INTERVAL_S, UNHEALTHY_THRESHOLD = 30.0, 3.0


def learns_after_s(documents: Iterable[Document]) -> float | None:
    """Seconds from a pod's death to none of its requests; None where no Ingress says it."""
    for document in documents:
        if document.kind != "Ingress":
            continue
        given = mapping(mapping(document.body.get("metadata")).get("annotations"))
        classes = (
            scalar(document.spec.get("ingressClassName")),
            scalar(given.get("kubernetes.io/ingress.class")),
        )
        if not any("application-gateway" in name for name in classes):
            continue
        interval_s = _number(given.get(f"{PREFIX}interval"), INTERVAL_S)
        return interval_s * _number(given.get(f"{PREFIX}unhealthy-threshold"), UNHEALTHY_THRESHOLD)
    return None


def _number(value: object, default: float) -> float:
    text = scalar(value)
    return float(text) if text.isascii() and text.isdigit() else default
