"""Whether this process has warmed up and is not draining; the database is asked for each time."""

from __future__ import annotations

import mmap
import time

from flask import Flask

# Shared by the server process, which is told to stop, and its worker, which is asked whether it is
# ready: made before the fork, without a file.
_draining = mmap.mmap(-1, 1)


class Lifecycle:
    """What the process itself has to say about being sent traffic."""

    def __init__(self, slow_start_s: float) -> None:
        self._ready_at = time.monotonic() + slow_start_s

    @property
    def refusal(self) -> str:
        """Why no traffic is wanted, or nothing."""
        if _draining[0]:
            return "draining"
        return "starting" if time.monotonic() < self._ready_at else ""


def drain() -> None:
    """No more traffic is wanted, in this process and in those it was forked into."""
    _draining[0] = 1


def init_app(app: Flask) -> None:
    """Keeps the lifecycle with the application."""
    app.extensions["lifecycle"] = Lifecycle(app.extensions["settings"].faults.slow_start_s)
