"""What a service exports: metric names, their labels and their bucket bounds, from a scrape."""

import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from canary.errors import UsageError

# Of the platform and not of the service: kubelet, kube-state-metrics, node, mesh, proxies, and
# Prometheus itself.
_PLATFORM = re.compile(
    r"^(container|kube|kubelet|node|istio|envoy|nginx|traefik|up|scrape|ALERTS|probe)(_|$)"
)

# Labels that the scrape adds to whatever a service exports.
TARGET_LABELS = frozenset(
    {"namespace", "pod", "container", "endpoint", "job", "instance", "service"}
)


@dataclass(frozen=True)
class Contract:
    """Sample names with their labels and values."""

    values: dict[str, dict[str, frozenset[str]]]

    @cached_property
    def bounds(self) -> dict[str, frozenset[float]]:
        """The bounds of each histogram's buckets."""
        told = {name: labels.get("le", ()) for name, labels in self.values.items()}
        return {name: frozenset(map(float, bounds)) for name, bounds in told.items() if bounds}

    @property
    def labels(self) -> dict[str, frozenset[str]]:
        """The labels of each sample."""
        return {name: frozenset(labels) for name, labels in self.values.items()}


def covers(metric: str) -> bool:
    """Whether the service would be the one to export a metric of this name."""
    return ":" not in metric and not _PLATFORM.match(metric)


def load(source: str) -> Contract:
    """Reads a live `/metrics` address or a saved scrape.

    Raises:
        UsageError: if neither can be read as Prometheus text.
    """
    content = _content(source)
    values: dict[str, dict[str, set[str]]] = {}
    try:
        families = list(text_string_to_metric_families(content))
    except ValueError as wrong:
        raise UsageError(
            f"{source} is not a Prometheus scrape: {wrong}", "save one with curl"
        ) from None
    for sample in (sample for family in families for sample in family.samples):
        held = values.setdefault(sample.name, {})
        for label, value in sample.labels.items():
            held.setdefault(label, set()).add(value)
    return Contract(
        {
            name: {label: frozenset(found) for label, found in held.items()}
            for name, held in values.items()
        }
    )


def _content(source: str) -> str:
    try:
        if source.startswith(("http://", "https://")):
            with urllib.request.urlopen(source, timeout=5) as answer:
                return str(answer.read().decode())
        return Path(source).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, urllib.error.URLError) as gone:
        raise UsageError(
            f"the contract {source} cannot be read: {gone}", "give a scrape's file or address"
        ) from None
