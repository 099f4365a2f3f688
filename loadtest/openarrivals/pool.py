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
from gevent.hub import Waiter, get_hub

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


class Place:
    """Where one user waits for one arrival; a third of the cost of gevent's AsyncResult."""

    __slots__ = ("_waiter", "arrival")

    def __init__(self) -> None:
        self.arrival: Arrival | None = None
        self._waiter = Waiter()

    def give(self, arrival: Arrival) -> None:
        """Wakes the user in the hub's next round; called by any greenlet."""
        self.arrival = arrival
        get_hub().loop.run_callback(self._waiter.switch, arrival)

    def wait(self) -> Arrival:
        """Sleeps until an arrival is given."""
        arrival: Arrival = self._waiter.get()
        return arrival


@dataclass
class Pool:
    """The users of one process and the arrivals that are due to them, by user class."""

    max_queue_time_s: float = 1.0
    counts: Counts = field(default_factory=Counts)
    dropped_s: list[float] = field(default_factory=list)
    _free: dict[str, list[Place]] = field(default_factory=lambda: defaultdict(list))
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
            early_s = due - time.perf_counter()
            # What is late is handed out at once, while there are users who could take it.
            if early_s > 0 or not self._free[slot.kind]:
                gevent.sleep(max(0.0, early_s))
            lag_s = max(0.0, time.perf_counter() - due)
            due_at = start_at + slot.due_s
            self.hand_out(Arrival(slot.number, slot.due_s, due_at, lag_s), slot.kind)

    def hand_out(self, arrival: Arrival, kind: str) -> None:
        """Gives an arrival that is due to a free user, or lets it wait, or drops it."""
        self.counts.due += 1
        free = self._free[kind]
        if free:
            free.pop().give(arrival)
            return
        self._expire(kind)
        if self.max_queue_time_s:
            self.counts.queued += 1
            self._waiting[kind].append(arrival)
        else:
            self._drop(arrival)

    def take(self, kind: str) -> Arrival:
        """Waits for the next arrival for a user class; called by a user that is free."""
        waiting = self._waiting[kind]
        if waiting:
            self._expire(kind)
        arrival = waiting.popleft() if waiting else self._wait(kind)
        self.counts.started += 1
        return arrival

    def close(self) -> None:
        """Drops what still waits for a user."""
        for waiting in self._waiting.values():
            while waiting:
                self._drop(waiting.popleft())

    def _wait(self, kind: str) -> Arrival:
        place = Place()
        self._free[kind].append(place)
        try:
            return place.wait()
        except BaseException:
            # The user is being stopped; an arrival that was already its own goes to another.
            if place.arrival is not None:
                self._waiting[kind].appendleft(place.arrival)
            else:
                self._free[kind].remove(place)
            raise

    def _expire(self, kind: str) -> None:
        waiting, now = self._waiting[kind], time.time()
        while waiting and now - waiting[0].due_at > self.max_queue_time_s:
            self._drop(waiting.popleft())

    def _drop(self, arrival: Arrival) -> None:
        self.counts.dropped += 1
        self.dropped_s.append(arrival.due_s)
