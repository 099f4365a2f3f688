r"""The Locust file behind `loadtest run`: the mix's users, fed by a schedule or closed.

    locust -f loadtest/loadtesting/users.py --host http://127.0.0.1:8000 --headless -u 100 -r 100 \\
      --arrivals-shape "50 for 30s"

Settings come from the environment, so that the program, a person and a pod start the same file:

    LOADTEST_KEY_FILE  file that holds the API key to send; without one nothing is posted
    LOADTEST_NEWER     newer paths that the target answers, joined by spaces   (none)
    LOADTEST_CLOSED    requests a second of closed users, instead of the schedule
    LOADTEST_USERS     how many closed users share that rate                   (100)
    LOADTEST_SECONDS   how long closed users run
    LOADTEST_OUT       file for one JSON line a second of what was measured    (none)
    LOADTEST_RUN       the run's id, first part of each X-Request-ID           (run)
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

import gevent
from locust import FastHttpUser, constant_throughput, events, task
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner
from openarrivals import OpenArrivals, session
from openarrivals.samples import Batch
from openarrivals.user import sample_of

from loadtesting import mix, outcomes
from loadtesting.mix import Ask

NEWER = os.environ.get("LOADTEST_NEWER", "").split()
READS, POLLED = mix.offered(NEWER), mix.polled(NEWER)
CLOSED = float(os.environ.get("LOADTEST_CLOSED", "0"))
USERS = int(os.environ.get("LOADTEST_USERS", "100"))
SECONDS = float(os.environ.get("LOADTEST_SECONDS", "30"))
OUT = os.environ.get("LOADTEST_OUT")
RUN = os.environ.get("LOADTEST_RUN", "run")
KEY_FILE = os.environ.get("LOADTEST_KEY_FILE")
KEY = Path(KEY_FILE).read_text(encoding="utf-8").strip() if KEY_FILE else ""
IDENTITY = {"X-API-Key": KEY} if KEY else {}
NETWORK_TIMEOUT_S = 35.0  # above a gateway's usual 30 s, so that its answer is seen

OpenUser = type("OpenUser", (OpenArrivals, FastHttpUser), {"abstract": True})
Base: Any = FastHttpUser if CLOSED else OpenUser


class GridUser(Base):  # type: ignore[misc]
    """What all kinds have in common."""

    abstract = True
    connection_timeout = 10.0
    network_timeout = NETWORK_TIMEOUT_S
    insecure = False
    _sent = 0

    def on_start(self) -> None:
        """Closed users begin at random, or they would all fire together."""
        if CLOSED:
            gevent.sleep(self.draw().random() * USERS / CLOSED)
        else:
            super().on_start()

    def draw(self) -> Random:
        """Random choices: the arrival's own, or a closed user's as they come."""
        return Random() if CLOSED else self.random

    def send(self, ask: Ask, **headers: str) -> Any:
        """Sends a request; an answer that does not carry its id back is a gateway's."""
        self._sent += 1
        number = f"{id(self)}-{self._sent}" if CLOSED else self.arrival.number
        request_id = f"{RUN}-{number}"
        with self.client.request(
            ask.method,
            ask.path,
            name=ask.name,
            json=ask.json,
            headers={"X-Request-ID": request_id, **IDENTITY, **headers},
            catch_response=True,
        ) as response:
            if response.status_code >= 500 and response.headers.get("X-Request-ID") != request_id:  # noqa: PLR2004 — HTTP
                response.failure(f"{outcomes.FOREIGN}: HTTP {response.status_code}")
            return response


class Operator(GridUser):
    """Reads."""

    weight = mix.OPERATORS

    @task
    def read(self) -> None:
        """Looks at something."""
        self.send(mix.read(self.draw(), READS))


class Dashboard(GridUser):
    """Polls, and says what it already has."""

    weight = mix.DASHBOARDS
    _etag = ""

    @task
    def poll(self) -> None:
        """Asks whether what is shown has changed."""
        known = {"If-None-Match": self._etag} if self._etag else {}
        response = self.send(POLLED, **known)
        self._etag = (response.headers or {}).get("ETag", "")


class Meter(GridUser):
    """Posts."""

    weight = mix.METERS
    abstract = not KEY

    @task
    def post(self) -> None:
        """Sends what it has measured."""
        self.send(mix.batch(self.draw()))


class Recorder:
    """Writes each batch as one JSON line."""

    def __init__(self, path: str, environment: Environment) -> None:
        self._file = Path(path).open("a", encoding="utf-8", buffering=1)  # noqa: SIM115 — open for as long as the run
        self._environment = environment
        self._measured_at, self._cpu_s = time.monotonic(), time.process_time()

    def take(self, batch: Batch) -> None:
        """Writes one batch."""
        workers = getattr(self._environment.runner, "clients", {}).values()
        cpu = [self._own_cpu_percent(), *(node.cpu_usage for node in workers)]
        line = {
            "at": time.time(),
            "start_at": session.of(self._environment).start_at,
            "samples": batch.samples,
            "dropped_s": batch.dropped_s,
            "counts": asdict(batch.counts),
            "cpu_percent": max(cpu),
        }
        self._file.write(json.dumps(line, separators=(",", ":")) + "\n")

    def _own_cpu_percent(self) -> float:
        """Of a core, since the last call; Locust itself only looks every five seconds."""
        now, cpu_s = time.monotonic(), time.process_time()
        share = (cpu_s - self._cpu_s) / max(now - self._measured_at, 1e-3)
        self._measured_at, self._cpu_s = now, cpu_s
        return share * 100


@events.init.add_listener
def _start(environment: Environment, **_: Any) -> None:
    here = session.of(environment)
    if OUT and not isinstance(environment.runner, WorkerRunner):
        here.listeners.append(Recorder(OUT, environment).take)
    if CLOSED:
        environment.events.spawning_complete.add_listener(lambda **_: gevent.spawn(_close, here))


def _close(here: session.Session) -> None:
    """Runs closed users for their time, reporting as the open ones do."""
    environment, began = here.environment, time.time()
    if isinstance(environment.runner, MasterRunner):
        raise TypeError("closed users are not counted over workers; leave out --processes")

    def take(**request: Any) -> None:
        counts = here.pool.counts
        counts.due += 1
        counts.started += 1
        counts.finished += 1
        here.record(sample_of(request, max(0.0, request["start_time"] - began)))

    environment.events.request.add_listener(take)
    while time.time() < began + SECONDS:
        gevent.sleep(1.0)
        here.publish()
    if environment.runner is not None:
        environment.runner.quit()
    here.publish()


if CLOSED:
    GridUser.wait_time = constant_throughput(CLOSED / USERS)
