"""What is the matter with the database, and what users, probes and metrics see of it.

One pod, callers that read and write all the time, and probes as a kubelet sends them. A fault is
made on a real PostgreSQL, held for a while, and ended; recovery is counted from its end.
"""

import itertools
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import psycopg
from psycopg import conninfo

from acceptance.client import ask
from acceptance.during import during
from acceptance.service.threads import Beside
from acceptance.services import KEY, WRITABLE, Service
from canary.runtime import database as postgres
from canary.runtime.waiting import wait_until

ROLE = "app"
READERS, WRITERS = 6, 2
PAUSE_S = 0.05
PROBE_EVERY_S, PROBE_TIMEOUT_S = 0.5, 1.0
RECOVERY_S = 5.0
ROWS = 200
FIRST = datetime(2026, 5, 1, tzinfo=UTC)
_sent = itertools.count()


@dataclass
class Outcome:
    """What was seen while one fault lasted; recovery is None if it did not come in a minute."""

    fault: str
    reads: Counter[int] = field(default_factory=Counter)
    writes: Counter[int] = field(default_factory=Counter)
    longest_s: float = 0.0
    live: Counter[int] = field(default_factory=Counter)
    ready: Counter[int] = field(default_factory=Counter)
    up: set[str] = field(default_factory=set)
    recovery_s: float | None = None

    @property
    def is_met(self) -> bool:
        """Every caller answered, alive throughout, and back in time."""
        answered = not (self.reads[0] or self.writes[0] or self.reads[500] or self.writes[500])
        alive = set(self.live) == {200}
        return answered and alive and self.recovery_s is not None and self.recovery_s <= RECOVERY_S


class _Watch(Beside):
    """Callers and probes, which write down what they meet."""

    def __init__(self, pod: Service, outcome: Outcome) -> None:
        self._pod = pod
        self.outcome = outcome
        work: list[Callable[[], None]] = [self._probe]
        work += [self._read] * READERS + [self._write] * WRITERS
        super().__init__(*(partial(self._repeat, each) for each in work))

    def _repeat(self, act: Callable[[], None]) -> None:
        while not self._over.is_set():
            act()

    def _read(self) -> None:
        self.outcome.reads[self._timed(lambda: read(self._pod))] += 1
        time.sleep(PAUSE_S)

    def _write(self) -> None:
        self.outcome.writes[self._timed(lambda: write(self._pod))] += 1
        time.sleep(PAUSE_S)

    def _timed(self, call: Callable[[], int]) -> int:
        began = time.monotonic()
        status = call()
        self.outcome.longest_s = max(self.outcome.longest_s, time.monotonic() - began)
        return status

    def _probe(self) -> None:
        for path, seen in (("/livez", self.outcome.live), ("/readyz", self.outcome.ready)):
            seen[ask(f"{self._pod.management}{path}", timeout_s=PROBE_TIMEOUT_S).status] += 1
        self.outcome.up.add(up(self._pod))
        self._over.wait(PROBE_EVERY_S)


def read(pod: Service) -> int:
    """The status of a read."""
    return ask(f"{pod.url}/v1/feeders").status


def write(pod: Service) -> int:
    """The status of a write: of rows that nobody sent before, so that room is needed for them."""
    first = next(_sent) * ROWS
    rows = [
        {"bus_id": "ieee33-2", "measured_at": _at(first + row), "kw": 1, "kvar": 1}
        for row in range(ROWS)
    ]
    headers = {"X-API-Key": KEY, "Content-Type": "application/json"}
    return ask(f"{pod.url}/v1/readings", json.dumps({"readings": rows}).encode(), headers).status


def _at(second: int) -> str:
    return (FIRST + timedelta(seconds=second)).isoformat()


def up(pod: Service) -> str:
    """`gridos_db_up`, as the pod is scraped."""
    return str(pod.metric("gridos_db_up", PROBE_TIMEOUT_S))


def is_back(pod: Service) -> bool:
    """Whether reads, writes, readiness and the metric are as before."""
    ready = pod.probe("/readyz")[0]
    return (read(pod), write(pod), ready, up(pod)) == (200, 201, 200, "1.0")


def run(folder: Path) -> list[Outcome]:
    """Makes each fault in turn."""
    with postgres.server({"max_connections": "30"}) as server:
        with psycopg.connect(server.url, autocommit=True) as owner:
            owner.execute(f"CREATE ROLE {ROLE} LOGIN SUPERUSER")
        url = conninfo.make_conninfo(server.url, user=ROLE)
        with Service(folder, {**WRITABLE, "GRIDOS_DATABASE_URL": url}) as pod:
            pod.run("migrate", "seed")
            pod.start().await_ready()
            return [meet(pod, name, make(server), s) for name, make, s in FAULTS]


def meet(pod: Service, name: str, fault: AbstractContextManager[None], seconds: float) -> Outcome:
    """What is seen while a fault lasts, and how soon it is over."""
    assert wait_until(lambda: is_back(pod), timeout_s=60)
    outcome = Outcome(name)
    with fault, _Watch(pod, outcome):
        time.sleep(seconds)
    ended = time.monotonic()
    if wait_until(lambda: is_back(pod), timeout_s=60):
        outcome.recovery_s = time.monotonic() - ended
    print(outcome, flush=True)
    return outcome


def _read_only(server: postgres.Server) -> AbstractContextManager[None]:
    setting, reload = "default_transaction_read_only", "SELECT pg_reload_conf()"
    return during(
        partial(_run, server, f"ALTER SYSTEM SET {setting} = on", reload),
        partial(_run, server, f"ALTER SYSTEM RESET {setting}", reload),
    )


@contextmanager
def _exhausted(server: postgres.Server) -> Iterator[None]:
    held: list[psycopg.Connection] = []
    try:
        with suppress(psycopg.OperationalError):
            while True:
                held.append(psycopg.connect(server.url))
        yield
    finally:
        for connection in held:
            connection.close()


@contextmanager
def _locked(server: postgres.Server) -> Iterator[None]:
    with psycopg.connect(server.url) as owner:
        owner.execute("LOCK TABLE feeder, bus, reading IN ACCESS EXCLUSIVE MODE")
        yield
        owner.rollback()


def _shut_out(server: postgres.Server) -> AbstractContextManager[None]:
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    return during(
        partial(_run, server, f"ALTER ROLE {ROLE} NOLOGIN", others),
        partial(_run, server, f"ALTER ROLE {ROLE} LOGIN"),
    )


def _run(server: postgres.Server, *statements: str) -> None:
    with psycopg.connect(server.url, autocommit=True) as owner:
        owner.execute("SET default_transaction_read_only = off")
        for statement in statements:
            owner.execute(statement.encode())


FAULTS: tuple[tuple[str, Callable[[postgres.Server], AbstractContextManager[None]], float], ...] = (
    ("hangs (SIGSTOP)", lambda server: during(server.freeze, server.thaw), 20.0),
    ("is killed", lambda server: during(server.kill, server.start), 10.0),
    ("is read-only", _read_only, 10.0),
    ("has no connection to spare", _exhausted, 10.0),
    ("has its tables locked", _locked, 25.0),
    ("refuses the login", _shut_out, 10.0),
)
