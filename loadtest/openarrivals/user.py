"""The mixin that lets a Locust user be fed by the schedule."""

from __future__ import annotations

from random import Random
from typing import Any, ClassVar

import gevent
from locust.env import Environment
from locust.event import EventHook
from locust.user.task import LOCUST_STATE_WAITING

from openarrivals import schedule, session
from openarrivals.pool import Arrival


class OpenArrivals:
    """Put before a user class with a `client`: its tasks start on schedule.

        class Visitor(OpenArrivals, FastHttpUser):
            @task
            def look(self):
                self.client.get("/")

    Each task run is one arrival of the schedule. Its first request is timed from when it was due,
    so a late start is part of the latency, in Locust's own figures too; further requests of the
    same task are timed from when they were sent. Attributes:

        arrival: What the running task was started for.

    A subclass with an `on_start` of its own calls `super().on_start()` last.
    """

    fed_by_schedule: ClassVar[bool] = True
    arrival: Arrival | None = None
    client: Any
    environment: Environment
    _state: str | None
    _taskset_instance: Any

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)  # type: ignore[call-arg]
        self._session = session.of(environment)
        self._kind = type(self).__name__
        self.client.request_event = FromDue(self, self._session, self.client.request_event)

    @property
    def random(self) -> Random:
        """Random choices that belong to the running arrival: the same for the same seed."""
        if self.arrival is None or self._session.plan is None:
            raise RuntimeError(f"{self._kind} has no arrival yet — call super().on_start() last")
        return schedule.draws(self._session.plan, self.arrival.number)

    def on_start(self) -> None:
        """Waits for the first arrival."""
        # Waiting, as Locust calls it: a user that may be stopped at once.
        before, self._state = self._state, LOCUST_STATE_WAITING
        self.arrival = self._session.pool.take(self._kind)
        self._state = before
        # Locust sleeps after each `wait_time`, even for no time at all; that is a tenth of the cost
        # of a request.
        self._taskset_instance._sleep = _sleep  # noqa: SLF001 — there is no public way

    def wait_time(self) -> float:
        """Waits for the next arrival; Locust then has nothing left to wait for."""
        if self.arrival is not None:
            self.arrival = None
            self._session.pool.counts.finished += 1
        self.arrival = self._session.pool.take(self._kind)
        return 0.0


def _sleep(seconds: float) -> None:
    if seconds:
        gevent.sleep(seconds)


class FromDue:
    """Stands between a client and Locust's request event, and times from when it was due."""

    def __init__(self, user: OpenArrivals, here: session.Session, event: EventHook) -> None:
        self._user = user
        self._session = here
        self._event = event

    def fire(self, **request: Any) -> None:
        """Reports one request."""
        arrival = self._user.arrival
        if arrival is None:
            name = type(self._user).__name__
            raise RuntimeError(f"{name} sent without an arrival — call super().on_start() last")
        if not arrival.requests:
            request["response_time"] += max(0.0, request["start_time"] - arrival.due_at) * 1000
        arrival.requests += 1
        self._event.fire(**request)
        self._session.record(sample_of(request, arrival.due_s, arrival.lag_s))


def sample_of(
    request: dict[str, Any], due_s: float, lag_s: float = 0.0
) -> tuple[str, int, str, float, float, float]:
    """The values of a `Sample`, from what Locust reports of a request."""
    error = request["exception"]
    return (
        request["name"],
        getattr(request["response"], "status_code", 0) or 0,
        "" if error is None else f"{type(error).__name__}: {error}"[:200],
        due_s,
        request["response_time"] / 1000,
        lag_s,
    )
