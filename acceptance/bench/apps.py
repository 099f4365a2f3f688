"""The contestants: one route that says hello, watched in different ways.

gunicorn acceptance.bench.apps:empty        a WSGI function, no Flask: what a server costs
gunicorn acceptance.bench.apps:bare         Flask and nothing else
gunicorn acceptance.bench.apps:metrics      our metrics alone
gunicorn acceptance.bench.apps:metrics_ids  our metrics, request id and trace context
gunicorn acceptance.bench.apps:ours         the same with the JSON access line
gunicorn acceptance.bench.apps:usual        prometheus-flask-exporter with the contract's names
gunicorn acceptance.bench.apps:usual_log    the same, with a python-json-logger access line
uvicorn  acceptance.bench.apps:fastapi_     FastAPI with prometheus-fastapi-instrumentator
"""

from __future__ import annotations

import importlib
import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from flask import Flask, g, request

TEXT = "hello\n"


def hello() -> str:
    """The route."""
    return TEXT


def _flask(kind: type[Flask] = Flask) -> Flask:
    app = kind("bench", static_folder=None)
    app.add_url_rule("/hello", view_func=hello)
    return app


def _empty() -> Callable[..., list[bytes]]:
    body = TEXT.encode()
    headers = [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(body)))]

    def answer(_: Any, start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", headers)
        return [body]

    return answer


def _watched(*, ids: bool, line: bool) -> Flask:
    from gridos.accesslog import AccessLog  # noqa: PLC0415 — a contestant loads its own only
    from gridos.application import Application  # noqa: PLC0415 — same
    from gridos.exposition import Exposition  # noqa: PLC0415 — same
    from gridos.recorder import Recorder  # noqa: PLC0415 — same
    from gridos.tally import Tally  # noqa: PLC0415 — same
    from gridos.tracecontext import Identifier  # noqa: PLC0415 — same

    app, tally = _flask(Application), Tally()
    Exposition(app, tally)
    identify = Identifier().identify if ids else None
    write = AccessLog("pod-1", "1.0.0").write if line else None
    # What the service's own worker asks for.
    app.config["MAX_CONTENT_LENGTH"] = 1 << 20
    recorder = app.extensions["recorder"] = Recorder(tally, identify, write)
    app.wsgi_app = recorder.around(app.wsgi_app)  # type: ignore[method-assign, assignment]
    return app


def _usual() -> Flask:
    from prometheus_flask_exporter import PrometheusMetrics  # noqa: PLC0415 — each contestant loads its own alone

    app = _flask()
    exporter = PrometheusMetrics(app, export_defaults=False)
    by_status: dict[str, Callable[..., Any]] = {
        "method": lambda: request.method,
        "route": lambda: str(request.url_rule),
        "status": lambda response: response.status_code,
    }
    by_route = {name: by_status[name] for name in ("method", "route")}
    exporter.register_default(
        exporter.counter("http_requests_total", "Requests", labels=by_status),
        exporter.histogram("request_duration_seconds", "Durations", labels=by_route),
        app=app,
    )
    return app


def _usual_log() -> Flask:
    from pythonjsonlogger.json import JsonFormatter  # noqa: PLC0415 — each contestant loads its own alone

    app = _usual()
    log = logging.getLogger("access")
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter("{asctime}{levelname}{message}", style="{"))
    log.addHandler(handler)
    log.setLevel("INFO")

    @app.before_request
    def begin() -> None:
        g.began = time.perf_counter()

    @app.after_request
    def write(response: Any) -> Any:
        fields = {"method": request.method, "path": request.path, "status": response.status_code}
        log.info("request", extra={**fields, "seconds": time.perf_counter() - g.began})
        return response

    return app


def _fastapi() -> Any:
    fastapi = importlib.import_module("fastapi")
    instrumentator = importlib.import_module("prometheus_fastapi_instrumentator")
    app = fastapi.FastAPI()

    async def say() -> str:
        return TEXT

    app.get("/hello")(say)
    instrumentator.Instrumentator().instrument(app).expose(app)
    return app


BUILDERS: Mapping[str, Callable[[], Any]] = {
    "empty": _empty,
    "bare": _flask,
    "metrics": partial(_watched, ids=False, line=False),
    "metrics_ids": partial(_watched, ids=True, line=False),
    "ours": partial(_watched, ids=True, line=True),
    "usual": _usual,
    "usual_log": _usual_log,
    "fastapi_": _fastapi,
}


def __getattr__(name: str) -> Any:
    """Builds a contestant when a server asks for it by name."""
    if name not in BUILDERS:
        raise AttributeError(name)
    return BUILDERS[name]()
