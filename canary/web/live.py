"""A rehearsal under way, as its page shows it: told by the thread that runs it, read by others.

Nothing is rendered unless a page is open, and then once a second for all of them.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from canary.argo.events import Kind
from canary.rehearse import result
from canary.rehearse.evidence import Route
from canary.rehearse.plan import Plan
from canary.rehearse.result import Result
from canary.rehearse.runner import Run
from canary.rehearse.target import Event, Observation, Target
from canary.rehearse.timeline import Timeline
from canary.web.pages import Button, Now

RENDER_S = 1.0
# A page that is loaded anew is closed for a moment.
CLOSED_S = 3.0
HOLD = "hold"
# What Argo says of a pause, which the page says as the step that it is.
PAUSES = ("CanaryPauseStep", "BlueGreenPause")
# As long as the load lasts at the most.
MAX_HELD_S = 3600.0


class Live:
    """One rehearsal; `watch` and `conclude` are its runner's, everything else a page's.

    With `held_s` it goes on so long whatever becomes of the release, and whoever looks.
    """

    def __init__(
        self, plan: Plan, target: Target, folder: Path, held_s: float | None = None
    ) -> None:
        self.folder, self.shared, self._held_s = folder, target.shared, held_s
        self._plan, self._target = plan, target
        self._holding = False
        target.held = self._held
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

    def state(self) -> tuple[Result, Now | None]:
        """The record so far, and what it does not hold; of a finished run it holds everything."""
        if self._made is not None:
            return self._made, None
        record, seen = self._seen or (Timeline(), None)
        # The runner goes on meanwhile.
        copy = replace(
            record, samples=[*record.samples], events=[*record.events], seconds=[*record.seconds]
        )
        made = result.build(self._plan, self._target, Run(timeline=copy))
        about = self._target.latest_routes(), self._buttons(seen), self._on_buttons(seen)
        return made, Now(*about) if seen is None else _now(seen, *about)

    # ------------------------------------------------------------------------- a person's acts

    def act(self, name: str) -> None:
        """Does what a button says: something to the release, or to wait for more of it."""
        if name == HOLD:
            self._holding = not self._holding
        else:
            self._target.act(Kind(name))

    def _held(self, seen: Observation) -> bool:
        """Whether an end by the gates may be no end, since somebody who looks wants to act."""
        if self._held_s is not None:
            return seen.at_s < self._held_s
        return bool(
            self._holding and self._looked_at and not seen.promoted and seen.at_s < MAX_HELD_S
        )

    def _buttons(self, seen: Observation | None) -> list[Button]:
        under_way = seen is not None and seen.step_index is not None
        aborted = seen is not None and seen.aborted
        open_ = under_way and not (aborted or (seen and (seen.promoted or seen.timed_out)))
        possible = {Kind.PROMOTE: open_, Kind.ABORT: open_, Kind.RETRY: aborted}
        acts = [Button(str(k), str(k).capitalize(), bool(possible[k])) for k in self._target.acts]
        if self._held_s is not None:
            return acts
        return [*acts, Button(HOLD, "Wait for me at the end", possible=True, pressed=self._holding)]

    def _on_buttons(self, seen: Observation | None) -> str:
        if self._held_s is not None:
            return "The canary stays beside stable until you promote or abort it."
        if seen is not None and seen.settled and self._held(seen):
            return "The release has ended and waits for you: promote, retry, or stop waiting."
        return "Once you act, the verdict says that a person ended the release, not its gates."

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
        while self._was_open and self._looked_at:
            self.wait()

    @property
    def _looked_at(self) -> bool:
        return bool(self._open) or time.monotonic() - self._closed_at < CLOSED_S


def _now(
    seen: Observation, routes: Sequence[Route], buttons: Sequence[Button], on_buttons: str
) -> Now:
    released = seen.step_index is not None or seen.promoted or seen.aborted
    waiting = "" if released else "The stable release is warming up."
    if seen.promoted:
        waiting = "The canary is the stable release now."
    left = seen.step_remaining_s
    return Now(
        phase=seen.phase if released else "Warming up",
        message="" if seen.message in PAUSES else seen.message,
        promoted=seen.promoted,
        step=None if seen.aborted or seen.promoted else seen.step_index,
        remaining="" if left is None else f"{left:.0f} s left",
        since=f"{seen.at_s:.0f} s" if released else "–",
        waiting=waiting or seen.message or seen.phase,
        routes=routes,
        buttons=buttons,
        on_buttons=on_buttons,
    )
