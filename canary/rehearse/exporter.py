"""What a kubelet's cAdvisor and kube-state-metrics would say of the pods, under their names.

CPU and memory are read from each pod's processes, so a program that burns in a child is seen.
`python -m canary.rehearse.exporter PORT FILE` reads the containers from a file, so that a scrape
waits for nobody else's work.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from canary.runtime import processes

# Weighing a pod costs milliseconds; cAdvisor itself looks every 10 s or so.
WEIGH_EVERY_S = 5.0

PATH = "/metrics"


_POD = ("namespace", "pod")
_CONTAINER = (*_POD, "container")
# The metrics that it serves: what each says, and its labels.
_FAMILIES = {
    "container_cpu_usage_seconds_total": ("Cumulative CPU time consumed", (*_CONTAINER, "image")),
    "container_memory_working_set_bytes": (
        "Memory held, pages shared within the pod counted once",
        (*_CONTAINER, "image"),
    ),
    "kube_pod_container_resource_limits": (
        "The resource limits of a container",
        (*_CONTAINER, "resource", "unit"),
    ),
    "kube_pod_container_resource_requests": (
        "The resource requests of a container",
        (*_CONTAINER, "resource", "unit"),
    ),
    "kube_pod_container_status_restarts_total": ("Container restarts", _CONTAINER),
    "kube_pod_created": ("Unix time of a pod's creation", _POD),
    "kube_pod_info": (
        "Where a pod runs and who made it",
        (*_POD, "node", "host_ip", "created_by_kind", "created_by_name"),
    ),
    "kube_pod_status_phase": ("Whether a pod is in a phase", (*_POD, "phase")),
}
NAMES = _FAMILIES.keys()
_PHASES = ("Pending", "Running", "Succeeded", "Failed", "Unknown")


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
    memory_limit_bytes: float | None = None
    cpu_request_cores: float | None = None
    memory_request_bytes: float | None = None


def _family(
    name: str, words: str, labels: Sequence[str]
) -> CounterMetricFamily | GaugeMetricFamily:
    kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
    source = "cAdvisor's" if name.startswith("container_") else "kube-state-metrics'"
    return kind(name, f"{words} ({source} name)", labels=labels)


class PodCollector(Collector):
    """Reads the containers anew at each scrape."""

    def __init__(self, containers: Callable[[], Sequence[ContainerFacts]]) -> None:
        self._containers = containers
        self._created: dict[str, float] = {}
        self._memory: dict[int, int] = {}
        self._weigh_at = 0.0

    def collect(self) -> Iterator[Metric]:
        """Yields the families that the gates and the rules of a release read."""
        containers = self._containers()
        seconds = processes.cpu_seconds(container.pid for container in containers)
        memory = self._weigh([container.pid for container in containers])
        families = [_family(name, *said) for name, said in _FAMILIES.items()]
        usage, held, limits, requests, restarts, created, about, phase = families
        for space, pod in dict.fromkeys((facts.namespace, facts.pod) for facts in containers):
            # A pod is as old as its first container, whatever restarts after that.
            created.add_metric([space, pod], self._created.setdefault(pod, time.time()))
            owner = pod.rpartition("-")[0]
            about.add_metric([space, pod, "localhost", "127.0.0.1", "ReplicaSet", owner], 1)
            for name in _PHASES:
                phase.add_metric([space, pod, name], name == "Running")
        for facts in containers:
            names = [facts.namespace, facts.pod, facts.container]
            usage.add_metric([*names, facts.image], seconds[facts.pid])
            held.add_metric([*names, facts.image], memory[facts.pid])
            restarts.add_metric(names, facts.restarts)
            for family, cores, memory_bytes in (
                (limits, facts.cpu_limit_cores, facts.memory_limit_bytes),
                (requests, facts.cpu_request_cores, facts.memory_request_bytes),
            ):
                if cores is not None:
                    family.add_metric([*names, "cpu", "core"], cores)
                if memory_bytes is not None:
                    family.add_metric([*names, "memory", "byte"], memory_bytes)
        yield from families

    def _weigh(self, pids: Sequence[int]) -> dict[int, int]:
        """The memory of each container as last weighed; a new one is weighed at once."""
        if time.monotonic() >= self._weigh_at:
            self._weigh_at = time.monotonic() + WEIGH_EVERY_S
            self._memory = {}
        fresh = [pid for pid in pids if pid not in self._memory]
        self._memory |= processes.memory_bytes(fresh)
        return self._memory


class Exporter:
    """Serves the collector on a loopback port."""

    def __init__(
        self, containers: Callable[[], Sequence[ContainerFacts]], port: int | None = None
    ) -> None:
        self.port = port or processes.free_port()
        registry = CollectorRegistry()
        registry.register(PodCollector(containers))
        self._server, self._thread = start_http_server(self.port, "127.0.0.1", registry)

    def stop(self) -> None:
        """Ends the server."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)


class ExporterProgram(processes.Program):
    """The exporter as a process of its own; `tell` says which containers there are."""

    def __init__(self, folder: Path) -> None:
        self.port = processes.free_port()
        self._folder = folder
        self._told: Sequence[ContainerFacts] | None = None

    def start(self) -> None:
        """Starts it and waits until it answers.

        Raises:
            MachineError: if it does not come up.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self.tell([])
        command = [sys.executable, "-m", "canary.rehearse.exporter"]
        command += [str(self.port), str(self._file)]
        child = processes.start("exporter", command, self._folder / "exporter.log")
        self._begin(child, lambda: not processes.port_is_free(self.port), 30)

    def tell(self, containers: Sequence[ContainerFacts]) -> None:
        """Says which containers there are from now on."""
        if containers == self._told:
            return
        self._told = containers
        fresh = self._file.with_suffix(".new")
        fresh.write_text(json.dumps([asdict(facts) for facts in containers]), encoding="utf-8")
        fresh.replace(self._file)

    @property
    def _file(self) -> Path:
        return self._folder / "containers.json"


def main(port: int, file: Path) -> None:
    """Serves the containers that a file names, until it is ended."""

    def read() -> list[ContainerFacts]:
        return [ContainerFacts(**fields) for fields in json.loads(file.read_text(encoding="utf-8"))]

    Exporter(read, port)
    threading.Event().wait()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
