"""What the pods need beside them: the run's own PostgreSQL, a Redis, or any program."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from canary.errors import MachineError, UsageError
from canary.rehearse.config import Service
from canary.rehearse.environment import fill
from canary.rehearse.kubelet import LOCALHOST
from canary.rehearse.plan import Build
from canary.runtime import database, processes
from canary.runtime.waiting import wait_until

REDIS = Service(
    command=["redis-server", "--bind", "{host}", "--port", "{port}", "--save", ""],
    url="redis://{host}:{port}/0",
)
READY_TIMEOUT_S = 60.0


@contextmanager
def running(
    wanted: Mapping[str, Service | str],
    build: Build,
    folder: Path,
    postgresql: Callable[[], AbstractContextManager[str]] = database.running,
) -> Iterator[Mapping[str, str]]:
    """Yields what `{NAME}` stands for, of each service, and ends them afterwards.

    Args:
        wanted: What `services` of rehearsal.yaml says, by name.
        build: The release whose programs they may be.
        folder: Where each has its log, in a folder of its own.
        postgresql: Starts a PostgreSQL and yields its URL.

    Raises:
        MachineError: if one does not come up.
        UsageError: if its program is not installed.
    """
    if "redis" in wanted.values() and shutil.which("redis-server") is None:
        raise UsageError(
            "redis-server is not installed", "apt-get install redis-server, or brew install redis"
        )
    urls = {}
    with ExitStack() as ends:
        for name, service in wanted.items():
            if service == "postgresql":
                urls[name] = ends.enter_context(postgresql())
            else:
                given = service if isinstance(service, Service) else REDIS
                urls[name] = ends.enter_context(_program(name, given, build, folder / name))
        yield urls


@contextmanager
def _program(name: str, service: Service, build: Build, folder: Path) -> Iterator[str]:
    port = processes.free_port()
    places = {"host": LOCALHOST, "port": str(port)}
    folder.mkdir(parents=True)

    def local(command: list[str]) -> list[str]:
        return build.command([fill(word, places) for word in command])

    child = processes.start(
        name, local(service.command), folder / "log", working_directory=build.folder
    )

    def ready() -> bool:
        if not service.ready:
            return not processes.port_is_free(port)
        try:
            asked = processes.run(
                local(service.ready), cwd=build.folder, capture_output=True, timeout=10
            )
        except subprocess.TimeoutExpired:
            return False
        return asked.returncode == 0

    try:
        if not wait_until(ready, READY_TIMEOUT_S, give_up=lambda: not child.running, every_s=0.2):
            raise MachineError(
                f"service {name} did not become ready: {child.tail()}", "see its log"
            )
        yield fill(service.url, places)
    finally:
        child.stop(grace_s=5)
