"""Locust users that send the requests of `rehearsal.yaml`.

    locust -f canary/rehearse/locustfile.py --host http://127.0.0.1:8000 --headless -u 20 -t 30s

Settings come from the environment, so that the rehearsal and a person start the same file:

    LOADTEST_CONFIG   the rehearsal.yaml to read              (loadtest/rehearsal.yaml)
    LOADTEST_RATE     requests a second over all users        (its requests_per_second)
    LOADTEST_USERS    how many users share that rate          (its users)
    LOADTEST_VALUES   JSON of the values for placeholders     ({}; as named in `requests`)
    LOADTEST_LOG      file for one JSON line a second         (none)

This is the closed model: a user waits for its answer before it sends again, so a stalled server
is asked less than a real crowd would ask it.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import gevent
from locust import FastHttpUser, events, task

from canary.rehearse import config
from canary.rehearse.traffic import Mix

TRAFFIC = config.read(Path(os.environ.get("LOADTEST_CONFIG", "loadtest/rehearsal.yaml"))).traffic
RATE = float(os.environ.get("LOADTEST_RATE", TRAFFIC.requests_per_second))
USERS = int(os.environ.get("LOADTEST_USERS", TRAFFIC.users))
VALUES = json.loads(os.environ.get("LOADTEST_VALUES", "{}"))
LOG = os.environ.get("LOADTEST_LOG")

# Of an answer, by the first digit of its status; 0 is no answer at all.
KIND_OF_CLASS = {0: "lost", 4: "refused", 5: "failed"}

_user_numbers = count()


class User(FastHttpUser):
    """One user of the mix, at its even share of the rate."""

    connection_timeout = 10.0
    network_timeout = 35.0  # above the gateway's 30 s, so that its answer is seen

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        seeded = Random(f"{TRAFFIC.seed}-{next(_user_numbers)}")  # noqa: S311 — load, not secrets
        self._mix = Mix(TRAFFIC.requests, VALUES, seeded)
        # A random start spreads the users over the period instead of letting them fire together.
        self._next_at = time.monotonic() + seeded.random() * USERS / RATE

    def wait_time(self) -> float:
        """Keeps to the schedule; a late user does not catch up with a burst."""
        self._next_at = max(self._next_at + USERS / RATE, time.monotonic())
        return self._next_at - time.monotonic()

    @task
    def send(self) -> None:
        """Sends one request of the mix."""
        request = self._mix.draw()
        with self.client.request(
            request.method,
            request.path,
            name=request.name,
            headers=dict(request.headers),
            json=request.json,
            catch_response=True,
        ) as response:
            # Every answer is counted by its status in the log; none is Locust's own failure.
            if response.status_code:
                response.success()


class SecondLog:
    """One JSON line a second of what the users met: counts by kind, and exact percentiles."""

    def __init__(self, path: str) -> None:
        self._file = Path(path).open("a", encoding="utf-8", buffering=1)  # noqa: SIM115 — open for as long as the run
        self._kinds: Counter[str] = Counter()
        self._latencies_ms: list[float] = []

    def take(self, response: Any = None, response_time: float = 0.0, **_: Any) -> None:
        """Counts one answer, or the lack of one."""
        status = getattr(response, "status_code", 0) or 0
        self._kinds[KIND_OF_CLASS.get(status // 100, "answered")] += 1
        self._latencies_ms.append(response_time)

    def run(self) -> None:
        """Writes the line of each second until Locust ends."""
        while True:
            gevent.sleep(1.0)
            self._write()

    def _write(self) -> None:
        kinds, latencies = self._kinds, sorted(self._latencies_ms)
        self._kinds, self._latencies_ms = Counter(), []
        line = {
            "at": time.time(),
            "requests": len(latencies),
            **{kind: kinds[kind] for kind in ("failed", "refused", "lost")},
            "p50_ms": _percentile(latencies, 0.50),
            "p95_ms": _percentile(latencies, 0.95),
        }
        self._file.write(json.dumps(line) + "\n")


def _percentile(ordered: list[float], share: float) -> float | None:
    """The nearest-rank percentile of sorted values."""
    if not ordered:
        return None
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@events.init.add_listener
def _start_log(**_: Any) -> None:
    if LOG:
        log = SecondLog(LOG)
        events.request.add_listener(log.take)
        gevent.spawn(log.run)
