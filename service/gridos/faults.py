"""Faults that make a bad release of a good one, for proving that a gate sees it.

They are fixed at start by GRIDOS_FAULTS: whoever can set a pod's environment may break it, and
nobody else. They touch /v1 only, so that a pod stays alive, ready and scraped while it fails
its users, as a bad release does.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, NoReturn

from flask import Flask, request

if TYPE_CHECKING:
    from gridos.config import Settings

WORDS = "errors=3%, latency=400ms@10%, cpu=90%, slow-start=20s, crash=500"
API_PREFIX = "/v1"

_SHARE = r"(?P<share>\d+(?:\.\d+)?)%"
_DURATION = r"(?P<duration>\d+(?:\.\d+)?)(?P<unit>ms|s|m|h)"
_FORMS = {
    "errors": re.compile(_SHARE),
    "latency": re.compile(f"{_DURATION}(?:@{_SHARE})?"),
    "cpu": re.compile(_SHARE),
    "slow-start": re.compile(_DURATION),
    "crash": re.compile(r"(?P<requests>[1-9]\d*)"),
}
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class FaultError(ValueError):
    """A fault that is not understood."""


class InjectedError(RuntimeError):
    """What an `errors` fault raises inside a request: an ordinary unhandled exception."""


@dataclass(frozen=True)
class Faults:
    """Shares are of one, times in seconds; zero is no fault."""

    error_share: float = 0.0
    latency_s: float = 0.0
    latency_share: float = 0.0
    cpu_share: float = 0.0
    slow_start_s: float = 0.0
    crash_after_requests: int = 0


def parse(text: str) -> Faults:
    """Reads comma-joined faults, such as "errors=3%,latency=400ms@10%".

    Raises:
        FaultError: if a fault is unknown, badly formed, out of range or given twice.
    """
    found: dict[str, float | int] = {}
    for word in filter(None, (part.strip() for part in text.split(","))):
        fresh = _fault(word)
        if found.keys() & fresh.keys():
            raise FaultError(f"{word!r} is a fault given twice — give each once")
        found |= fresh
    return Faults(**found)  # type: ignore[arg-type]


def _fault(word: str) -> dict[str, float | int]:
    name, _, value = word.partition("=")
    form = _FORMS.get(name)
    match = form.fullmatch(value) if form else None
    if match is None:
        raise FaultError(f"{word!r} is no fault — known are {WORDS}")
    groups = match.groupdict()
    share = float(groups["share"]) / 100 if groups.get("share") else 1.0
    if share > 1:
        raise FaultError(f"{word!r} is more than all — give at most 100%")
    seconds = float(groups["duration"]) * _UNIT_S[groups["unit"]] if "duration" in groups else 0.0
    return {
        "errors": {"error_share": share},
        "latency": {"latency_s": seconds, "latency_share": share},
        "cpu": {"cpu_share": share},
        "slow-start": {"slow_start_s": seconds},
        "crash": {"crash_after_requests": int(groups.get("requests") or 0)},
    }[name]  # type: ignore[return-value]


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


class Striker:
    """Decides, request by request and repeatably for a pod's name, what goes wrong."""

    def __init__(self, faults: Faults, seed: str) -> None:
        self._faults = faults
        self._random = Random(seed)  # noqa: S311 — repeatable on purpose
        self._lock = threading.Lock()
        self._requests = 0

    def strike(self) -> None:
        """Delays, fails or ends the process, as the draw says."""
        with self._lock:
            self._requests += 1
            count = self._requests
            slow = self._random.random() < self._faults.latency_share
            failing = self._random.random() < self._faults.error_share
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
    return subprocess.Popen([sys.executable, "-m", "gridos.burner", str(cores)])
