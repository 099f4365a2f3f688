"""What sets a Rollout's replicas in place of its manifest: an autoscaler."""

from collections.abc import Iterable

from canary.yamls import Document, mapping

# The fields with the fewest and the most replicas, by kind.
KINDS = {
    "HorizontalPodAutoscaler": ("minReplicas", "maxReplicas"),
    "ScaledObject": ("minReplicaCount", "maxReplicaCount"),
}


def of(rollout: Document, documents: Iterable[Document]) -> Document | None:
    """The autoscaler among the objects that names a Rollout."""
    for document in documents:
        target = mapping(document.spec.get("scaleTargetRef"))
        named = target.get("kind"), target.get("name"), document.namespace
        if document.kind in KINDS and named == ("Rollout", rollout.name, rollout.namespace):
            return document
    return None


def within(scaler: Document, asked: int) -> int:
    """The replicas nearest to those asked for that an autoscaler lets a Rollout have."""
    least, most = (scaler.spec.get(key, asked) for key in KINDS[scaler.kind])
    whole = isinstance(least, int) and isinstance(most, int)
    return max(least, min(asked, most)) if whole else asked


def fewest(rollout: Document, documents: Iterable[Document]) -> tuple[int, Document] | None:
    """The replicas of a Rollout that names none, and the autoscaler that says how many."""
    scaler = of(rollout, documents) if rollout.spec.get("replicas") is None else None
    return None if scaler is None else (within(scaler, 1), scaler)
