"""No acknowledged reading is ever lost: database, workers and pods are killed under ingest.

Senders send batches, each until it is acknowledged with a 201; whatever was acknowledged must be in
the table at the end, whole and once. A killed process is what is tested here and not a power cut:
the page cache survives the kill.
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import psutil
import psycopg

from acceptance.client import ask
from acceptance.services import KEY, WRITABLE, Service
from canary.runtime import database as postgres
from canary.runtime.waiting import wait_until

ROWS = 20
SENDERS = 3
FIRST = datetime(2022, 1, 1, tzinfo=UTC)
DATABASE, WORKER, SERVER = "database", "worker", "server"


@dataclass
class Outcome:
    """What was done and what came of it."""

    kills: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    acknowledged: int = 0
    lost_rows: int = 0
    doubled_rows: int = 0
    torn_batches: int = 0


class Sender(threading.Thread):
    """Sends batches with times of its own, each until it is acknowledged."""

    def __init__(self, number: int, url: str, stop: threading.Event) -> None:
        super().__init__(name=f"sender-{number}", daemon=True)
        # Only this sender reports of it.
        self.bus_id = f"ieee33-{number + 2}"
        self._url = f"{url}/v1/readings"
        self._stop_asked = stop
        self.acknowledged = 0
        self.statuses: Counter[int] = Counter()

    def run(self) -> None:
        """Until it is told to stop, and the last batch is acknowledged."""
        while not self._stop_asked.is_set():
            self._send_until_acknowledged(_batch(self.bus_id, self.acknowledged))
            self.acknowledged += 1

    def _send_until_acknowledged(self, body: bytes) -> None:
        headers = {"X-API-Key": KEY, "Content-Type": "application/json"}
        while True:
            status = ask(self._url, body, headers).status
            self.statuses[status] += 1
            if status == 201:
                return
            time.sleep(0.02)


@contextmanager
def sending(url: str, *numbers: int) -> Iterator[list[Sender]]:
    """Senders, whose last batch is acknowledged when the block has ended."""
    stop = threading.Event()
    senders = [Sender(number, url, stop) for number in numbers]
    for sender in senders:
        sender.start()
    try:
        yield senders
    finally:
        stop.set()
        for sender in senders:
            sender.join(60)
    for sender in senders:
        assert not sender.is_alive(), f"{sender.name} gets no acknowledgement any more"


def run(folder: Path, kills: int, seed: int) -> Outcome:
    """Kills `kills` times, at random moments, one of database, worker and server at random."""
    random, outcome = Random(seed), Outcome()
    with postgres.server() as database:
        pod = Service(folder, {**WRITABLE, "GRIDOS_DATABASE_URL": database.url})
        pod.run("migrate", "seed")
        with pod.start().await_ready(), sending(pod.url, *range(SENDERS)) as senders:
            for _ in range(kills):
                _await_progress(senders)
                time.sleep(random.random() * 0.3)
                kind = random.choice((DATABASE, WORKER, SERVER))
                outcome.kills[kind] += 1
                _kill(kind, database, pod)
        _judge(database.url, senders, outcome)
    return outcome


def _kill(kind: str, database: postgres.Server, pod: Service) -> None:
    if kind == DATABASE:
        database.kill()
        database.start()
    else:
        server = psutil.Process(pod.pid)
        workers = server.children()
        if kind == SERVER:
            # The first process of a container takes all others with it.
            server.kill()
        for worker in workers:
            worker.kill()
        # The container ends with its worker; the kubelet starts it again.
        pod.await_end()
        pod.start()
    pod.await_ready()


def _await_progress(senders: list[Sender]) -> None:
    """Until every sender has had two more acknowledgements: the service recovered by itself."""
    before = [sender.acknowledged for sender in senders]
    recovered = wait_until(
        lambda: all(s.acknowledged >= b + 2 for s, b in zip(senders, before, strict=True)),
        timeout_s=60,
    )
    assert recovered, "ingest did not recover"


def _judge(url: str, senders: list[Sender], outcome: Outcome) -> None:
    with psycopg.connect(url) as connection:
        for sender in senders:
            outcome.acknowledged += sender.acknowledged
            outcome.statuses += sender.statuses
            times = [
                at
                for (at,) in connection.execute(
                    "SELECT measured_at FROM reading WHERE bus_id = %s AND measured_at >= %s"
                    " AND measured_at < %s",
                    (sender.bus_id, FIRST, FIRST + timedelta(days=365)),
                )
            ]
            expected = {
                _at(batch, row) for batch in range(sender.acknowledged) for row in range(ROWS)
            }
            outcome.lost_rows += len(expected - set(times))
            outcome.doubled_rows += len(times) - len(set(times))
            outcome.torn_batches += len(set(times) - expected) % ROWS


def _batch(bus_id: str, number: int) -> bytes:
    rows = [
        {"bus_id": bus_id, "measured_at": _at(number, row).isoformat(), "kw": row, "kvar": 0}
        for row in range(ROWS)
    ]
    return json.dumps({"readings": rows}).encode()


def _at(batch: int, row: int) -> datetime:
    return FIRST + timedelta(seconds=batch * ROWS + row)
