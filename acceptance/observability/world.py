"""A live service to observe: real pods behind a real gateway, under real load, on a real database.

Pods are processes of the shipped program, as many as there are slots; Prometheus is told of all of
them in advance. They can be started with faults, killed, or cut off from their database.
"""

import secrets
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Self

import psycopg
from observe.stack import SCRAPE_S

from acceptance.during import during
from acceptance.observability.fake_exporters import FakeExporters
from canary.errors import MachineError
from canary.rehearse import plan, probes
from canary.rehearse.environment import PodFacts
from canary.rehearse.exporter import ContainerFacts, Exporter
from canary.rehearse.fakes import Fakes
from canary.rehearse.kubelet import LOCALHOST
from canary.rehearse.load import Load
from canary.rehearse.plan import Build
from canary.rehearse.replica_sets import HASH_LABEL
from canary.runtime import database, processes
from canary.runtime.gateway import Gateway
from canary.runtime.prometheus import ScrapeJob, Target
from canary.runtime.waiting import wait_until

REHEARSAL = Path("loadtest/rehearsal.yaml")
STABLE = "bcdfg2456"
PODS, RATE = 3, 20.0
READY_TIMEOUT_S = 90.0
DRAIN_S = 5.0
# Read again so often that a window of the scaled rules sees it.
REFRESH = {"GRIDOS_SECRETS_REFRESH_SECONDS": "1"}


class Pod:
    """A slot: what the shipped template makes, its ports, and the process in it, if one runs."""

    def __init__(self, name: str, build: Build, fakes: Fakes) -> None:
        self.name, self._fakes = name, fakes
        template = build.bundle.rollout.spec.template
        labels = {**template.metadata.labels, HASH_LABEL: STABLE}
        namespace, about = build.bundle.namespace, template.metadata.annotations
        self.facts = PodFacts(name, namespace, labels, about, LOCALHOST)
        self.container = template.spec.container
        self.ports = {port: processes.free_port() for port in fakes.source().ports}
        self.child: processes.Child | None = None
        self.restarts = 0
        self.faults = ""

    @property
    def target(self) -> Target:
        """How the PodMonitor has it scraped."""
        labels = {
            "namespace": self.facts.namespace,
            "pod": self.name,
            "container": self.container.name,
            "endpoint": "management",
            "job": "gridos/gridos",
            "rollouts_pod_template_hash": STABLE,
        }
        return Target(self.ports["management"], labels)

    def run(self, folder: Path) -> None:
        """Starts its process."""
        source = self._fakes.source({"GRIDOS_FAULTS": self.faults, **REFRESH})
        command, variables = source.command(self.container, self.facts, self.ports)
        log, where = folder / f"{self.name}.log", source.working_directory
        self.child = processes.start(self.name, command, log, variables, where)

    def ready(self) -> bool:
        """Whether it passes its readiness probe."""
        probe = self.container.readiness_probe
        return probe is not None and probes.passes(probe, self.ports["management"])


class World:
    """A context manager; entered, the stable pods answer through the gateway."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._key = secrets.token_urlsafe(24)
        self._ends = ExitStack()
        self._build = plan.read(REHEARSAL, None)
        self.pods: list[Pod] = []
        self.kubelet_answers = True
        self.exporters = FakeExporters()
        self.exporter = Exporter(self._containers)
        self.gateway = Gateway(self.folder / "gateway")
        self._routed: set[int] = set()
        self.load: Load | None = None

    def jobs(self) -> list[ScrapeJob]:
        """What Prometheus is to scrape."""
        return [
            ScrapeJob("gridos/gridos", "/metrics", SCRAPE_S, [p.target for p in self.pods]),
            ScrapeJob("kubelet", "/metrics", SCRAPE_S, [Target(self.exporter.port, {})], True),
            ScrapeJob("cluster", "/metrics", SCRAPE_S, [Target(self.exporters.port, {})], True),
        ]

    def __enter__(self) -> Self:
        """Starts everything.

        Raises:
            MachineError: if a part does not come up.
        """
        try:
            self._url = self._ends.enter_context(database.running())
            around = {"database": self._url}
            self._fakes = Fakes(self._build, around, self._key, self.folder / "volumes")
            names = [f"gridos-{STABLE}-stab{number}" for number in range(PODS)]
            self.pods = [Pod(name, self._build, self._fakes) for name in names]
            self._fakes.prepare(self.pods[0].facts)
            self._ends.callback(self._stop_pods)
            self.start(self.pods)
            self._ends.callback(self.gateway.stop)
            self.gateway.start()
            self.tick()
            self._start_load()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Ends everything."""
        self._ends.close()
        self.exporter.stop()
        self.exporters.stop()

    def start(self, pods: Sequence[Pod], faults: str = "", *, patient: bool = True) -> None:
        """Starts pods, or starts them anew, with these faults; patiently: until they are ready.

        Raises:
            MachineError: if one does not become ready.
        """
        for pod in pods:
            self.stop(pod)
            pod.faults = faults
            pod.run(self.folder / "pods")
        if patient and not wait_until(lambda: all(p.ready() for p in pods), READY_TIMEOUT_S):
            tail = next((p.child.tail() for p in pods if p.child and not p.ready()), "")
            raise MachineError(f"a pod did not become ready: {tail}", str(self.folder))
        self.tick()

    def stop(self, pod: Pod) -> None:
        """Ends a pod."""
        if pod.child is not None:
            pod.child.stop(DRAIN_S)
            pod.child = None
        self.tick()

    def tick(self) -> None:
        """Lets what a kubelet and a Service do happen: restarts, and who is sent requests."""
        for pod in self.pods:
            if pod.child is not None and not pod.child.running:
                pod.restarts += 1
                pod.run(self.folder / "pods")
        ports = {pod.ports["http"] for pod in self.pods if pod.child is not None}
        if ports != self._routed and self.gateway.running:
            self.gateway.route(ports)
            self._routed = ports

    @contextmanager
    def database_away(self) -> Iterator[None]:
        """Ends every connection and keeps new ones from being made, while it lasts."""
        socket = self._socket()
        hidden = socket.with_name("hidden")
        with psycopg.connect(self._url, autocommit=True) as session:
            socket.rename(hidden)
            session.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        try:
            yield
        finally:
            hidden.rename(socket)

    @contextmanager
    def tables_locked(self) -> Iterator[None]:
        """Holds a lock on every table, so that every query waits, while it lasts."""
        with psycopg.connect(self._url) as session:
            named = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            tables = ", ".join(f'"{name}"' for (name,) in session.execute(named))
            session.execute(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE")
            yield
            session.rollback()

    def secrets_away(self) -> AbstractContextManager[None]:
        """Takes the mounted secrets away, while it lasts."""
        there, hidden = self._secrets, self._secrets.with_name("hidden")
        return during(partial(there.rename, hidden), partial(hidden.rename, there))

    def keys_emptied(self) -> AbstractContextManager[None]:
        """Empties the mounted keys, while it lasts."""
        keys = self._secrets / "api-keys"
        known = keys.read_bytes()
        return during(partial(keys.write_bytes, b""), partial(keys.write_bytes, known))

    def post_unknown_buses(self, count: int) -> None:
        """Sends readings that the service must refuse."""
        body = b'{"readings": [{"bus_id": "nowhere", "measured_at": "2026-01-01T00:00:00Z", "kw": 1, "kvar": 1}]}'  # noqa: E501 — a body reads best whole
        headers = {"X-API-Key": self._key, "Content-Type": "application/json"}
        for _ in range(count):
            request = urllib.request.Request(f"{self.gateway.url}/v1/readings", body, headers)
            try:
                urllib.request.urlopen(request, timeout=5).close()
            except urllib.error.HTTPError as refused:
                refused.close()

    @property
    def _secrets(self) -> Path:
        return self.folder / "volumes/secrets"

    def _socket(self) -> Path:
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self._url).query)
        if "host" not in query:
            raise MachineError(
                "the database is not one of ours: it cannot be taken away",
                f"unset {database.URL_VARIABLE}",
            )
        return next(Path(query["host"][0]).glob(".s.PGSQL.*[0-9]"))

    def _stop_pods(self) -> None:
        running = [pod.child for pod in self.pods if pod.child is not None]
        for child in running:
            child.terminate()
        for child in running:
            child.stop(DRAIN_S)

    def _start_load(self) -> None:
        self.load = Load(
            folder=self.folder / "load",
            config=REHEARSAL.resolve(),
            traffic=self._build.config.traffic,
            rate=RATE,
            values=self._fakes.values,
        )
        self._ends.callback(self.load.stop)
        self.load.start(self.gateway.url)

    def _containers(self) -> Sequence[ContainerFacts]:
        return [
            ContainerFacts(
                namespace=pod.facts.namespace,
                pod=pod.name,
                container=pod.container.name,
                image=pod.container.image,
                pid=pod.child.pid,
                restarts=pod.restarts,
                cpu_limit_cores=(pod.container.resources.cpu_limit_millicores or 0) / 1000,
            )
            for pod in self.pods
            if pod.child is not None and self.kubelet_answers
        ]
