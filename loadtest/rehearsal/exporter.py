"""What a kubelet's cAdvisor and kube-state-metrics would say of the pods, under their names.

CPU and memory are read from each pod's process tree, so a program that burns in a child is seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rehearsal import processes

PATH = "/metrics"


@dataclass(frozen=True)
class ContainerFacts:
    """One running container, as the two exporters label it."""

    namespace: str
    pod: str
    container: str
    image: str
    pid: int
    restarts: int
    cpu_limit_cores: float | None


class PodCollector(Collector):
    """Reads the containers anew at each scrape."""

    def __init__(self, containers: Callable[[], Sequence[ContainerFacts]]) -> None:
        self._containers = containers
        self._created: dict[str, float] = {}

    def collect(self) -> Iterator[Metric]:
        """Yields the families that the gates and the rules of a release read."""
        containers = self._containers()
        seconds = processes.cpu_seconds(container.pid for container in containers)
        memory = processes.memory_bytes(container.pid for container in containers)
        labels = ["namespace", "pod", "container"]
        usage = CounterMetricFamily(
            "container_cpu_usage_seconds",
            "Cumulative CPU time consumed (cAdvisor's name)",
            labels=[*labels, "image"],
        )
        held = GaugeMetricFamily(
            "container_memory_working_set_bytes",
            "Memory held, pages shared within the pod counted once (cAdvisor's name)",
            labels=[*labels, "image"],
        )
        limits = GaugeMetricFamily(
            "kube_pod_container_resource_limits",
            "The resource limits of a container (kube-state-metrics' name)",
            labels=[*labels, "resource", "unit"],
        )
        restarts = CounterMetricFamily(
            "kube_pod_container_status_restarts",
            "Container restarts (kube-state-metrics' name)",
            labels=labels,
        )
        created = GaugeMetricFamily(
            "kube_pod_created",
            "Unix time of a pod's creation (kube-state-metrics' name)",
            labels=["namespace", "pod"],
        )
        for facts in containers:
            # A pod is as old as its first container, whatever restarts after that.
            first_seen = self._created.setdefault(facts.pod, time.time())
            created.add_metric([facts.namespace, facts.pod], first_seen)
            names = [facts.namespace, facts.pod, facts.container]
            usage.add_metric([*names, facts.image], seconds[facts.pid])
            held.add_metric([*names, facts.image], memory[facts.pid])
            restarts.add_metric(names, facts.restarts)
            if facts.cpu_limit_cores is not None:
                limits.add_metric([*names, "cpu", "core"], facts.cpu_limit_cores)
        yield from (usage, held, limits, restarts, created)


class Exporter:
    """Serves the collector on a loopback port."""

    def __init__(self, containers: Callable[[], Sequence[ContainerFacts]]) -> None:
        self.port = processes.free_port()
        registry = CollectorRegistry()
        registry.register(PodCollector(containers))
        self._server, self._thread = start_http_server(self.port, "127.0.0.1", registry)

    def stop(self) -> None:
        """Ends the server."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)
