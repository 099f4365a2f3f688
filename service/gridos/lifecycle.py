"""Whether this process has warmed up; the database's part of readiness is asked for each time."""

from __future__ import annotations

import time

from flask import Flask


class Lifecycle:
    """What the process itself has to say about being sent traffic."""

    def __init__(self, slow_start_s: float) -> None:
        self._ready_at = time.monotonic() + slow_start_s

    @property
    def refusal(self) -> str:
        """Why no traffic is wanted, or nothing."""
        return "starting" if time.monotonic() < self._ready_at else ""


def init_app(app: Flask) -> None:
    """Keeps the lifecycle with the application."""
    app.extensions["lifecycle"] = Lifecycle(app.extensions["settings"].faults.slow_start_s)
