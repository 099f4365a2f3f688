"""SIGTERM under load drops no request: two pods behind a real gateway are restarted in turn.

The gateway stands where a Service does: a pod is behind it while it says that it is ready. A pod
that is told to stop says that it is not, goes on serving for GRIDOS_DRAIN_SECONDS, and then ends in
order; no preStop hook helps it here. Callers keep their connections to the gateway, as it keeps its
own to the pods.
"""

import http.client
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from acceptance.client import NO_ANSWER
from acceptance.service.threads import Beside
from acceptance.services import WRITABLE, Service
from canary.runtime.gateway import Gateway
from canary.runtime.waiting import wait_until

DRAIN_S = 2
CALLERS = 8
REQUESTS_PER_S = 200
REQUEST_TIMEOUT_S = 10.0
POLL_EVERY_S = 0.1
PATHS = ("/v1/feeders", "/v1/feeders/ieee33/load")


@dataclass
class Outcome:
    """Restarts made, and what callers met meanwhile."""

    restarts: int = 0
    statuses: Counter[int] = field(default_factory=Counter)

    @property
    def failed(self) -> int:
        """Answers that are no good one, and requests without an answer."""
        return sum(count for status, count in self.statuses.items() if status != 200)


class _Callers(Beside):
    """Callers that ask at a steady rate, each on a connection that it keeps."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._counters = [Counter[int]() for _ in range(CALLERS)]
        super().__init__(*(partial(self._call, counter) for counter in self._counters))

    def total(self) -> Counter[int]:
        """Answers so far by status."""
        return sum(self._counters, Counter())

    def _call(self, counter: Counter[int]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=REQUEST_TIMEOUT_S)
        began, number = time.monotonic(), 0
        while not self._over.wait(began + number * CALLERS / REQUESTS_PER_S - time.monotonic()):
            counter[_ask(connection, PATHS[number % len(PATHS)])] += 1
            number += 1
        connection.close()


def _ask(connection: http.client.HTTPConnection, path: str) -> int:
    """The status of an answer that came whole; a connection that failed is opened anew."""
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException):
        connection.close()
        return NO_ANSWER
    return answer.status


class _Endpoints(Beside):
    """Keeps exactly the ready pods behind the gateway, as an endpoints controller does."""

    def __init__(self, gateway: Gateway, pods: list[Service]) -> None:
        super().__init__(self._keep)
        self._gateway = gateway
        self._pods = pods
        self._routed: set[int] = set()

    def hold(self, pod: Service) -> bool:
        """Whether a pod is behind the gateway, in Envoy's own view."""
        return pod.port in self._gateway.routed_ports()

    def _keep(self) -> None:
        while not self._over.wait(POLL_EVERY_S):
            ready = {pod.port for pod in self._pods if pod.running and pod.is_ready()}
            if ready != self._routed:
                self._gateway.route(ready)
                self._routed = ready


def run(folder: Path, database_url: str, restarts: int, requests: int) -> Outcome:
    """Restarts two pods in turn, `restarts` times together, spread over so many requests.

    The database is migrated and seeded.
    """
    outcome = Outcome()
    variables = {
        **WRITABLE,
        "GRIDOS_DATABASE_URL": database_url,
        "GRIDOS_DRAIN_SECONDS": str(DRAIN_S),
    }
    pods = [Service(folder, variables, f"pod-{number}") for number in (1, 2)]
    gateway = Gateway(folder / "gateway")
    gateway.start()
    try:
        for pod in pods:
            pod.start()
        for pod in pods:
            pod.await_ready()
        with _Endpoints(gateway, pods) as endpoints:
            assert wait_until(lambda: all(map(endpoints.hold, pods)), timeout_s=20)
            with _Callers(gateway.port) as callers:
                for number in range(restarts):
                    _restart(pods[number % 2], endpoints)
                    outcome.restarts += 1
                    _await_sent(callers, (number + 1) * requests / restarts)
            outcome.statuses = callers.total()
    finally:
        for pod in pods:
            pod.stop()
        gateway.stop()
    return outcome


def _await_sent(callers: _Callers, requests: float) -> None:
    longest_s = 30 + 4 * requests / REQUESTS_PER_S
    assert wait_until(lambda: callers.total().total() >= requests, timeout_s=longest_s)


def _restart(pod: Service, endpoints: _Endpoints) -> None:
    pod.terminate()
    pod.await_end()
    pod.start()
    pod.await_ready()
    assert wait_until(lambda: endpoints.hold(pod), timeout_s=20)
