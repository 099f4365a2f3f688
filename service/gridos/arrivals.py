"""A request's body while it arrives on gunicorn's connection, and an answer that comes before it.

An answer that keeps its connection promises that the next request on it is answered. It can only
promise so when nothing of the body is left: a small rest is read, before the answer begins, and
with a larger one the answer says that the connection closes. `Expect: 100-continue` is answered
when the application asks for the body and not before, so one that is refused is never sent.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from gunicorn.http.body import Body, LengthReader
from gunicorn.http.errors import ParseException

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# A rest of at most so much is read, if it is there within so long; gunicorn's own bound of bytes.
MAX_REST_BYTES = 64 * 1024
MAX_REST_S = 0.05


class Arrival(Body):  # type: ignore[misc]
    """A body that knows whether all of it has been read."""

    def __init__(self, request: Any, connection: Any) -> None:
        super().__init__(request.body.reader)
        self._request = request
        self._connection = connection
        self._is_awaited = request._expected_100_continue  # noqa: SLF001 — nothing else tells
        # gunicorn would send it before the application is asked.
        request._expected_100_continue = False  # noqa: SLF001 — same

    def settle(self) -> None:
        """The answer begins: reads a small rest, or lets the answer say that nothing follows."""
        is_small = getattr(self.reader, "length", 0) <= MAX_REST_BYTES
        if self._is_awaited or not is_small or not self._is_read():
            self._request.force_close()

    def _is_read(self) -> bool:
        """Whether all of it is read, or can be now."""
        if self.failed or self._connection.sock.is_late:
            return False
        deadline = time.monotonic() + MAX_REST_S
        try:
            drained: bool = self._connection.parser.finish_body(deadline, MAX_REST_BYTES)
        except (OSError, ParseException):
            return False
        return drained and not self.failed

    def _read_reader(self, size: int) -> bytes:
        if self._is_awaited:
            self._is_awaited = False
            self._connection.sock.sendall(CONTINUE)
        expected = min(size, getattr(self.reader, "length", 0))
        piece: bytes = super()._read_reader(size)
        if len(piece) < expected:
            # The other side ended before its body did: no further request can follow it.
            self.failed = True
        return piece


def has_body(request: Any) -> bool:
    """Whether anything follows a request's head."""
    reader = request.body.reader
    return not isinstance(reader, LengthReader) or reader.length > 0


def settling(application: WSGIApplication) -> WSGIApplication:
    """The application, whose answers begin when their requests' bodies are settled."""

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        arrival = environ["wsgi.input"]
        if not isinstance(arrival, Arrival):
            return application(environ, start_response)

        def start(status: str, headers: list[tuple[str, str]], error: Any = None) -> Any:
            arrival.settle()
            return start_response(status, headers, error)

        return application(environ, start)

    return answer
