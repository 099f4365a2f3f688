"""What a fault does to a running pod: delays, failures, a crash, and burnt CPU.

Faults touch /v1 only, so that a pod stays alive, ready and scraped while it fails its users, as a
bad release does.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from random import Random
from typing import NoReturn

from flask import Flask, request

from gridos.config import Settings
from gridos.faults import Faults

API_PREFIX = "/v1"
BURNER = Path(__file__).with_name("burner.py")


class InjectedError(RuntimeError):
    """What an `errors` fault raises inside a request: an ordinary unhandled exception."""


def init_app(app: Flask) -> None:
    """Lets the settings' faults strike requests to the API."""
    settings: Settings = app.extensions["settings"]
    faults = settings.faults
    if not (faults.error_share or faults.latency_share or faults.crash_after_requests):
        return
    striker = Striker(faults, seed=settings.pod)

    @app.before_request
    def strike() -> None:
        if request.path.startswith(API_PREFIX):
            striker.strike()


class Share:
    """Picks a share of requests: in each run of 1/share of them one, at a random place.

    With a draw for each request a gate's look would meet a few more or a few less of them, and a
    proof of the gate would hang on luck.
    """

    def __init__(self, share: float, random: Random) -> None:
        self._share = share
        self._random = random
        self._requests = self._runs = 0
        self._next = random.random()

    def strikes(self) -> bool:
        """Whether the next request is one of the share."""
        self._requests += 1
        if self._requests * self._share <= self._next:
            return False
        self._runs += 1
        self._next = self._runs + self._random.random()
        return True


class Striker:
    """Decides, request by request and repeatably for a pod's name, what goes wrong."""

    def __init__(self, faults: Faults, seed: str) -> None:
        self._faults = faults
        random = Random(seed)  # noqa: S311 — repeatable on purpose
        self._slow = Share(faults.latency_share, random)
        self._failing = Share(faults.error_share, random)
        self._lock = threading.Lock()
        self._requests = 0

    def strike(self) -> None:
        """Delays, fails or ends the process, as the draw says."""
        with self._lock:
            self._requests += 1
            count = self._requests
            slow, failing = self._slow.strikes(), self._failing.strikes()
        if 0 < self._faults.crash_after_requests < count:
            crash()
        if slow:
            time.sleep(self._faults.latency_s)
        if failing:
            raise InjectedError("injected by GRIDOS_FAULTS")


def crash() -> NoReturn:
    """Dies as a segmentation fault would: the server process too, with nothing flushed."""
    os.kill(os.getppid(), signal.SIGKILL)
    os._exit(139)


def start_burner(settings: Settings) -> subprocess.Popen[bytes] | None:
    """Starts the process that fills the pod's CPU, if that is wanted.

    It is a process of its own: a thread would hold the worker's interpreter lock and show as
    latency, and a fault must trip its own gate and no other.
    """
    if not settings.faults.cpu_share:
        return None
    cores = settings.faults.cpu_share * settings.cpu_limit_millicores / 1000
    # By its path: as a module it would import the whole service first, and burn and hold for that.
    return subprocess.Popen([sys.executable, "-I", str(BURNER), str(cores)])
