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
when its last byte has been handed over to the server; one that breaks before is a 500, whatever its
head said. A request without an answer is a 504 as soon as its caller has stopped waiting.
"""

from __future__ import annotations

import contextlib
import logging
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from threading import get_ident
from time import perf_counter, time
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Flask
from werkzeug.exceptions import HTTPException
from werkzeug.routing import MapAdapter, Rule

from gridos.accesslog import AccessLog
from gridos.tally import BOUNDS_S, Tally
from gridos.tracecontext import Identifier, Ids

log = logging.getLogger(__name__)
UNMATCHED = "<unmatched>"
FAILED = "500"
GAVE_UP = "504"
# In the environ of a request that was counted before its answer: whoever asked no longer waits.
OVERDUE = "gridos.overdue"
OTHER = "other"
UNCOUNTED = frozenset({"/metrics", "/livez", "/readyz"})
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# Flask adds HEAD and OPTIONS to every route; standing at zero they would only be scraped in vain.
ZEROED = METHODS - {"HEAD", "OPTIONS"}


def init_app(app: Flask, tally: Tally) -> None:
    """Wraps the application; call it after every route is registered."""
    tally.start_at_zero([*_routes(app), *((method, UNMATCHED) for method in ("GET", "POST"))])
    settings = app.extensions["settings"]
    recorder = app.extensions["recorder"] = Recorder(
        tally,
        Identifier(kept=settings.traces != "off").identify,
        AccessLog(settings.pod, settings.version).write,
        app.url_map.bind(""),
    )
    app.wsgi_app = recorder.around(app.wsgi_app)  # type: ignore[method-assign, assignment]


@dataclass(frozen=True)
class Recorder:
    """Makes WSGI middleware: a count and a duration for each response.

    Args:
        tally: What counts.
        identify: Gives each request its ids, which are left in its environ and sent back.
        write: Writes the access line; needs `identify`.
        routes: Finds the rule of a request that no view was asked for.
    """

    tally: Tally
    identify: Callable[[WSGIEnvironment], Ids] | None = None
    write: Callable[[str, str, str, float, Ids], None] | None = None
    routes: MapAdapter | None = None

    def give_up(self, method: str, path: str, seconds: float) -> None:
        """Counts a request that nobody waits for any longer, once and for all."""
        if path in UNCOUNTED:
            return
        rule = self._rule(method, path)
        route = UNMATCHED if rule is None else rule.rule
        self.tally.add(method if method in METHODS else OTHER, route, GAVE_UP, seconds, None)
        said = {"method": method, "route": route, "status": int(GAVE_UP)}
        log.error("a request was not answered in time", extra=said)

    def _rule(self, method: str, path: str) -> Rule | None:
        if self.routes is None:
            return None
        with contextlib.suppress(HTTPException):
            rule, _ = self.routes.match(path, method, return_rule=True)
            return rule
        return None

    def around(self, inner: WSGIApplication) -> WSGIApplication:  # noqa: C901, PLR0915 — as below
        """An application whose responses are recorded.

        Functions that count in place, and not an object with methods: a call costs more than most
        of what is done in it.
        """
        shards, identify, write = self.tally.shards, self.identify, self.write

        def application(  # noqa: C901, PLR0915 — one function on purpose
            environ: WSGIEnvironment, start_response: StartResponse
        ) -> Iterable[bytes]:
            if environ["PATH_INFO"] in UNCOUNTED:
                return inner(environ, start_response)
            began = perf_counter()
            begun = shards[get_ident()]
            begun.in_flight += 1
            begun.since = began
            ids = identify(environ) if identify is not None else None
            status = FAILED
            rule: Rule | None = None

            def start(line: str, headers: list[tuple[str, str]], error: Any = None) -> Any:
                # The rule is known only while the request's context is.
                nonlocal status, rule
                status = line[:3]
                request = environ.get("werkzeug.request")
                if request is not None:
                    rule = request.url_rule
                if ids is not None:
                    headers += (("X-Request-ID", ids.request), ("traceparent", ids.traceparent))
                # A call that passes nothing on is the cheaper one, and nearly every one.
                if error is None:
                    return start_response(line, headers)
                return start_response(line, headers, error)

            def record(status: str) -> None:
                seconds = perf_counter() - began
                method = environ["REQUEST_METHOD"]
                if method not in METHODS:
                    method = OTHER
                route = UNMATCHED if rule is None else rule.rule
                # The thread that ends a response need not be the one that began it.
                shard = shards[get_ident()]
                shard.in_flight -= 1
                begun.since = None
                if OVERDUE in environ:
                    return
                cell = shard.cells[method, route, status]
                bucket = bisect_left(BOUNDS_S, seconds)
                cell.buckets[bucket] += 1
                cell.total_s += seconds
                if ids is not None:
                    if ids.sampled:
                        cell.exemplars[bucket] = (ids.trace, seconds, time())
                    if write is not None:
                        write(method, route, status, seconds, ids)

            def follow(body: Iterable[bytes]) -> Iterator[bytes]:
                """Yields nothing once, so that whatever happens then is recorded, and the body."""
                end = FAILED  # its head may be gone, but what the caller got is a failure
                try:
                    yield b""
                    # Not `yield from`: it would close the body itself, and so a second time.
                    for part in body:  # noqa: UP028
                        yield part
                    end = status
                except GeneratorExit:
                    # The caller has gone away, and what it was sent had this status.
                    end = status
                    raise
                finally:
                    try:
                        if hasattr(body, "close"):
                            body.close()
                    finally:
                        record(end)

            try:
                body = inner(environ, start)
            except BaseException:
                rule = self._rule(environ["REQUEST_METHOD"], environ["PATH_INFO"])
                record(FAILED)
                raise
            if type(body) is list:
                # All of it is handed over now.
                record(status)
                return body
            followed = follow(body)
            next(followed)
            return followed

        return application


def _routes(app: Flask) -> list[tuple[str, str]]:
    """(method, template) of everything that is counted."""
    return [
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in sorted(ZEROED & (rule.methods or set()))
        if rule.rule not in UNCOUNTED
    ]
