"""Counts and logs every response, once, where all of them pass: around the WSGI application.

prometheus-flask-exporter carries the registry and /metrics, as its users know it; its own hooks
are not used to record, because they miss what never reaches a view (404, 405, an abort or an
exception in before_request), and a gate cannot stop a release by failures nobody counted.

The contract, which the canary's gates are written against:

    http_requests_total{method, route, status}      counter
    request_duration_seconds{method, route}         histogram, with a bound at the gate's 0.25 s

`route` is the rule's template and never the path. Probes and /metrics are not counted. Failures
stand at zero from the first scrape, so that the first one is an increase.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii as quote
from typing import TYPE_CHECKING, Any

from flask import Flask, request
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_flask_exporter import PrometheusMetrics

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

UNMATCHED = "<unmatched>"
UNCOUNTED = frozenset({"/metrics", "/livez", "/readyz"})
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
FAILURES = ("500", "502", "503", "504")
# A bound at the gate's threshold makes its verdict exact; its neighbours keep the shown p95 honest.
BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.225, 0.25, 0.275, 0.3, 0.4, 0.5, 1, 2.5, 10)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def init_app(app: Flask) -> None:
    """Wraps the application; call it after every route is registered."""
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    metrics = PrometheusMetrics(app, path="/metrics", export_defaults=False, registry=registry)
    app.extensions["metrics"] = metrics
    settings = app.extensions["settings"]
    build = Gauge("gridos_build_info", "The release", ["version"], registry=registry)
    build.labels(settings.version).set(1)
    recorder = Recorder(app, registry, settings.pod, settings.version)
    app.wsgi_app = recorder  # type: ignore[method-assign]


class Recorder:
    """WSGI middleware: an id for each request, a count, a duration and a log line."""

    def __init__(self, app: Flask, registry: CollectorRegistry, pod: str, version: str) -> None:
        self._inner: WSGIApplication = app.wsgi_app
        self._requests = Counter(
            "http_requests_total",
            "Responses sent, by method, route template and status",
            ["method", "route", "status"],
            registry=registry,
        )
        self._durations = Histogram(
            "request_duration_seconds",
            "Time from a request's arrival to the last byte of its response",
            ["method", "route"],
            buckets=BOUNDS_S,
            registry=registry,
        )
        # `.labels()` costs more than the count itself; each child is looked up once.
        self._counters: dict[tuple[str, str, str], Counter] = {}
        self._histograms: dict[tuple[str, str], Histogram] = {}
        self._line_end = f',"pod":{quote(pod)},"version":{quote(version)}}}\n'
        self._start_at_zero(app)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answers one request as the application does."""
        if environ["PATH_INFO"] in UNCOUNTED:
            return self._inner(environ, start_response)
        response = _Response(self, environ, start_response)
        try:
            body = self._inner(environ, response.start)
        except BaseException:
            response.finish("500")
            raise
        return response.carry(body)

    def record(self, method: str, route: str, status: str, seconds: float, request_id: str) -> None:
        """Counts one response and writes its access line."""
        self._counter(method, route, status).inc()
        self._histogram(method, route).observe(seconds)
        instant = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = (
            f'{{"timestamp":"{instant}","level":"INFO","logger":"gridos.access",'
            f'"message":"request","method":"{method}","route":{quote(route)},"status":{status},'
            f'"duration_ms":{seconds * 1000:.2f},"request_id":"{request_id}"{self._line_end}'
        )
        # One write: lines of several threads never mix, and no logging machinery is paid for.
        os.write(sys.stdout.fileno(), line.encode())

    def _counter(self, method: str, route: str, status: str) -> Counter:
        key = (method, route, status)
        if key not in self._counters:
            self._counters[key] = self._requests.labels(*key)
        return self._counters[key]

    def _histogram(self, method: str, route: str) -> Histogram:
        key = (method, route)
        if key not in self._histograms:
            self._histograms[key] = self._durations.labels(*key)
        return self._histograms[key]

    def _start_at_zero(self, app: Flask) -> None:
        for method, route in [*_routes(app), *((method, UNMATCHED) for method in ("GET", "POST"))]:
            self._histogram(method, route)
            for status in FAILURES:
                self._counter(method, route, status)


class _Response:
    """One response on its way out; counted when its last byte has been handed over."""

    def __init__(
        self, recorder: Recorder, environ: WSGIEnvironment, start_response: StartResponse
    ) -> None:
        self._recorder = recorder
        self._environ = environ
        self._start_response = start_response
        self._began = time.perf_counter()
        self._status = "500"
        self._route = UNMATCHED
        self._request_id = _request_id(environ.get("HTTP_X_REQUEST_ID", ""))
        self._finished = False
        environ["gridos.request_id"] = self._request_id

    def start(self, status: str, headers: list[tuple[str, str]], *rest: Any) -> Callable[..., Any]:
        """Takes note of status and route, which is known only while the request's context is."""
        self._status = status[:3]
        rule = request.url_rule if request else None
        self._route = rule.rule if rule is not None else UNMATCHED
        headers.append(("X-Request-ID", self._request_id))
        return self._start_response(status, headers, *rest)

    def carry(self, body: Iterable[bytes]) -> Iterable[bytes]:
        """Hands the body on; a failure while it is sent is a failed response."""
        return _Body(body, self)

    def finish(self, status: str | None = None) -> None:
        """Records the response; the first call counts."""
        if self._finished:
            return
        self._finished = True
        method = self._environ["REQUEST_METHOD"]
        self._recorder.record(
            method if method in METHODS else "other",
            self._route,
            status or self._status,
            time.perf_counter() - self._began,
            self._request_id,
        )


class _Body:
    """A response body that reports its end."""

    def __init__(self, inner: Iterable[bytes], response: _Response) -> None:
        self._inner = inner
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._inner
        except BaseException:
            self._response.finish("500")
            raise

    def close(self) -> None:
        """Called by the server in any case, also when the caller has gone away."""
        try:
            close = getattr(self._inner, "close", None)
            if close is not None:
                close()
        finally:
            self._response.finish()


def _routes(app: Flask) -> list[tuple[str, str]]:
    """(method, template) of everything that is counted."""
    return [
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in sorted(rule.methods or ())
        if rule.rule not in UNCOUNTED
    ]


def _request_id(given: str) -> str:
    """The caller's id if it is a harmless one, else a fresh one."""
    return given if _REQUEST_ID.fullmatch(given) else os.urandom(8).hex()
