"""A rehearsal under way, as its page shows it: told by the thread that runs it, read by others.

Nothing is rendered unless a page is open, and then once a second for all of them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from canary.rehearse import result
from canary.rehearse.evidence import Route
from canary.rehearse.plan import Plan
from canary.rehearse.result import Result
from canary.rehearse.runner import Run
from canary.rehearse.target import Event, Observation, Target
from canary.rehearse.timeline import Timeline
from canary.web.pages import Now

RENDER_S = 1.0
# A page that is loaded anew is closed for a moment.
CLOSED_S = 3.0


class Live:
    """One rehearsal; `watch` and `conclude` are its runner's, everything else a page's."""

    def __init__(self, plan: Plan, target: Target, folder: Path) -> None:
        self.folder, self.name = folder, plan.rollout.name
        self._plan, self._target = plan, target
        self._seen: tuple[Timeline, Observation] | None = None
        self._made: Result | None = None
        self._changed = threading.Condition()
        self._open, self._was_open, self._closed_at = 0, False, 0.0
        self._rendering = threading.Lock()
        self._last: tuple[float, dict[str, Any]] = (-RENDER_S, {})

    @property
    def running(self) -> bool:
        """Whether it is still under way."""
        return self._made is None

    def watch(self, record: Timeline, seen: Observation, _: Sequence[Event]) -> None:
        """Takes note of the latest observation."""
        self._seen = record, seen

    def conclude(self, made: Result) -> None:
        """Takes the record of the finished rehearsal, which is what pages show from now on."""
        with self._rendering:
            self._made, self._last = made, (-RENDER_S, {})
        with self._changed:
            self._changed.notify_all()

    def look(self) -> tuple[Result, Now | None]:
        """The record so far, and what it does not hold; of a finished run it holds everything."""
        if self._made is not None:
            return self._made, None
        record, seen = self._seen or (Timeline(), None)
        # The runner goes on meanwhile.
        copy = replace(
            record, samples=[*record.samples], events=[*record.events], seconds=[*record.seconds]
        )
        made = result.build(self._plan, self._target, Run(timeline=copy))
        return made, _now(seen, self._target.latest_routes())

    # ------------------------------------------------------------------------------- open pages

    def rendered(self, render: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What `render` makes, at most once a second however many pages are open."""
        with self._rendering:
            at, made = self._last
            if time.monotonic() - at >= RENDER_S:
                made = render()
                self._last = time.monotonic(), made
            return made

    def wait(self) -> None:
        """Waits until there may be something new to show."""
        with self._changed:
            self._changed.wait(RENDER_S)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Counts a page as open."""
        with self._changed:
            self._open, self._was_open = self._open + 1, True
        try:
            yield
        finally:
            with self._changed:
                self._open, self._closed_at = self._open - 1, time.monotonic()
                self._changed.notify_all()

    def wait_until_closed(self) -> None:
        """Waits while a page is open, so that one can still be read when the run has ended."""
        while self._was_open and (self._open or time.monotonic() - self._closed_at < CLOSED_S):
            self.wait()


def _now(seen: Observation | None, routes: Sequence[Route]) -> Now:
    if seen is None:
        return Now("Starting", "", None, "", "–", "The stable release is being started.", routes)
    released = seen.step_index is not None or seen.promoted or seen.aborted
    waiting = "" if released else "The stable release is warming up."
    left = seen.step_remaining_s
    return Now(
        phase=seen.phase if released else "Warming up",
        message=seen.message,
        step=None if seen.aborted or seen.promoted else seen.step_index,
        remaining="" if left is None else f"{left:.0f} s left",
        since=f"{seen.at_s:.0f} s" if released else "–",
        waiting=waiting or seen.message or seen.phase,
        routes=routes,
    )
