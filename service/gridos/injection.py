"""What a fault does to a running pod: delays, failures, hangs, leaks, a crash, and burnt CPU.

Faults touch /v1 only, so that a pod stays alive, ready and scraped while it fails its users, as a
bad release does.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from typing import NoReturn
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Flask, request
from werkzeug.exceptions import HTTPException

from gridos.config import ConfigurationError, Settings
from gridos.faults import Fault, Faults, matcher

API_PREFIX = "/v1"
BURNER = Path(__file__).with_name("burner.py")
# Of what strikes one request, in this order.
INSIDE = ("crash", "leak", "warmup", "latency", "hang", "status", "errors")
OUTSIDE = ("reset",)
# After it was counted: what a server, a node or a proxy does to an answer that is ready.
BEYOND = ("cut",)
# Above the gate's 250 ms; what a pod adds to each request while it warms up.
WARMUP_LATENCY_S = 0.3
# Longer than any client, gateway or kubelet waits.
HANG_S = 3600.0


class InjectedError(RuntimeError):
    """What an `errors` fault raises inside a request: an ordinary unhandled exception."""


def init_app(app: Flask) -> None:
    """Lets the settings' faults strike requests; call it after every route is registered.

    Raises:
        ConfigurationError: if a fault is of a route that there is not.
    """
    settings: Settings = app.extensions["settings"]
    routes = {rule.rule for rule in app.url_map.iter_rules()}
    for fault in settings.faults.found:
        if fault.route and fault.route not in routes:
            raise ConfigurationError(
                f"GRIDOS_FAULTS: {fault.route} is not a route — give one of"
                f" {' '.join(sorted(route for route in routes if route.startswith(API_PREFIX)))}"
            )
    if settings.faults.named(*INSIDE):
        injector = FaultInjector(settings.faults, INSIDE, seed=settings.pod)
        app.before_request(lambda: injector.apply(request.path))


def end_connections(app: Flask, names: tuple[str, ...]) -> None:
    """Lets `OUTSIDE` or `BEYOND` faults strike, around everything that could still answer.

    Those beyond the recorder have it count an answer, which nobody gets.
    """
    settings: Settings = app.extensions["settings"]
    if not settings.faults.named(*names):
        return
    injector = FaultInjector(settings.faults, names, seed=settings.pod)
    inner = app.wsgi_app

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            injector.apply(environ["PATH_INFO"])
        except ConnectionResetError:
            if names == BEYOND:
                _answer_nobody(inner, environ)
            raise
        return inner(environ, start_response)

    app.wsgi_app = application  # type: ignore[method-assign]


def _answer_nobody(application: WSGIApplication, environ: WSGIEnvironment) -> None:
    """Takes a whole answer, as a server does, and sends nothing of it."""
    answer = application(environ, lambda *_: lambda _: None)
    try:
        for _ in answer:
            pass
    finally:
        if hasattr(answer, "close"):
            answer.close()


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


class FaultInjector:
    """Decides, request by request and repeatably for a pod's name, what goes wrong."""

    def __init__(
        self,
        faults: Faults,
        names: tuple[str, ...],
        seed: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        random = Random(seed)  # noqa: S311 — repeatable on purpose
        found = sorted(faults.named(*names), key=lambda fault: names.index(fault.name))
        self._faults = [(fault, _paths(fault), Share(fault.share, random)) for fault in found]
        self._clock = clock
        self._begins_at = clock() + faults.value("after")
        self._first_at: float | None = None
        self._lock = threading.Lock()
        self._requests = 0
        self._leaked: list[bytearray] = []

    def apply(self, path: str) -> None:
        """Delays, fails or ends a request to a path, or the process, as the draw says.

        Raises:
            InjectedError, HTTPException, ConnectionResetError: if it is to fail.
        """
        now = self._clock()
        with self._lock:
            struck = [
                fault
                for fault, is_met, share in self._faults
                if (now >= self._begins_at or fault.name == "warmup")
                and is_met(path)
                and share.strikes()
            ]
            if any(fault.name == "crash" for fault in struck):
                self._requests += 1
            if self._first_at is None and struck:
                self._first_at = now
        for fault in struck:
            self._do(fault, now)

    def _do(self, fault: Fault, now: float) -> None:
        match fault.name:
            case "crash" if self._requests > fault.value:
                crash()
            case "leak":
                # Written to, since pages that nobody touched take no memory.
                self._leaked.append(bytearray(b"x") * int(fault.value))
            case "warmup":
                left_s = (self._first_at or now) + fault.value - now
                time.sleep(min(WARMUP_LATENCY_S, max(0.0, left_s)))
            case "latency":
                time.sleep(fault.value)
            case "hang":
                time.sleep(HANG_S)
            case "status":
                failed = HTTPException("injected by GRIDOS_FAULTS")
                failed.code = int(fault.value)
                raise failed
            case "errors":
                raise InjectedError("injected by GRIDOS_FAULTS")
            case "reset" | "cut":
                # The server then ends the connection and sends nothing.
                raise ConnectionResetError(errno.ECONNRESET, "injected by GRIDOS_FAULTS")


def _paths(fault: Fault) -> Callable[[str], object]:
    """Whether a path is one that a fault strikes."""
    if fault.route:
        return matcher(fault.route).fullmatch
    return lambda path: path.startswith(API_PREFIX)


def crash() -> NoReturn:
    """Dies as a segmentation fault would: the server process too, with nothing flushed."""
    os.kill(os.getppid(), signal.SIGKILL)
    os._exit(139)


def start_burner(settings: Settings) -> subprocess.Popen[bytes] | None:
    """Starts the process that fills the pod's CPU, if that is wanted.

    It is a process of its own: a thread would hold the worker's interpreter lock and show as
    latency, and a fault must trip its own gate and no other.
    """
    share = settings.faults.share("cpu")
    if not share:
        return None
    cores, after_s = share * settings.cpu_limit_millicores / 1000, settings.faults.value("after")
    # By its path: as a module it would import the whole service first, and burn and hold for that.
    return subprocess.Popen([sys.executable, "-I", str(BURNER), str(cores), str(after_s)])
