"""What the server answers by itself: to what is no HTTP request, which no application ever sees.

In the shape of every other error, with a request id, counted and logged as every response is. All
of it is the caller's doing, so none of it is a 5xx that a gate would blame a release for; that is
why a transfer coding that nobody knows is a 400 here, and not the 501 of the RFC.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from flask import Flask
from gunicorn import util
from gunicorn.http import errors

from gridos.errors import PROBLEM_JSON, Problem, describe
from gridos.tracecontext import IDS

log = logging.getLogger(__name__)
MAX_CAUSE = 200
# By the kind of fault: status, slug, title and remedy.
_KINDS = {
    errors.LimitRequestLine: (
        414,
        "request-line-too-long",
        "The request line is too long",
        "Send at most 8190 bytes of method, path and query.",
    ),
    errors.LimitRequestHeaders: (
        431,
        "headers-too-large",
        "The headers are too large",
        "Send at most 100 headers of at most 8190 bytes each.",
    ),
    errors.ExpectationFailed: (
        417,
        "expectation-failed",
        "This expectation cannot be met",
        "Leave the Expect header out, or send 100-continue.",
    ),
}
_MALFORMED = (
    400,
    "malformed-request",
    "This is not an HTTP/1.1 request",
    "Send it as RFC 9112 has it; any client library does.",
)
_BROKEN = (Problem.status, Problem.slug, Problem.title, Problem.remedy)


class Rejecter:
    """Answers in the application's place, and counts with it."""

    def __init__(self, application: Flask) -> None:
        self._recorder = application.extensions["recorder"]

    def answer(self, connection: Any, address: Any, error: BaseException) -> None:
        """Answers what could not be read, or what broke while it was answered."""
        if isinstance(error, errors.ParseException):
            log.warning("request refused", extra={"cause": _cause(error), "address": address})
            status, *words = next(
                (k for t, k in _KINDS.items() if isinstance(error, t)), _MALFORMED
            )
            serve = self._recorder.around(_refusing(status, words, _cause(error)))
        else:
            # It was counted as a failure where it broke.
            log.error("unhandled exception", exc_info=error)
            status, *words = _BROKEN
            serve = _refusing(status, words, "The error was logged.")
        _send(connection, serve)


def _refusing(status: int, words: list[str], detail: str) -> Any:
    """An application that has this one answer."""
    slug, title, remedy = words

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        ids = environ.get(IDS)
        body = describe(status, slug, title, detail, remedy, ids.request if ids else "")
        content = json.dumps(body).encode()
        headers = [("Content-Type", PROBLEM_JSON), ("Content-Length", str(len(content)))]
        start_response(f"{status} {HTTPStatus(status).phrase}", headers)
        return [content]

    return application


def _send(connection: Any, serve: Any) -> None:
    head = b""

    def start(line: str, headers: list[tuple[str, str]], _: Any = None) -> Any:
        nonlocal head
        named = [*headers, ("Connection", "close"), ("Date", util.http_date())]
        lines = [f"HTTP/1.1 {line}", *(f"{name}: {value}" for name, value in named), "", ""]
        head = "\r\n".join(lines).encode("latin-1")

    answer = serve({"PATH_INFO": "", "REQUEST_METHOD": ""}, start)
    try:
        content = b"".join(answer)
        # Small enough for any socket's buffer: a caller that does not read holds nobody up.
        with contextlib.suppress(OSError):
            util.write_nonblock(connection, head + content)
    finally:
        if hasattr(answer, "close"):
            answer.close()


def _cause(error: BaseException) -> str:
    """What gunicorn says, without the bytes that it may quote at length."""
    return str(error)[:MAX_CAUSE]
