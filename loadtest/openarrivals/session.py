"""One run of open arrivals inside a Locust environment, alone or over master and workers.

The process that decides (a local runner or the master) waits until Locust's users are there, then
tells every worker the plan, its share and the wall-clock start; worker clocks should therefore be
kept by NTP. It ends the run when the schedule is over and every arrival is answered.

What workers measured travels with Locust's own reports, every three seconds.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import gevent
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from openarrivals import schedule
from openarrivals.pool import Pool
from openarrivals.samples import Batch, Counts, Sample
from openarrivals.schedule import Plan

START = "openarrivals-start"
REPORT = "openarrivals"
# Time for the message to reach every worker before second 0.
HEAD_START_S = 1.0
# Above the longest time-out that a user may have, so that a hanging request ends by its own.
DRAIN_TIMEOUT_S = 70.0

log = logging.getLogger(__name__)
_sessions: WeakKeyDictionary[Environment, Session] = WeakKeyDictionary()


@dataclass
class Session:
    """The run's state in this process; `listeners` are called with a batch about once a second."""

    environment: Environment
    plan: Plan | None = None
    start_at: float | None = None
    pool: Pool = field(default_factory=Pool)
    listeners: list[Callable[[Batch], None]] = field(default_factory=list)
    counts_of_workers: dict[str, Counts] = field(default_factory=dict)
    # Plain tuples, which the garbage collector need not look at again and again.
    _samples: list[tuple[Any, ...]] = field(default_factory=list)
    _dropped_s: list[float] = field(default_factory=list)

    def record(self, sample: tuple[str, int, str, float, float, float]) -> None:
        """Takes note of one request, a `Sample` or its values."""
        self._samples.append(sample)

    @property
    def counts(self) -> Counts:
        """Totals over all processes that have reported."""
        return sum(self.counts_of_workers.values(), Counts())

    def begin(self, plan: Plan) -> None:
        """Starts the schedule, here or on every worker."""
        runner = self.environment.runner
        self.plan, self.start_at = plan, time.time()
        weights = {c.__name__: c.weight for c in self.environment.user_classes if is_open(c)}
        share = {"plan": plan.to_message(), "weights": weights, "index": 0, "workers": 1}
        if isinstance(runner, MasterRunner):
            self.start_at += HEAD_START_S
            clients = [client.id for client in runner.clients.running + runner.clients.spawning]
            share |= {"start_at": self.start_at, "workers": len(clients)}
            for index, client in enumerate(clients):
                runner.send_message(START, {**share, "index": index}, client)
        else:
            self.play({**share, "start_at": self.start_at})
        gevent.spawn(self._until_over)

    def play(self, share: dict[str, Any]) -> None:
        """Hands out this process's share of the arrivals."""
        self.plan = schedule.from_message(share["plan"])
        self.pool.max_queue_time_s = self.plan.max_queue_time_s
        mine = schedule.slots(self.plan, share["weights"], share["index"], share["workers"])
        gevent.spawn(self.pool.run, mine, share["start_at"])

    def take_message(self, msg: Any, **_: Any) -> None:
        """A worker is told to start."""
        self.play(msg.data)

    def to_report(self, data: dict[str, Any], **_: Any) -> None:
        """Adds what this worker measured to its report to the master."""
        data[REPORT] = {
            "samples": self._drain(),
            "dropped_s": self.pool.dropped_s,
            "counts": asdict(self.pool.counts),
        }
        self.pool.dropped_s = []

    def from_report(self, client_id: str, data: dict[str, Any]) -> None:
        """Takes what a worker measured."""
        report = data.get(REPORT)
        if report:
            self._samples += report["samples"]
            self._dropped_s += report["dropped_s"]
            self.counts_of_workers[client_id] = Counts(**report["counts"])

    def publish(self) -> None:
        """Hands what has come since the last time to the listeners."""
        if not isinstance(self.environment.runner, MasterRunner):
            self.counts_of_workers["local"] = self.pool.counts
            self._dropped_s, self.pool.dropped_s = self.pool.dropped_s, []
        drained, dropped_s, self._dropped_s = self._drain(), self._dropped_s, []
        if self.listeners:
            batch = Batch([Sample(*sample) for sample in drained], dropped_s, self.counts)
            for listener in self.listeners:
                listener(batch)

    def _drain(self) -> list[tuple[Any, ...]]:
        samples, self._samples = self._samples, []
        return samples

    def _until_over(self) -> None:
        """Publishes once a second until the schedule is over and answered, then ends the run."""
        if self.plan is None or self.start_at is None:
            return
        over_at = self.start_at + self.plan.shape.seconds
        while time.time() < over_at:
            gevent.sleep(1.0)
            self.publish()
        # Counted only now: it takes a moment, in which nothing could be sent on time.
        planned = sum(1 for _ in self.plan.due())
        while time.time() < over_at + DRAIN_TIMEOUT_S:
            if self.counts.finished + self.counts.dropped >= planned:
                break
            gevent.sleep(0.2)
            self.publish()
        self.pool.close()
        self.publish()
        counts = self.counts
        log.info(
            "open arrivals: %d due, %d started (%d had to wait for a user), %d dropped, %d without "
            "an end",
            *(counts.due, counts.started, counts.queued, counts.dropped, counts.open),
        )
        self._end()

    def _end(self) -> None:
        runner, options = self.environment.runner, self.environment.parsed_options
        if runner is None:
            return
        if options is not None and options.headless:
            runner.quit()
        else:
            runner.stop()


def is_open(user_class: type) -> bool:
    """Whether a user class is fed by the schedule."""
    return getattr(user_class, "fed_by_schedule", False)


def of(environment: Environment) -> Session:
    """The session of an environment; made, and wired to its events, when first asked for."""
    if environment not in _sessions:
        _sessions[environment] = _wire(Session(environment))
    return _sessions[environment]


def _wire(session: Session) -> Session:
    events, runner = session.environment.events, session.environment.runner
    if isinstance(runner, WorkerRunner):
        runner.register_message(START, session.take_message)
        events.report_to_master.add_listener(session.to_report)
    elif isinstance(runner, MasterRunner):
        events.worker_report.add_listener(session.from_report)
    return session
