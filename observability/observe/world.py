"""A live service to observe: real pods behind a real gateway, under real load, on a real database.

Pods are processes of the shipped program, as many as there are slots; Prometheus is told of all of
them in advance. They can be started with faults, killed, or cut off from their database.
"""

from __future__ import annotations

import os
import secrets
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

import psycopg

from canary.errors import MachineError
from canary.rehearse import config
from canary.rehearse.exporter import ContainerFacts, Exporter
from canary.rehearse.load import Load
from canary.runtime import database, processes
from canary.runtime.gateway import Gateway
from canary.runtime.prometheus import ScrapeJob, Target
from canary.runtime.waiting import wait_until
from observe.fake_exporters import FakeExporters
from observe.stack import SCRAPE_S

REHEARSAL = Path("loadtest/rehearsal.yaml")
STABLE, CANARY = "bcdfg2456", "hjklm2456"
CPU_LIMIT_MILLICORES = 250
READY_TIMEOUT_S = 90.0
DRAIN_S = 5.0
# Read again so often that a window of the scaled rules sees it.
SECRETS_REFRESH_S = 1


class Pod:
    """A slot: a name, a port, and the process in it, if one runs."""

    def __init__(self, pod_hash: str, suffix: str) -> None:
        self.name = f"gridos-{pod_hash}-{suffix}"
        self.hash = pod_hash
        self.port = processes.free_port()
        self.child: processes.Child | None = None
        self.restarts = 0
        self.faults = ""

    @property
    def labels(self) -> dict[str, str]:
        """What the PodMonitor's scrape adds to the pod's series."""
        return {
            "namespace": "gridos",
            "pod": self.name,
            "container": "gridos",
            "endpoint": "http",
            "job": "gridos/gridos",
            "rollouts_pod_template_hash": self.hash,
        }

    def answers(self, path: str = "/readyz") -> bool:
        """Whether the pod says it is ready."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=2) as said:
                return bool(said.status == 200)  # noqa: PLR2004 — HTTP
        except OSError:
            return False


class World:
    """A context manager; entered, the stable pods answer through the gateway."""

    def __init__(
        self, folder: Path, stable: int = 3, canaries: int = 0, rate: float = 20.0
    ) -> None:
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._config = config.read(REHEARSAL)
        self._rate = rate
        self._key = secrets.token_urlsafe(24)
        self._ends = ExitStack()
        self.pods = [Pod(STABLE, f"stab{number}") for number in range(stable)]
        self.canaries = [Pod(CANARY, f"cana{number}") for number in range(canaries)]
        self.kubelet_answers = True
        self.exporters = FakeExporters()
        self.exporter = Exporter(self._containers)
        self.gateway = Gateway(self.folder / "gateway")
        self._routed: set[int] = set()
        self.load: Load | None = None

    def jobs(self) -> list[ScrapeJob]:
        """What Prometheus is to scrape."""
        return [
            ScrapeJob("gridos/gridos", "/metrics", SCRAPE_S, [self._target(p) for p in self._all]),
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
            self._write_secrets()
            self._ends.callback(self._stop_pods)
            for name in ("migrate", "seed"):
                self._once(name)
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
            self._run(pod)
        if patient and not wait_until(lambda: all(p.answers() for p in pods), READY_TIMEOUT_S):
            tail = next((p.child.tail() for p in pods if p.child and not p.answers()), "")
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
        for pod in self._all:
            if pod.child is not None and not pod.child.running:
                pod.restarts += 1
                self._run(pod)
        ports = {pod.port for pod in self._all if pod.child is not None}
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

    @contextmanager
    def secrets_away(self) -> Iterator[None]:
        """Takes the mounted secrets away, while it lasts."""
        hidden = self._secrets.with_name("hidden")
        self._secrets.rename(hidden)
        try:
            yield
        finally:
            hidden.rename(self._secrets)

    @contextmanager
    def keys_emptied(self) -> Iterator[None]:
        """Empties the mounted keys, while it lasts."""
        keys = self._secrets / "api-keys"
        keys.write_text("", encoding="utf-8")
        try:
            yield
        finally:
            keys.write_text(self._keys, encoding="utf-8")

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
    def _all(self) -> list[Pod]:
        return [*self.pods, *self.canaries]

    @property
    def _keys(self) -> str:
        """What the service knows the key by: the traffic imports networks too."""
        return f"{self._key}:readings+networks"

    @property
    def _secrets(self) -> Path:
        return self.folder / "secrets"

    def _target(self, pod: Pod) -> Target:
        return Target(pod.port, pod.labels)

    def _socket(self) -> Path:
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self._url).query)
        if "host" not in query:
            raise MachineError(
                "the database is not one of ours: it cannot be taken away",
                f"unset {database.URL_VARIABLE}",
            )
        return next(Path(query["host"][0]).glob(".s.PGSQL.*[0-9]"))

    def _write_secrets(self) -> None:
        self._secrets.mkdir(exist_ok=True)
        (self._secrets / "database-url").write_text(self._url, encoding="utf-8")
        (self._secrets / "api-keys").write_text(self._keys, encoding="utf-8")

    def _environment(self, pod: Pod) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "PORT": str(pod.port),
            "GRIDOS_HOST": "127.0.0.1",
            "GRIDOS_POD": pod.name,
            "GRIDOS_VERSION": pod.hash,
            "GRIDOS_DATABASE_URL": self._url,
            "GRIDOS_API_KEYS": self._keys,
            "GRIDOS_SECRETS_DIR": str(self._secrets),
            "GRIDOS_SECRETS_REFRESH_SECONDS": str(SECRETS_REFRESH_S),
            "GRIDOS_CPU_LIMIT_MILLICORES": str(CPU_LIMIT_MILLICORES),
            "GRIDOS_FAULTS": pod.faults,
        }

    def _program(self) -> str:
        return str(Path(sys.executable).with_name("gridos"))

    def _run(self, pod: Pod) -> None:
        log = self.folder / "pods" / f"{pod.name}.log"
        command = [self._program(), "serve"]
        pod.child = processes.start(pod.name, command, log, self._environment(pod))

    def _once(self, name: str) -> None:
        log = self.folder / f"{name}.log"
        child = processes.start(name, [self._program(), name], log, self._environment(self.pods[0]))
        if not wait_until(lambda: not child.running, timeout_s=60) or child.popen.returncode:
            raise MachineError(f"gridos {name} failed: {child.tail()}", "run it by hand")

    def _stop_pods(self) -> None:
        running = [pod.child for pod in self._all if pod.child is not None]
        for child in running:
            child.terminate()
        for child in running:
            child.stop(DRAIN_S)

    def _start_load(self) -> None:
        self.load = Load(
            folder=self.folder / "load",
            config=REHEARSAL.resolve(),
            traffic=self._config.traffic,
            rate=self._rate,
            values=self._values(),
        )
        self._ends.callback(self.load.stop)
        self.load.start(self.gateway.url)

    def _values(self) -> Mapping[str, str]:
        """The stand-ins of the secrets, by `name.key`, for the load's requests."""
        fresh = {"{database}": self._url, "{secret}": self._key}
        return {
            f"{name}.{key}": fresh.get(text, text)
            for name, keys in self._config.secrets.items()
            for key, text in keys.items()
        }

    def _containers(self) -> Sequence[ContainerFacts]:
        return [
            ContainerFacts(
                namespace="gridos",
                pod=pod.name,
                container="gridos",
                image="gridos",
                pid=pod.child.pid,
                restarts=pod.restarts,
                cpu_limit_cores=CPU_LIMIT_MILLICORES / 1000,
            )
            for pod in self._all
            if pod.child is not None and self.kubelet_answers
        ]
