"""Counts and logs every response, once, where all of them pass: around the WSGI application.

prometheus-flask-exporter carries the registry and /metrics, as its users know it; its own hooks
are not used to record, because they miss what never reaches a view (404, 405, an abort or an
exception in before_request), and a gate cannot stop a release by failures nobody counted.

The contract, which the canary's gates are written against:

    http_requests_total{method, route, status}      counter
    request_duration_seconds{method, route}         histogram, with a bound at the gate's 0.25 s
    http_requests_in_flight                         gauge

`route` is the rule's template and never the path. Probes and /metrics are not counted. Failures
stand at zero from the first scrape, so that the first one is an increase. A response is counted
when its last byte has been handed over; one that breaks on its way is a 500, whatever
its head said.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from json.encoder import encode_basestring_ascii as quote
from time import perf_counter
from typing import TYPE_CHECKING, Any

from flask import Flask

from gridos.tally import Tally
from gridos.tracecontext import Ids, identify

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

UNMATCHED = "<unmatched>"
UNCOUNTED = frozenset({"/metrics", "/livez", "/readyz"})
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# Flask adds HEAD and OPTIONS to every route; standing at zero they would only be scraped in vain.
ZEROED = METHODS - {"HEAD", "OPTIONS"}


def init_app(app: Flask, tally: Tally) -> None:
    """Wraps the application; call it after every route is registered."""
    tally.start_at_zero([*_routes(app), *((method, UNMATCHED) for method in ("GET", "POST"))])
    settings = app.extensions["settings"]
    app.wsgi_app = Recorder(  # type: ignore[method-assign]
        app.wsgi_app, tally, settings.pod, settings.version, kept=settings.traces != "off"
    )


class Recorder:
    """WSGI middleware: ids for each request, a count, a duration and a log line."""

    def __init__(
        self, inner: WSGIApplication, tally: Tally, pod: str, version: str, *, kept: bool = False
    ) -> None:
        self._inner = inner
        self.tally = tally
        self._line_end = f',"pod":{quote(pod)},"version":{quote(version)}}}\n'
        # Whether a trace that begins here is kept; one that began elsewhere says so itself.
        self._kept = kept
        self._out = sys.stdout.fileno()
        self._clock = (0, "")
        self._quoted: dict[str, str] = {}

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
        response.body = body
        return response

    def identify(self, environ: WSGIEnvironment) -> Ids:
        """The ids of a request, left in its environ for log lines and tracing."""
        given = environ.get("HTTP_TRACEPARENT")
        ids = identify(environ.get("HTTP_X_REQUEST_ID"), given)
        if self._kept and given is None:
            ids = ids._replace(sampled=True)
        environ["gridos.ids"] = ids
        return ids

    def write(self, method: str, route: str, status: str, seconds: float, ids: Ids) -> None:
        """Writes the access line."""
        route = self._quoted.get(route) or self._quoted.setdefault(route, quote(route))
        line = (
            f'{{"timestamp":"{self._now()}","level":"INFO","logger":"gridos.access",'
            f'"message":"request","method":"{method}","route":{route},"status":{status},'
            f'"duration_ms":{seconds * 1000:.2f},"request_id":"{ids.request}",'
            f'"trace_id":"{ids.trace}","span_id":"{ids.span}"{self._line_end}'
        )
        # One write: lines of several threads never mix, and no logging machinery is paid for.
        os.write(self._out, line.encode())

    def _now(self) -> str:
        """UTC with milliseconds; the part up to the second is made once a second."""
        now = time.time()
        second, text = self._clock
        if second != int(now):
            second = int(now)
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._clock = second, text
        return f"{text}.{int((now - second) * 1000):03d}+00:00"


class _Response:
    """One response on its way out: its start, its body, and the record made at its end."""

    __slots__ = (
        "_began", "_environ", "_finished", "_ids", "_next", "_recorder", "_route", "_shard",
        "_start_response", "_status", "body",
    )  # fmt: skip

    body: Iterable[bytes]

    def __init__(
        self, recorder: Recorder, environ: WSGIEnvironment, start_response: StartResponse
    ) -> None:
        self._began = perf_counter()
        self._recorder = recorder
        self._environ = environ
        self._start_response = start_response
        self._status = "500"
        self._route = UNMATCHED
        self._finished = False
        self._ids = recorder.identify(environ)
        self._shard = recorder.tally.shard()
        self._shard.in_flight += 1

    def start(self, status: str, headers: list[tuple[str, str]], *rest: Any) -> Callable[..., Any]:
        """Takes note of status and route, which is known only while the request's context is."""
        self._status = status[:3]
        request = self._environ.get("werkzeug.request")
        rule = getattr(request, "url_rule", None)
        self._route = rule.rule if rule is not None else UNMATCHED
        headers.append(("X-Request-ID", self._ids.request))
        headers.append(("traceparent", self._ids.traceparent))
        return self._start_response(status, headers, *rest)

    def __iter__(self) -> Iterator[bytes]:
        self._next = iter(self.body).__next__
        return self

    def __next__(self) -> bytes:
        try:
            return self._next()
        except StopIteration:
            raise
        except BaseException:
            # Its head is gone with whatever status; what the caller got is a failure.
            self.finish("500")
            raise

    def close(self) -> None:
        """Called by the server in any case, also when the caller has gone away."""
        try:
            close = getattr(self.body, "close", None)
            if close is not None:
                close()
        finally:
            self.finish(self._status)

    def finish(self, status: str) -> None:
        """Records the response; the first call counts."""
        if self._finished:
            return
        self._finished = True
        self._shard.in_flight -= 1
        seconds = perf_counter() - self._began
        method = self._environ["REQUEST_METHOD"]
        if method not in METHODS:
            method = "other"
        ids, recorder = self._ids, self._recorder
        trace_id = ids.trace if ids.sampled else None
        recorder.tally.add(method, self._route, status, seconds, trace_id)
        recorder.write(method, self._route, status, seconds, ids)


def _routes(app: Flask) -> list[tuple[str, str]]:
    """(method, template) of everything that is counted."""
    return [
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in sorted(ZEROED & (rule.methods or set()))
        if rule.rule not in UNCOUNTED
    ]
