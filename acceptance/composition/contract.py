"""A chart's contract: what others may count on once it is installed. The chart itself stays away.

What the Prometheus operator makes of a chart's objects is added here (Services `…-operated`, the
kubelet's Service, its pods' labels), as prometheus-operator v0.93 does (pkg/prometheus/server and
pkg/alertmanager, statefulset.go; pkg/kubelet/controller.go).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from acceptance.composition.charts import Chart
from canary.argo import promql

Object = Mapping[str, Any]
DASHBOARD = "grafana_dashboard"
# Of Argo CD's ConfigMap: where people find it, and how they get in.
SETTINGS = ("url", "admin.enabled", "resource.customizations.health.argoproj.io_Application")
_OPERANDS = ("Prometheus", "Alertmanager", "ServiceMonitor")
_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")
# Kinds that are in no namespace: an AppProject lists what it allows of them.
_CLUSTER = (
    "APIService",
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "IngressClass",
    "MutatingWebhookConfiguration",
    "Namespace",
    "PriorityClass",
    "StorageClass",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "ValidatingWebhookConfiguration",
)
_SHARED = re.compile(r"^(helm\.sh/chart|chart|heritage|app\.kubernetes\.io/(version|managed-by))$")
_KUBELET = re.compile(r"--kubelet-service=([\w-]+)/([\w-]+)")


class Part(BaseModel):
    """A part of a contract; it is read and never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Service(Part):
    """A Service: its ports by name."""

    name: str
    namespace: str
    labels: dict[str, str] = Field(default_factory=dict)
    ports: dict[str, int] = Field(default_factory=dict)


class Pods(Part):
    """Pods that a workload makes."""

    namespace: str
    labels: dict[str, str]


class Alert(Part):
    """An alert of the chart's own; `jobs` are those that its expression names."""

    alert: str
    severity: str = ""
    jobs: list[str] = Field(default_factory=list)


class Contract(Part):
    """What a chart brings with our values, or why it refuses them."""

    release: str
    chart: str
    repository: str
    version: str
    values: str
    refused: str = ""
    crds: list[str] = Field(default_factory=list)
    services: list[Service] = Field(default_factory=list)
    pods: list[Pods] = Field(default_factory=list)
    operated: list[dict[str, Any]] = Field(default_factory=list)
    alerts: list[Alert] = Field(default_factory=list)
    config_maps: list[str] = Field(default_factory=list)
    settings: dict[str, str] = Field(default_factory=dict)
    cluster_kinds: list[str] = Field(default_factory=list)
    images: list[str] = Field(default_factory=list)
    restless: list[str] = Field(default_factory=list)

    @property
    def monitors(self) -> list[Object]:
        """The ServiceMonitors."""
        return list(_of(self.operated, "ServiceMonitor"))


def load(folder: Path) -> dict[str, Contract]:
    """The committed contracts, by release."""
    files = sorted(folder.glob("*.yaml"))
    read = [Contract.model_validate(yaml.safe_load(file.read_text("utf-8"))) for file in files]
    return {contract.release: contract for contract in read}


def extract(
    chart: Chart, rendered: Sequence[Object], again: Sequence[Object] = (), refused: str = ""
) -> Contract:
    """The contract of a chart, from its objects rendered once and `again`."""
    things = [*rendered, *_of_lists(rendered)]
    return Contract(
        release=chart.release,
        chart=chart.name,
        repository=chart.repository,
        version=chart.version,
        values=chart.digest,
        refused=refused,
        crds=sorted(t["metadata"]["name"] for t in _of(things, "CustomResourceDefinition")),
        services=[*_services(things, chart.namespace), *_operated(things)],
        pods=[*_pods(things, chart.namespace), *_operated_pods(things)],
        operated=[_operand(t, chart.namespace) for t in _of(things, *_OPERANDS)],
        alerts=list(_alerts(things)),
        config_maps=sorted(
            t["metadata"]["name"] for t in _of(things, "ConfigMap") if DASHBOARD not in _labels(t)
        ),
        settings=_settings(things),
        cluster_kinds=sorted({t["kind"] for t in _of(things, *_CLUSTER)}),
        images=sorted(_images(things)),
        restless=[f"{t['kind']} {_named(t)}" for t in rendered if t not in again],
    )


def _of(things: Sequence[Object], *kinds: str) -> Iterator[Object]:
    return (thing for thing in things if thing["kind"] in kinds)


def _of_lists(things: Sequence[Object]) -> Iterator[Object]:
    return (item for thing in _of(things, "List") for item in thing.get("items") or [])


def _settings(things: Sequence[Object]) -> dict[str, str]:
    data: Mapping[str, Any] = next(
        (t["data"] for t in _of(things, "ConfigMap") if _named(t) == "argocd-cm"), {}
    )
    # A program is there or is not; its text is its author's.
    told = {key: str(data[key]) for key in SETTINGS if key in data}
    return {key: "a program" if "\n" in value else value for key, value in told.items()}


def _named(thing: Object) -> str:
    return str(thing["metadata"]["name"])


def _labels(thing: Object) -> dict[str, str]:
    labels = thing["metadata"].get("labels") or {}
    return {key: str(value) for key, value in labels.items() if not _SHARED.match(key)}


def _services(things: Sequence[Object], namespace: str) -> Iterator[Service]:
    for thing in _of(things, "Service"):
        ports = thing["spec"].get("ports") or []
        yield Service(
            name=thing["metadata"]["name"],
            namespace=thing["metadata"].get("namespace", namespace),
            labels=_labels(thing),
            ports={port.get("name", ""): port["port"] for port in ports},
        )


def _operated(things: Sequence[Object]) -> Iterator[Service]:
    for kind, port in (("Prometheus", 9090), ("Alertmanager", 9093)):
        for thing in _of(things, kind):
            name = kind.lower()
            yield Service(
                name=f"{name}-operated",
                namespace=thing["metadata"]["namespace"],
                labels={f"operated-{name}": "true"},
                ports={thing["spec"].get("portName", "web"): port},
            )
    for thing in _of(things, "Deployment"):
        for container in thing["spec"]["template"]["spec"]["containers"]:
            for argument in container.get("args") or []:
                if found := _KUBELET.fullmatch(argument):
                    yield Service(
                        name=found[2],
                        namespace=found[1],
                        labels={"k8s-app": "kubelet", "app.kubernetes.io/name": "kubelet"},
                        ports={"https-metrics": 10250, "http-metrics": 10255, "cadvisor": 4194},
                    )


def _pods(things: Sequence[Object], namespace: str) -> Iterator[Pods]:
    for thing in _of(things, *_WORKLOADS):
        yield Pods(
            namespace=thing["metadata"].get("namespace", namespace),
            labels=_labels(thing["spec"]["template"]),
        )


def _operated_pods(things: Sequence[Object]) -> Iterator[Pods]:
    for thing in _of(things, "Prometheus", "Alertmanager"):
        kind = thing["kind"].lower()
        name = thing["metadata"]["name"]
        yield Pods(
            namespace=thing["metadata"]["namespace"],
            labels={
                "app.kubernetes.io/name": kind,
                "app.kubernetes.io/instance": name,
                kind: name,
            },
        )


def _images(things: Sequence[Object]) -> set[str]:
    """Of containers, and of those that the operator makes: `repository:tag`."""
    found = {str(t["spec"]["image"]) for t in _of(things, "Prometheus", "Alertmanager")}
    for thing in _of(things, *_WORKLOADS):
        found |= {str(c["image"]) for c in thing["spec"]["template"]["spec"]["containers"]}
    return {image.partition("@")[0] for image in found}


def _operand(thing: Object, namespace: str) -> dict[str, Any]:
    """What the operator reads of an object, whole."""
    name, place = _named(thing), thing["metadata"].get("namespace", namespace)
    metadata = {"name": name, "namespace": place}
    kept = {key: thing[key] for key in ("apiVersion", "kind", "spec")}
    return {**kept, "metadata": metadata}


def _alerts(things: Sequence[Object]) -> Iterator[Alert]:
    for thing in _of(things, "PrometheusRule"):
        for group in thing["spec"]["groups"]:
            for rule in group.get("rules") or []:
                if "alert" in rule:
                    yield Alert(
                        alert=rule["alert"],
                        severity=(rule.get("labels") or {}).get("severity", ""),
                        jobs=sorted(_jobs(str(rule["expr"]))),
                    )


def _jobs(expression: str) -> set[str]:
    return {
        matcher.value
        for selector in promql.parse(expression).selectors
        for matcher in selector.matchers
        if matcher.label == "job" and matcher.sign == "="
    }
