"""How gunicorn runs the service: read by `gunicorn -c python:gridos.gunicorn_config`.

One worker a pod, scaled by pods: more workers would need metrics shared through files, and one
core has no use for them. When the worker dies unasked the server goes with it, so that the kubelet
restarts the container and the restart is counted where a gate can see it.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from gridos import create_app, exits, injection, lifecycle, logs, management, traces

# gunicorn takes any name here that it knows for a setting; `config` is one.
from gridos.config import read as read_settings
from gridos.storage import pool

_settings = read_settings()

bind = f"{_settings.host}:{_settings.port}"
wsgi_app = "gridos.gunicorn_config:make_app()"
workers = 1
# gthread, whose threads wait for no client.
worker_class = "gridos.worker.Worker"
threads = pool.THREADS["gunicorn"]
# Above any proxy's idle time-out in front (Envoy here 30 s, App Gateway 20 s … 60 s): the proxy
# must be the side that closes.
keepalive = 75
graceful_timeout = 25
# The most gunicorn allows: an id or cursor of the longest kind still fits when it is escaped.
limit_request_line = 8190
# SCRIPT_NAME and PATH_INFO are not for a caller to say, be it one on this machine.
forwarder_headers = ""
timeout = 60
# It would bypass what makes a slow reader wait for himself alone.
sendfile = False
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 — heartbeat file
control_socket_disable = True
logconfig_dict = logs.configuration(_settings)
_state: dict[str, Any] = {}


def on_starting(_: Any) -> None:
    """Takes the management port before there is a worker, so that a taken one is said at once."""
    _state["management"] = management.bind(_settings)


def make_app() -> Any:
    """The application, made in the worker, after the fork."""
    _state["app"] = create_app(_settings)
    return _state["app"]


def post_worker_init(worker: Any) -> None:
    """Connects to the database; never before the fork, connections cannot be shared."""
    app = _state["app"]
    worker.turned = app.extensions["lifecycle"].turn
    pool.open_pool(app)
    management.serve(app, _state["management"])


def when_ready(_: Any) -> None:
    """Starts what a cpu fault needs beside the worker, and listens for the order to stop."""
    # Before the fork: a collection would write into every object there is, and so copy for the
    # worker what it shares with this process.
    gc.freeze()
    _state["burner"] = injection.start_burner(_settings)
    if _settings.drain_seconds:
        stop = signal.getsignal(signal.SIGTERM)
        signal.signal(signal.SIGTERM, lambda *_: _drain(stop))


def post_fork(_server: Any, _worker: Any) -> None:
    """The worker drains when the server tells it to and not by itself."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _drain(stop: Any) -> None:
    """Unready first, still serving; then gunicorn's own graceful stop, at once if told again."""
    lifecycle.drain()
    signal.signal(signal.SIGTERM, stop)
    timer = threading.Timer(_settings.drain_seconds, os.kill, (os.getpid(), signal.SIGTERM))
    timer.daemon = True
    timer.start()


def worker_exit(_server: Any, _worker: Any) -> None:
    """Closes the connections of a worker that ends in order."""
    if "app" in _state:
        traces.close(_state["app"])
        pool.close_pool(_state["app"])


def child_exit(server: Any, worker: Any) -> None:
    """A worker that ended unasked ends the container."""
    # gunicorn closes its listeners first when it is told to stop.
    if server.LISTENERS:
        exits.add(_settings)
        server.log.error("worker %s ended unasked; the container ends with it", worker.pid)
        sys.stdout.flush()
        os._exit(1)


def on_exit(_: Any) -> None:
    """Ends what was started beside the worker."""
    burner = _state.get("burner")
    if burner is not None:
        burner.kill()
