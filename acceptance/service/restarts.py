"""SIGTERM under load drops no request: two pods behind a real gateway are restarted in turn.

The gateway stands where a Service does: a pod is behind it while it says that it is ready. A pod
that is told to stop says that it is not, goes on serving for GRIDOS_DRAIN_SECONDS, and then ends in
order; no preStop hook helps it here.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from acceptance.service.pods import Pod, ask
from canary.runtime.gateway import Gateway
from canary.runtime.waiting import wait_until

DRAIN_S = 2
CALLERS = 4
LOOK_EVERY_S = 0.1


@dataclass
class Outcome:
    """Restarts made, and what callers met meanwhile."""

    restarts: int = 0
    statuses: Counter[int] = field(default_factory=Counter)

    @property
    def failed(self) -> int:
        """Answers that are no good one, and requests without an answer."""
        return sum(count for status, count in self.statuses.items() if status != 200)


class _Callers:
    """Threads that ask again and again, each with a short pause."""

    def __init__(self, url: str) -> None:
        self._urls = [f"{url}/v1/feeders", f"{url}/v1/feeders/ieee33/load"]
        self._stop = threading.Event()
        self._counters = [Counter[int]() for _ in range(CALLERS)]
        self._threads = [
            threading.Thread(target=self._call, args=(counter,), daemon=True)
            for counter in self._counters
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def total(self) -> Counter[int]:
        """Answers so far by status."""
        return sum(self._counters, Counter())

    def _call(self, counter: Counter[int]) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            status, _ = ask(self._urls[number % len(self._urls)])
            counter[status] += 1
            time.sleep(0.01)


class _Endpoints:
    """Keeps exactly the ready pods behind the gateway, as an endpoints controller does."""

    def __init__(self, gateway: Gateway, pods: list[Pod]) -> None:
        self._gateway = gateway
        self._pods = pods
        self._stop = threading.Event()
        self._routed: set[int] = set()
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def hold(self, pod: Pod) -> bool:
        """Whether a pod is behind the gateway, in Envoy's own view."""
        return pod.port in self._gateway.routed_ports()

    def _keep(self) -> None:
        while not self._stop.wait(LOOK_EVERY_S):
            ready = {pod.port for pod in self._pods if pod.running and pod.is_ready()}
            if ready != self._routed:
                self._gateway.route(ready)
                self._routed = ready


def prove(folder: Path, database_url: str, restarts: int, report: object = None) -> Outcome:
    """Restarts two pods in turn, `restarts` times together; the database is migrated and seeded."""
    outcome = Outcome()
    variables = {"GRIDOS_DATABASE_URL": database_url, "GRIDOS_DRAIN_SECONDS": str(DRAIN_S)}
    pods = [Pod(folder, f"pod-{number}", variables) for number in (1, 2)]
    gateway = Gateway(folder / "gateway")
    gateway.start()
    try:
        for pod in pods:
            pod.start()
        for pod in pods:
            pod.await_ready()
        with _Endpoints(gateway, pods) as endpoints:
            assert wait_until(lambda: all(map(endpoints.hold, pods)), timeout_s=20)
            with _Callers(gateway.url) as callers:
                for number in range(restarts):
                    _restart(pods[number % 2], endpoints)
                    outcome.restarts += 1
                    if callable(report):
                        report(f"{number + 1} of {restarts}: {sum(callers.total().values())} sent")
            outcome.statuses = callers.total()
    finally:
        for pod in pods:
            pod.stop()
        gateway.stop()
    return outcome


def _restart(pod: Pod, endpoints: _Endpoints) -> None:
    pod.terminate()
    pod.await_end()
    pod.start()
    pod.await_ready()
    assert wait_until(lambda: endpoints.hold(pod), timeout_s=20)
