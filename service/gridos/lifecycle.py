"""Whether this process has warmed up, is not draining, and gets on with its work."""

from __future__ import annotations

import mmap
import time

from flask import Flask

from gridos.storage.pool import THREADS
from gridos.tally import Tally

# Above anything that a request may take: to arrive 10 s, the database 25 s, a power flow some 10 s.
MAX_REQUEST_S = 60.0
# gunicorn's loop turns every second, whatever its threads do.
MAX_PAUSE_S = 30.0

# Shared by the server process, which is told to stop, and its worker, which is asked whether it is
# ready: made before the fork, without a file.
_draining = mmap.mmap(-1, 1)


class Lifecycle:
    """What the process itself has to say about being sent traffic, or being kept."""

    def __init__(self, slow_start_s: float, threads: int) -> None:
        self._ready_at = time.monotonic() + slow_start_s
        self._threads = threads
        self._turned_at: float | None = None

    @property
    def refusal(self) -> str:
        """Why no traffic is wanted, or nothing."""
        if _draining[0]:
            return "draining"
        return "starting" if time.monotonic() < self._ready_at else ""

    def turn(self) -> None:
        """The server's loop has come round, if it has one that tells."""
        self._turned_at = time.monotonic()

    def failure(self, tally: Tally) -> str:
        """Why the process must be restarted, or nothing: it will not get on by itself."""
        if self._turned_at is not None and time.monotonic() - self._turned_at > MAX_PAUSE_S:
            return f"the server's loop has not turned for {MAX_PAUSE_S:.0f} s"
        if tally.threads_at_it_since(time.perf_counter() - MAX_REQUEST_S) >= self._threads:
            return f"every thread has been at one request for more than {MAX_REQUEST_S:.0f} s"
        return ""


def drain() -> None:
    """No more traffic is wanted, in this process and in those it was forked into."""
    _draining[0] = 1


def init_app(app: Flask) -> None:
    """Keeps the lifecycle with the application."""
    settings = app.extensions["settings"]
    app.extensions["lifecycle"] = Lifecycle(
        settings.faults.value("slow-start"), THREADS[settings.server]
    )
