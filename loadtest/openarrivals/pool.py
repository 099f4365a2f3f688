"""Arrivals meet users: each goes to a free user when it is due, waits for one, or is dropped.

A Locust user is a place that can hold one request at a time, with a connection of its own. Free
users are a stack: the connection that was used last is used next, so that as few are kept warm as
the concurrency needs, as a client with a connection pool would have it.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import gevent
from gevent.event import AsyncResult

from openarrivals.samples import Counts
from openarrivals.schedule import Slot


@dataclass(slots=True)
class Arrival:
    """A request that is due.

    Attributes:
        number: Its number in the run, the same for the same seed.
        due_s: When it was due, in seconds after the start of the run.
        due_at: The same on the wall clock.
        lag_s: How late the generator itself was; waiting for a free user is not part of it.
        requests: How many requests its user has sent for it so far.
    """

    number: int
    due_s: float
    due_at: float
    lag_s: float
    requests: int = 0


@dataclass
class Pool:
    """The users of one process and the arrivals that are due to them, by user class."""

    patience_s: float = 1.0
    counts: Counts = field(default_factory=Counts)
    dropped_s: list[float] = field(default_factory=list)
    _free: dict[str, list[AsyncResult]] = field(default_factory=lambda: defaultdict(list))
    _waiting: dict[str, deque[Arrival]] = field(default_factory=lambda: defaultdict(deque))

    def run(self, schedule: Iterable[Slot], start_at: float) -> None:
        """Hands out each arrival at its time; returns after the last.

        Args:
            schedule: This process's arrivals in order.
            start_at: The wall-clock time (Unix seconds) of the schedule's second 0.
        """
        # The wall clock may be stepped during a run; only its reading at the start is used.
        origin = time.perf_counter() + start_at - time.time()
        for slot in schedule:
            due = origin + slot.due_s
            # Sleeps even when it is late, or the users would never get to send.
            gevent.sleep(max(0.0, due - time.perf_counter()))
            lag_s = max(0.0, time.perf_counter() - due)
            self.hand_out(Arrival(slot.number, slot.due_s, start_at + slot.due_s, lag_s), slot.kind)

    def hand_out(self, arrival: Arrival, kind: str) -> None:
        """Gives an arrival that is due to a free user, or lets it wait, or drops it."""
        self.counts.due += 1
        self._expire(kind)
        if self._free[kind]:
            self._free[kind].pop().set(arrival)
        elif self.patience_s:
            self.counts.queued += 1
            self._waiting[kind].append(arrival)
        else:
            self._drop(arrival)

    def take(self, kind: str) -> Arrival:
        """Waits for the next arrival for a user class; called by a user that is free."""
        arrival = self._next_waiting(kind) or self._wait(kind)
        self.counts.started += 1
        return arrival

    def close(self) -> None:
        """Drops what still waits for a user."""
        for waiting in self._waiting.values():
            while waiting:
                self._drop(waiting.popleft())

    def _next_waiting(self, kind: str) -> Arrival | None:
        self._expire(kind)
        return self._waiting[kind].popleft() if self._waiting[kind] else None

    def _wait(self, kind: str) -> Arrival:
        promise: AsyncResult = AsyncResult()
        self._free[kind].append(promise)
        try:
            arrival: Arrival = promise.get()
        except BaseException:
            # The user is being stopped; an arrival that was already its own goes to another.
            if promise.ready():
                self._waiting[kind].appendleft(promise.value)
            else:
                self._free[kind].remove(promise)
            raise
        return arrival

    def _expire(self, kind: str) -> None:
        waiting, now = self._waiting[kind], time.time()
        while waiting and now - waiting[0].due_at > self.patience_s:
            self._drop(waiting.popleft())

    def _drop(self, arrival: Arrival) -> None:
        self.counts.dropped += 1
        self.dropped_s.append(arrival.due_s)
