"""What kube-state-metrics and the kubelet export: no scrape of a service shows it.

The names and labels are those of `schemas/exporters.json` (`policies/schemas/exporters.py` wrote
it, of the versions that it names). Clusters have older and newer ones, and labels of their own by
relabelling: what is not known is accused only if it is spelt almost like something that is.
"""

import json
import re
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from canary.argo import dialects
from canary.argo.promql import Selector

FILE = Path(__file__).parent / "schemas/exporters.json"

# How alike two names are, of 1, if one of them is the other misspelt.
ALIKE = 0.9
LABELS_ALIKE = 0.8

# kube-state-metrics before 2.0 named units in metrics; Kubernetes before 1.16 had these labels.
_UNITS = re.compile("_(cpu_cores|memory_bytes)$")
_RENAMED = {"container_name": "container", "pod_name": "pod"}


def unknown(selector: Selector) -> Iterator[str]:
    """What a selector asks for that no version has, in words."""
    exporters = _exporters()
    exporter = next((e for e, metrics in exporters.items() if selector.metric in metrics), "")
    if today := dialects.renamed(selector.metric):
        yield f"its exporter has {today}, and no {selector.metric}"
    if not exporter:
        yield from _misspelt(selector.metric)
        return
    labels = exporters[exporter][selector.metric]
    for label in sorted(selector.labels - labels.keys() - dialects.SCOPE):
        meant = get_close_matches(label, [*labels], 1, LABELS_ALIKE)
        renamed = _RENAMED.get(label, "")
        for name in meant or [renamed] * (renamed in labels):
            yield f"{selector.metric} has no label {label}, but {name} ({exporter})"


def never_taken(selector: Selector) -> Iterator[str]:
    """The matchers that take none of the values that a label can have."""
    for metrics in _exporters().values():
        values = metrics.get(selector.metric, {})
        for matcher in selector.matchers:
            listed = values.get(matcher.label, [])
            if listed and not any(dialects.may_take(matcher, value) for value in listed):
                yield f"{matcher}: it is one of {', '.join(listed)}"


def _misspelt(metric: str) -> Iterator[str]:
    for exporter, metrics in _exporters().items():
        plain = _UNITS.sub("", metric)
        renamed = [name for name in (plain, f"{metric}_total") if name in metrics]
        meant = renamed or get_close_matches(metric, metrics, 1, ALIKE)
        if meant and meant[0].partition("_")[0] == metric.partition("_")[0]:
            yield f"{exporter} exports {meant[0]}, and no {metric}"
            return


@cache
def _exporters() -> dict[str, dict[str, dict[str, list[str]]]]:
    content: dict[str, dict[str, dict[str, list[str]]]] = json.loads(
        FILE.read_text(encoding="utf-8")
    )
    return content
