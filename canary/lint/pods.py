"""What the manifests say of the release's pods: container, CPU limit, scrape interval."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from canary.argo import quantities
from canary.argo.dialects import PROXIES
from canary.argo.gates import Release
from canary.argo.releases import seconds
from canary.lint.repository import MONITORS
from canary.yamls import Document, listed, mapping, scalar

# What a monitor that copies all labels of pods calls the pod-template hash.
HASH_LABELS = frozenset({"rollouts_pod_template_hash"})


def pod_of(rollout: Document) -> Mapping[str, Any]:
    """The spec of its pods."""
    return mapping(mapping(rollout.spec.get("template")).get("spec"))


def container_of(rollout: Document) -> str:
    """The first container's name."""
    return scalar(_container(rollout).get("name"))


def containers_of(rollout: Document) -> set[str]:
    """The names of all containers of a pod."""
    pod = pod_of(rollout)
    every = (*listed(pod.get("containers")), *listed(pod.get("initContainers")))
    return {scalar(mapping(each).get("name")) for each in every} - {""}


def cpu_limit_cores(rollout: Document) -> float | None:
    """The first container's CPU limit, in cores."""
    limits = mapping(mapping(_container(rollout).get("resources")).get("limits"))
    try:
        return float(quantities.parse(scalar(limits.get("cpu"))))
    except ValueError:
        return None


def _container(rollout: Document) -> Mapping[str, Any]:
    return mapping(next(iter(listed(pod_of(rollout).get("containers"))), None))


def unscraped(documents: Iterable[Document], rollout: Document) -> Iterator[tuple[Document, str]]:
    """The PodMonitors that select a Rollout's pods, and of whose ports no container has one.

    Nothing is said of pods that name no port.
    """
    ports = {
        scalar(mapping(port).get("name"))
        for container in listed(pod_of(rollout).get("containers"))
        for port in listed(mapping(container).get("ports"))
    }
    ports -= {""}
    for document in documents if ports else ():
        if document.kind == "PodMonitor" and _selects(document, rollout):
            endpoints = map(mapping, listed(document.spec.get("podMetricsEndpoints")))
            wanted = {scalar(endpoint.get("port")) for endpoint in endpoints}
            if wanted and "" not in wanted and not wanted & (ports | PROXIES):
                has = ", ".join(sorted(ports))
                named = " or ".join(sorted(wanted))
                yield document, f"no container has the port {named}; there are {has}"


def unselecting(documents: Iterable[Document], rollout: Document) -> Iterator[Document]:
    """The PodMonitors that bear the Rollout's name and select none of its pods."""
    for document in documents:
        own = document.kind == "PodMonitor" and document.name == rollout.name
        selector = mapping(document.spec.get("selector"))
        template = mapping(mapping(rollout.spec.get("template")).get("metadata"))
        plain = set(selector) == {"matchLabels"} and template.get("labels")
        if own and plain and not _selects(document, rollout):
            yield document


def scraping(
    documents: Iterable[Document], release: Release
) -> tuple[Document | None, float | None]:
    """The monitor that scrapes a release's pods, and how often; nothing where none says so."""
    for document in _monitors_of(documents, release):
        found = seconds(mapping(_endpoints(document)[0]).get("interval"))
        if found:
            return document, found
    return None, None


def monitor_of(documents: Iterable[Document], release: Release) -> Document | None:
    """The monitor that scrapes a release's pods."""
    return next(_monitors_of(documents, release), None)


def _monitors_of(documents: Iterable[Document], release: Release) -> Iterator[Document]:
    monitors = [document for document in documents if document.kind in MONITORS]
    for document in monitors:
        own = document.name == release.rollout.name or _selects(document, release.rollout)
        if _endpoints(document) and (len(monitors) == 1 or own):
            yield document


def _endpoints(monitor: Document) -> list[Any]:
    return listed(monitor.spec.get("podMetricsEndpoints")) or listed(monitor.spec.get("endpoints"))


def copied_labels(monitor: Document) -> frozenset[str] | None:
    """The labels of series that a monitor makes, as of pods; None if it may make any."""
    found = [*listed(monitor.spec.get("podTargetLabels"))]
    found += listed(monitor.spec.get("targetLabels"))
    of_pods = listed(mapping(monitor.spec.get("targetLabels")).get("fromPod"))  # PodMonitoring's
    found += [mapping(pair).get("to") or mapping(pair).get("from") for pair in of_pods]
    for rule in _relabelings(monitor):
        if rule.get("action") == "labelmap":
            return None
        found.append(rule.get("targetLabel"))
    return frozenset(scalar(label).translate(_UNDERSCORED) for label in found if label)


def target_labels(monitor: Document, rollout: Document) -> dict[str, set[str]]:
    """The values of labels that Prometheus's operator gives to what a monitor scrapes, if known."""
    if monitor.kind not in ("PodMonitor", "ServiceMonitor"):
        return {}
    ports = {scalar(mapping(endpoint).get("port")) for endpoint in _endpoints(monitor)}
    found = {"container": containers_of(rollout), "endpoint": set() if "" in ports else ports}
    if monitor.kind == "PodMonitor" and not monitor.spec.get("jobLabel"):
        found["job"] = {f"{monitor.namespace or 'default'}/{monitor.name}"}
    return found


def _relabelings(monitor: Document) -> Iterator[Mapping[str, Any]]:
    for endpoint in map(mapping, _endpoints(monitor)):
        yield from (mapping(rule) for key in _RELABELINGS for rule in listed(endpoint.get(key)))


_RELABELINGS = (
    "relabelings", "metricRelabelings", "metricRelabeling",
    "relabelConfigs", "metricRelabelConfigs",
)  # fmt: skip
_UNDERSCORED = str.maketrans("-./", "___")


def _selects(monitor: Document, rollout: Document) -> bool:
    """Whether a PodMonitor selects a Rollout's pods; whose a Service is does not stand in it."""
    wanted = mapping(mapping(monitor.spec.get("selector")).get("matchLabels"))
    template = mapping(rollout.spec.get("template"))
    labels = mapping(mapping(template.get("metadata")).get("labels"))
    named = bool(wanted) and all(labels.get(name) == value for name, value in wanted.items())
    return monitor.kind == "PodMonitor" and named
