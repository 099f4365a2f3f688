"""A pod's memory stays flat, however many requests it answers.

Callers read, write, send wrong things and are refused, each on a connection that it keeps. What the
pod's processes hold (PSS, what they share counted once) is read after each tenth of the requests;
the first tenths may still fill caches and pools.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from acceptance.services import KEY, WRITABLE, Service
from canary.runtime import processes
from canary.runtime.waiting import wait_until

CALLERS = 4
TENTHS = 10
WARM_UP = 3
FIRST = datetime(2026, 4, 1, tzinfo=UTC)
TIMEOUT_S = 60.0
JSON = {"X-API-Key": KEY, "Content-Type": "application/json"}


@dataclass
class Outcome:
    """Answers by status, and the pod's megabytes after each tenth."""

    statuses: Counter[int] = field(default_factory=Counter)
    megabytes: list[float] = field(default_factory=list)

    @property
    def growth_mb(self) -> float:
        """From the end of the warm-up to the largest value after it."""
        return max(self.megabytes[WARM_UP:]) - self.megabytes[WARM_UP - 1]


class _Caller(threading.Thread):
    """Sends its share of the requests."""

    def __init__(self, port: int, number: int, requests: int) -> None:
        super().__init__(name=f"caller-{number}", daemon=True)
        self._port, self._number, self._requests = port, number, requests
        self.statuses: Counter[int] = Counter()

    def run(self) -> None:
        """Until all are answered; a request without an answer ends it."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT_S)
        for number in range(self._requests):
            connection.request(*_request(self._number, number))
            answer = connection.getresponse()
            answer.read()
            self.statuses[answer.status] += 1
        connection.close()


def run(folder: Path, database_url: str, requests: int) -> Outcome:
    """Sends so many requests to one pod; the database is migrated and seeded."""
    outcome = Outcome()
    with Service(folder, {**WRITABLE, "GRIDOS_DATABASE_URL": database_url}, "lasting") as pod:
        pod.start().await_ready()
        each = requests // CALLERS
        callers = [_Caller(pod.port, number, each) for number in range(CALLERS)]
        for caller in callers:
            caller.start()

        def are_sent(tenths: int) -> bool:
            sent = sum(caller.statuses.total() for caller in callers)
            return sent >= each * CALLERS * tenths // TENTHS

        for tenth in range(1, TENTHS + 1):
            came = wait_until(
                lambda tenth=tenth: are_sent(tenth),  # type: ignore[misc]
                timeout_s=TIMEOUT_S + requests / 50,
                give_up=lambda: not any(caller.is_alive() for caller in callers),
            )
            assert came or are_sent(tenth), f"of {requests} requests not all were answered"
            outcome.megabytes.append(processes.memory_bytes([pod.pid])[pod.pid] / 1e6)
        for caller in callers:
            caller.join(TIMEOUT_S)
            outcome.statuses += caller.statuses
    return outcome


def _request(caller: int, number: int) -> tuple[str, str, bytes | None, dict[str, str]]:
    """Method, path, body and headers of a caller's n-th request: two of ten are writes."""
    at = (FIRST + timedelta(seconds=number)).isoformat()
    reading = {"bus_id": f"ieee33-{caller + 2}", "measured_at": at, "kw": 1, "kvar": 1}
    return (
        ("POST", "/v1/readings", json.dumps({"readings": [reading]}).encode(), JSON),
        ("POST", "/v1/readings", b'{"readings": [{"kw": "none"}]}', JSON),
        ("GET", f"/nowhere/{number}", None, {"X-Request-ID": f"{caller}-{number}"}),
        ("GET", f"/v1/buses/unknown-{number}/readings", None, {}),
        ("GET", "/v1/feeders/ieee33/readings?bucket=15m&limit=100", None, {}),
        ("GET", "/v1/feeders/ieee33/load", None, {}),
        ("GET", "/v1/feeders/ieee33/state", None, {}),
        *[("GET", "/v1/feeders/ieee33", None, dict[str, str]())] * 3,
    )[number % 10]
