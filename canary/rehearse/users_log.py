"""What Locust's users meet, as one JSON line a second, and the rate that they keep together.

Locust loads it beside a `locustfile` of one's own: `locust -f users_log.py,locustfile.py`. With a
LOADTEST_RATE every user waits so that all LOADTEST_USERS of them run so many tasks a second.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path
from random import Random
from typing import Any

import gevent
from locust import events
from locust.env import Environment

from canary.runtime.gateway import ANSWERED_BY

LOG = os.environ.get("LOADTEST_LOG")
PACE = os.environ.get("LOADTEST_PACE")
# How soon a user notices that the pace has changed.
PACE_S = 0.25

# Bodies of errors are kept beside it: a few for each pod, request and status.
REFUSALS = "refusals.jsonl"
FIRST_ERROR = 400
MAX_ALIKE, MAX_KINDS, MAX_BODY = 2, 100, 600

# Of an answer, by the first digit of its status; 0 is no answer at all.
KIND_OF_CLASS = {0: "lost", 4: "refused", 5: "failed"}


class SecondLog:
    """One JSON line a second of what the users met: counts by kind, and exact percentiles."""

    def __init__(self, path: str) -> None:
        self._file = Path(path).open("a", encoding="utf-8", buffering=1)  # noqa: SIM115 — open for as long as the run
        self._kinds: Counter[str] = Counter()
        self._statuses: Counter[str] = Counter()
        self._latencies_ms: list[float] = []

    def take(self, response: Any = None, response_time: float = 0.0, **_: Any) -> None:
        """Counts one answer, or the lack of one."""
        status = getattr(response, "status_code", 0) or 0
        self._kinds[KIND_OF_CLASS.get(status // 100, "answered")] += 1
        self._statuses[str(status)] += 1
        self._latencies_ms.append(response_time)

    def run(self) -> None:
        """Writes the line of each second until Locust ends."""
        while True:
            gevent.sleep(1.0)
            self._write()

    def _write(self) -> None:
        kinds, latencies = self._kinds, sorted(self._latencies_ms)
        statuses, self._statuses = self._statuses, Counter()
        self._kinds, self._latencies_ms = Counter(), []
        line = {
            "at": time.time(),
            "requests": len(latencies),
            **{kind: kinds[kind] for kind in ("failed", "refused", "lost")},
            "p50_ms": _percentile(latencies, 0.50),
            "p95_ms": _percentile(latencies, 0.95),
            "statuses": statuses,
        }
        self._file.write(json.dumps(line) + "\n")


class RefusalLog:
    """One JSON line for each of the first errors of a kind: who answered what with which body."""

    def __init__(self, path: Path, secrets: Collection[str]) -> None:
        self._path, self._secrets = path, secrets
        self._kept: Counter[tuple[str, ...]] = Counter()

    def take(self, request_type: str = "", name: str = "", response: Any = None, **_: Any) -> None:
        """Keeps an answer, if it is an error and there are not enough like it."""
        status = getattr(response, "status_code", 0) or 0
        if status < FIRST_ERROR:
            return
        pod = str(response.headers.get(ANSWERED_BY, ""))
        key = (pod, request_type, name, str(status))
        self._kept[key] += 1
        if self._kept[key] > MAX_ALIKE or len(self._kept) > MAX_KINDS:
            return
        body = str(response.text)[:MAX_BODY]
        for secret in self._secrets:
            body = body.replace(secret, "***")
        line = {"method": request_type, "path": name, "status": status}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**line, "answered_by": pod, "body": body}) + "\n")


def _percentile(ordered: list[float], share: float) -> float | None:
    """The nearest-rank percentile of sorted values."""
    if not ordered:
        return None
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Pace:
    """The factor of the rate that is sent at present."""

    factor = 1.0

    def follow(self, path: str) -> None:
        """Reads the file until Locust ends."""
        while True:
            gevent.sleep(PACE_S)
            with contextlib.suppress(OSError, ValueError):
                self.factor = float(Path(path).read_text(encoding="utf-8"))


pace = Pace()


def wait_time(rate: float, users: int) -> Callable[[Any], float]:
    """How a user keeps its even share of the rate; a late one does not catch up with a burst."""
    random = Random(f"{rate} {users}")  # noqa: S311 — load, not secrets

    def wait(user: Any) -> float:
        period_s, now = users / rate, time.monotonic()
        # A random start spreads the users over the period instead of letting them fire together.
        due = vars(user).get("_due_at", now + random.random() * period_s)
        user._due_at = max(due + period_s / (pace.factor or 1.0), now)  # noqa: SLF001 — ours, kept there
        gevent.sleep(user._due_at - now)  # noqa: SLF001
        while not pace.factor:
            gevent.sleep(PACE_S)
        return 0.0

    return wait


@events.init.add_listener
def _start(environment: Environment, **_: Any) -> None:
    users, rate = os.environ.get("LOADTEST_USERS"), os.environ.get("LOADTEST_RATE")
    if users and rate:
        # Users of another locustfile keep the rate too, whatever they wait by themselves.
        for user in environment.user_classes:
            user.wait_time = wait_time(float(rate), int(users))
    if PACE:
        gevent.spawn(pace.follow, PACE)
    if LOG:
        log = SecondLog(LOG)
        events.request.add_listener(log.take)
        values = json.loads(os.environ.get("LOADTEST_VALUES", "{}"))
        refusals = RefusalLog(Path(LOG).with_name(REFUSALS), values.values())
        events.request.add_listener(refusals.take)
        gevent.spawn(log.run)
