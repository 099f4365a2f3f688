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

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from threading import get_ident
from time import perf_counter, time
from typing import TYPE_CHECKING, Any

from flask import Flask

from gridos.accesslog import AccessLog
from gridos.tally import BOUNDS_S, Tally
from gridos.tracecontext import Identifier, Ids

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

UNMATCHED = "<unmatched>"
FAILED = "500"
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
    )
    app.wsgi_app = recorder.around(app.wsgi_app)  # type: ignore[method-assign, assignment]


@dataclass(frozen=True)
class Recorder:
    """Makes WSGI middleware: a count and a duration for each response.

    Args:
        tally: What counts.
        identify: Gives each request its ids, which are left in its environ and sent back.
        write: Writes the access line; needs `identify`.
    """

    tally: Tally
    identify: Callable[[WSGIEnvironment], Ids] | None = None
    write: Callable[[str, str, str, float, Ids], None] | None = None

    def around(self, inner: WSGIApplication) -> WSGIApplication:  # noqa: C901, PLR0915 — as below
        """An application whose responses are recorded.

        Functions that count in place, and not an object with methods: a call costs more than most
        of what is done in it.
        """
        shards, identify, write = self.tally.shards, self.identify, self.write

        def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            if environ["PATH_INFO"] in UNCOUNTED:
                return inner(environ, start_response)
            answer = answering(environ, start_response)
            # As far as the application goes before its body, so that whatever happens is recorded.
            next(answer)
            return answer

        def answering(  # noqa: C901, PLR0915 — one function on purpose
            environ: WSGIEnvironment, start_response: StartResponse
        ) -> Iterator[bytes]:
            """Yields once when the application has answered, and then the parts of its body."""
            began = perf_counter()
            begun = shards[get_ident()]
            begun.in_flight += 1
            begun.since = began
            ids = identify(environ) if identify is not None else None
            body: Iterable[bytes] = ()
            status, rule = FAILED, None

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

            try:
                body = inner(environ, start)
                yield b""
                # Not `yield from`: it would close the body itself, and then it were closed twice.
                for part in body:  # noqa: UP028
                    yield part
            except GeneratorExit:
                # The caller has gone away, and what it was sent had this status.
                raise
            except BaseException:
                # Its head may be gone with whatever status; what the caller got is a failure.
                status = FAILED
                raise
            finally:
                try:
                    if hasattr(body, "close"):
                        body.close()
                finally:
                    seconds = perf_counter() - began
                    method = environ["REQUEST_METHOD"]
                    if method not in METHODS:
                        method = "other"
                    route = UNMATCHED if rule is None else rule.rule
                    # The thread that ends a response need not be the one that began it.
                    shard = shards[get_ident()]
                    shard.in_flight -= 1
                    begun.since = None
                    cell = shard.cells[method, route, status]
                    bucket = bisect_left(BOUNDS_S, seconds)
                    cell.buckets[bucket] += 1
                    cell.total_s += seconds
                    if ids is not None:
                        if ids.sampled:
                            cell.exemplars[bucket] = (ids.trace, seconds, time())
                        if write is not None:
                            write(method, route, status, seconds, ids)

        return application


def _routes(app: Flask) -> list[tuple[str, str]]:
    """(method, template) of everything that is counted."""
    return [
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in sorted(ZEROED & (rule.methods or set()))
        if rule.rule not in UNCOUNTED
    ]
