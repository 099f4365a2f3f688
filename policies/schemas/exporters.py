#!/usr/bin/env python3
"""Make `canary/lint/schemas/exporters.json`: what kube-state-metrics and the kubelet export.

`policies/schemas/exporters.py KUBE_STATE_METRICS CADVISOR KUBERNETES` takes a checkout (or Go
module) of each, in a folder whose name ends with its version. Of each metric it keeps the labels,
and of each label the values where the source lists them.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml
from prometheus_client.parser import text_string_to_metric_families

OUT = Path(__file__).parents[2] / "canary/lint/schemas/exporters.json"

Labels = dict[str, list[str]]
# What the kubelet writes beside cAdvisor's own labels, and what only cAdvisor's tests have.
KUBELETS = ("container", "namespace", "pod")
OF_TESTS = re.compile("container_(env|label)_|zone_name")
_CELL = re.compile(r"(?<!\\)\|")
_LABEL = re.compile(r"`(\w+)`=(?:&lt;|<)(.*?)(?:&gt;|>)")


def kube_state_metrics(folder: Path) -> Iterator[tuple[str, Labels]]:
    """The tables of its documentation."""
    for file in sorted(folder.glob("docs/metrics/*/*.md")):
        place = None
        for line in file.read_text(encoding="utf-8").splitlines():
            cells = [cell.strip(" `") for cell in _CELL.split(line)]
            place = cells.index("Labels/tags") if "Labels/tags" in cells else place
            if place and len(cells) > place and re.fullmatch(r"kube_\w+", cells[1]):
                labels = _LABEL.findall(_CELL.split(line)[place])
                yield cells[1], {name: _listed(values) for name, values in labels}


def _listed(values: str) -> list[str]:
    found = re.split(r"\s*\\?\|\s*", values)
    return found if len(found) > 1 else []


def cadvisor(folder: Path) -> Iterator[tuple[str, Labels]]:
    """The scrape that its tests expect."""
    text = (folder / "metrics/testdata/prometheus_metrics").read_text(encoding="utf-8")
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            own = [label for label in sample.labels if not OF_TESTS.match(label)]
            yield sample.name, {label: [] for label in (*own, *KUBELETS)}


def kubelet(folder: Path) -> Iterator[tuple[str, Labels]]:
    """What it says of resources, as Kubernetes's list of metrics has it."""
    file = folder / "test/instrumentation/documentation/documentation-list.yaml"
    for metric in yaml.load(file.read_text(encoding="utf-8"), yaml.CSafeLoader):
        if re.match("(container|pod)_(cpu|memory|swap|start_time)_", metric["name"]):
            yield metric["name"], {label: [] for label in metric.get("labels", [])}


READERS = (
    ("kube-state-metrics", kube_state_metrics),
    ("cAdvisor", cadvisor),
    ("the kubelet", kubelet),
)


def main(folders: list[str]) -> int:
    """Write the file; exit 2 when the folders are not three."""
    if len(folders) != len(READERS):
        sys.stderr.write(f"{__doc__}")
        return 2
    found: dict[str, dict[str, Labels]] = {}
    for (exporter, read), folder in zip(READERS, folders, strict=True):
        version = folder.rstrip("/").rpartition("@")[2].removeprefix("v")
        metrics = found.setdefault(f"{exporter} {version}", {})
        for name, labels in read(Path(folder)):
            metrics[name] = metrics.get(name, {}) | labels
    text = json.dumps(found, sort_keys=True, separators=(",", ":"))
    OUT.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
