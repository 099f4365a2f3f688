"""Monitors → what the run's Prometheus scrapes of the pods, and the labels that the series get.

The Prometheus operator's ServiceMonitors and PodMonitors, Google's PodMonitorings, and where there
is none the annotations `prometheus.io/scrape` as the community's chart reads them. A pod's targets
carry what the discovery of a cluster would say of it, so relabelings go to Prometheus unchanged.
Fixed for the run: a canary that is promoted stays a pod of the canary Service here. Only the active
Service of a blueGreen changes its pods.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from canary.argo import dialects, promql, resolve
from canary.argo.dialects import PROXIES
from canary.argo.manifests import Bundle
from canary.argo.model import ReplicaSetName, Rollout
from canary.argo.objects import (
    Container,
    Endpoint,
    PodMonitor,
    PodMonitoring,
    Service,
    ServiceMonitor,
)
from canary.argo.promql import Selector
from canary.argo.releases import HASHES
from canary.rehearse import time_compression
from canary.rehearse.active_service import ActiveService
from canary.rehearse.replica_sets import ReplicaSets, Slot
from canary.runtime.prometheus import ScrapeJob, Target

DEFAULT_SCRAPE_S = 30.0
# The chart's own.
ANNOTATED_SCRAPE_S = 60.0
_SNAKE = {"sourceLabels": "source_labels", "targetLabel": "target_label"}
_UNDERSCORED = str.maketrans("-./", "___")
_META = "__meta_kubernetes_"


@dataclass(frozen=True)
class _Found:
    """One way to the pods' metrics, with the labels that it gives a pod; `job` names it."""

    job: str
    port: int | str
    endpoint: Endpoint
    labels: Mapping[str, str]
    pod_labels: Mapping[str, str]
    service: Service | None = None


def jobs(
    bundle: Bundle, sets: ReplicaSets, time_scale: float, active: ActiveService | None = None
) -> list[ScrapeJob]:
    """The scrape jobs of the pods at a time scale; `active` is a blueGreen's active Service."""
    return [
        ScrapeJob(
            name=f"pods-{number}" if number else "pods",
            path=found.endpoint.path,
            interval_s=time_compression.scrape_interval_s(found.endpoint.interval, time_scale),
            targets=list(_targets(bundle, sets, found, active)),
            honour_labels=found.endpoint.honor_labels,
            params=found.endpoint.params,
            relabel=_relabel(found.endpoint.relabelings),
            metric_relabel=_relabel(found.endpoint.metric_relabelings),
        )
        for number, found in enumerate(_all(bundle))
    ]


def interval_s(bundle: Bundle) -> float:
    """How often the pods are scraped, in real time."""
    return min((found.endpoint.interval for found in _all(bundle)), default=DEFAULT_SCRAPE_S)


def ports(bundle: Bundle) -> set[str]:
    """The pods' ports that are scraped, by the names of the containers'."""
    return {_port(bundle, found) for found in _all(bundle)}


def refusals(rollout: Rollout, bundle: Bundle) -> Iterator[str]:
    """Gates that would read nothing: by the manifests nobody scrapes the pods."""
    if any(_all(bundle)):
        return
    # Several steps may have the same gate.
    every = {name: {selector.metric for selector in asked} for name, asked in _asked(rollout)}
    for name, read in every.items():
        if read:
            yield (
                f"metric {name} queries {', '.join(sorted(read))}, but nothing scrapes the pods: "
                "no monitor in the manifests (such as a ServiceMonitor or PodMonitor) selects them "
                f"in namespace {bundle.namespace}, and "
                'prometheus.io/scrape is not "true" — name the file of a monitor that does with '
                f"`also` in rehearsal.yaml, or leave the metric out with --without-metric {name}"
            )


def elsewhere(rollout: Rollout, bundle: Bundle) -> Iterator[str]:
    """Gates that ask for targets of another name than these pods', which may be a slip."""
    every = list(_all(bundle))
    rules = [r for f in every for r in (*f.endpoint.relabelings, *f.endpoint.metric_relabelings)]
    made = [rule.get("targetLabel") or rule.get("target_label") for rule in rules]
    for name, asked in _asked(rollout):
        for wanted in dict.fromkeys(m for s in asked for m in s.matchers if m.sign == "="):
            known = {wanted.label: bundle.namespace} if wanted.label == "namespace" else {}
            has = {(known or found.labels).get(wanted.label) for found in every} - {None}
            if has and wanted.value not in has and wanted.label not in made:
                given = ", ".join(sorted(f'"{value}"' for value in has))
                yield (
                    f'metric {name} asks for {wanted.label}="{wanted.value}", which no target of '
                    f"the pods has: theirs is {given}"
                )


def _asked(rollout: Rollout) -> Iterator[tuple[str, list[Selector]]]:
    """The series of the pods that each metric reads, by its name."""
    # With hashes, because a pattern with an unfilled argument cannot be parsed.
    found = (m for a in rollout.analyses for m in resolve.with_hashes(a, HASHES))
    for metric in dict.fromkeys(found):
        asked = () if metric.json_path or metric.job else promql.read(metric.query).selectors
        yield metric.name, [selector for selector in asked if _is_pods(selector.metric)]


def _is_pods(metric: str) -> bool:
    """Whether a series is the pods' own, and none of a router, a node or a rule."""
    others = ("", "up", "ALERTS", "ALERTS_FOR_STATE")
    return not (metric in others or ":" in metric or dialects.is_of_cluster(metric))


def _port(bundle: Bundle, found: _Found) -> str:
    """A port's name; one without is called by its number."""
    given = {c.port_name(found.port) for c in bundle.rollout.spec.template.spec.containers}
    return min(given - {str(found.port)} or given)


def _all(bundle: Bundle) -> Iterator[_Found]:
    declared = {p for c in bundle.rollout.spec.template.spec.containers for p in c.port_names}
    found = [f for f in _monitored(bundle) if str(f.port) in declared or f.port not in PROXIES]
    yield from found or _annotated(bundle)


def _monitored(bundle: Bundle) -> Iterator[_Found]:
    for monitor in bundle.monitors:
        name = monitor.metadata.name
        if isinstance(monitor, ServiceMonitor):
            for service in bundle.services:
                if monitor.spec.selector.takes(service.metadata.labels):
                    yield from _of_service(monitor, service)
        elif isinstance(monitor, PodMonitoring):
            for endpoint in monitor.spec.endpoints:
                yield _of_google(monitor, endpoint)
        else:
            for endpoint in monitor.spec.pod_metrics_endpoints:
                job = f"{bundle.namespace}/{name}"
                yield _of_pod(bundle, monitor, endpoint, job)


def _of_pod(bundle: Bundle, monitor: PodMonitor, endpoint: Endpoint, job: str) -> _Found:
    pod = bundle.rollout.spec.template.metadata.labels
    port = endpoint.port or endpoint.port_number or endpoint.target_port
    labels = {"endpoint": str(port), "job": pod.get(monitor.spec.job_label, job)}
    return _Found(job, port, endpoint, labels, _copied(monitor.spec.pod_target_labels))


def _of_service(monitor: ServiceMonitor, service: Service) -> Iterator[_Found]:
    spec, given = monitor.spec, service.metadata.labels
    for endpoint in spec.endpoints:
        wanted = endpoint.port
        port = next((p for p in service.spec.ports if wanted in (p.name, str(p.port))), None)
        target = endpoint.target_port or (
            wanted if port is None else port.port if port.target_port is None else port.target_port
        )
        labels = {
            "service": service.metadata.name,
            "endpoint": str(wanted or target),
            "job": given.get(spec.job_label, service.metadata.name),
            **{n.translate(_UNDERSCORED): given[n] for n in spec.target_labels if n in given},
        }
        job = service.metadata.name
        yield _Found(job, target, endpoint, labels, _copied(spec.pod_target_labels), service)


def _of_google(monitor: PodMonitoring, endpoint: Endpoint) -> _Found:
    wanted = monitor.spec.target_labels
    here = dict.fromkeys(("project_id", "location", "cluster"), "local")
    labels = here | {"job": monitor.metadata.name}
    copied = {each.from_: each.to or each.from_ for each in wanted.from_pod}
    return _Found(monitor.metadata.name, endpoint.port, endpoint, labels, copied)


def _annotated(bundle: Bundle) -> Iterator[_Found]:
    """Pods and Services that ask for it by annotation; the chart copies all of their labels."""
    pod = bundle.rollout.spec.template.metadata
    if pod.annotations.get("prometheus.io/scrape") == "true":
        every = {name: name for name in (*pod.labels, "rollouts-pod-template-hash")}
        yield _by_annotation(bundle, "kubernetes-pods", pod.annotations, {}, every, None)
    for service in bundle.services:
        if service.metadata.annotations.get("prometheus.io/scrape") == "true":
            given = service.metadata
            labels = {n.translate(_UNDERSCORED): v for n, v in given.labels.items()}
            labels["service"] = given.name
            job = "kubernetes-service-endpoints"
            yield _by_annotation(bundle, job, given.annotations, labels, {}, service)


def _by_annotation(
    bundle: Bundle,
    job: str,
    annotations: Mapping[str, str],
    labels: Mapping[str, str],
    copied: Mapping[str, str],
    service: Service | None,
) -> _Found:
    port = annotations.get("prometheus.io/port", "")
    endpoint = Endpoint(
        port=port,
        path=annotations.get("prometheus.io/path", "/metrics"),
        interval=ANNOTATED_SCRAPE_S,
    )
    wanted = int(port) if port.isdigit() else bundle.served_port
    return _Found(job, wanted, endpoint, {"job": job, **labels}, copied, service)


def _copied(names: Iterable[str]) -> Mapping[str, str]:
    return {name: name for name in names}


def _targets(
    bundle: Bundle, sets: ReplicaSets, found: _Found, active: ActiveService | None
) -> Iterator[Target]:
    port = _port(bundle, found)
    name = found.service.metadata.name if found.service else ""
    switches = name and name == bundle.rollout.spec.strategy.services[1]
    through = active if switches else None
    container = bundle.rollout.spec.template.spec.owner(port)
    for slot in _selected(bundle, sets, name) if through is None else sets.slots():
        # As on a cluster: a pod without such a port is not scraped.
        if port in slot.ports:
            facts = slot.facts
            given = {
                name.translate(_UNDERSCORED): facts.labels[label]
                for label, name in found.pod_labels.items()
                if label in facts.labels
            }
            labels = {
                "instance": f"{slot.address}:{container.port(port)}",
                "namespace": facts.namespace,
                "pod": facts.name,
                "container": container.name,
                **found.labels,
                **given,
            }
            number = slot.ports[port]
            if through is not None:
                path = through.path(number, found.endpoint.path)
                labels |= {"__metrics_path__": path}
                number = through.port
            yield Target(number, {**labels, **_discovered(slot, container, port, found)})


def _selected(bundle: Bundle, sets: ReplicaSets, name: str) -> Sequence[Slot]:
    """The pods that a Service selects, with the hash that the controller writes into its selector.

    One that is neither canaryService nor stableService selects all, each once.
    """
    canary, stable = bundle.rollout.spec.strategy.services
    if name and name == canary:
        return sets.slots(ReplicaSetName.LATEST)
    return sets.slots(ReplicaSetName.STABLE if name and name == stable else None)


def _discovered(slot: Slot, container: Container, port: str, found: _Found) -> Mapping[str, str]:
    """What a cluster's discovery says of a pod, for relabelings; gone once they are through."""
    facts, service = slot.facts, found.service
    named = {
        "namespace": facts.namespace,
        "pod_name": facts.name,
        "pod_ip": facts.ip,
        "pod_host_ip": facts.ip,
        "pod_uid": facts.uid,
        "pod_container_name": container.name,
        "pod_container_image": container.image,
        "pod_container_init": "false",
        "pod_container_port_name": str(found.port),
        "pod_container_port_number": str(container.port(port)),
        "pod_container_port_protocol": "TCP",
        "pod_controller_kind": "ReplicaSet",
        "pod_controller_name": facts.name.rpartition("-")[0],
        "pod_phase": "Running",
        "pod_ready": "true",
        "pod_node_name": "localhost",
        **_labels("pod_label", facts.labels),
        **_labels("pod_annotation", facts.annotations),
    }
    if service is not None:
        named |= {
            "service_name": service.metadata.name,
            "endpoints_name": service.metadata.name,
            "endpoint_port_name": str(found.endpoint.port),
            "endpoint_port_protocol": "TCP",
            "endpoint_ready": "true",
            "endpoint_node_name": "localhost",
            "endpoint_address_target_kind": "Pod",
            "endpoint_address_target_name": facts.name,
            **_labels("service_label", service.metadata.labels),
            **_labels("service_annotation", service.metadata.annotations),
        }
    return {f"{_META}{name}": value for name, value in named.items()}


def _labels(kind: str, given: Mapping[str, str]) -> Mapping[str, str]:
    """Labels or annotations, and that they are there."""
    plain = {name.translate(_UNDERSCORED): value for name, value in given.items()}
    held = {f"{kind}_{name}": value for name, value in plain.items()}
    return held | {f"{kind}present_{name}": "true" for name in plain}


def _relabel(configs: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The operator's relabelings in Prometheus's own words."""
    return [
        {
            _SNAKE.get(key, key): str(value).lower() if key == "action" else value
            for key, value in config.items()
        }
        for config in configs
    ]
