"""Ids of a request: its own, and those of W3C Trace Context (level 1, `traceparent`).

What a caller sends is taken only if it is well-formed, because it goes into headers and log lines.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# Where in its environ a request's ids are found, by log lines, errors and tracing.
IDS = "gridos.ids"

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}").fullmatch
# Version 00 has exactly these fields; a later version may have more and is read as far as these.
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}"
    r"-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-.*)?"
).fullmatch
_SAMPLED = 0x01


class Ids(NamedTuple):
    """Hexadecimal, as they are sent; `sampled` is the caller's decision to keep the trace."""

    request: str
    trace: str
    span: str
    sampled: bool

    @property
    def traceparent(self) -> str:
        """This request's own, for the answer and for whatever is called from here."""
        return f"00-{self.trace}-{self.span}-{'01' if self.sampled else '00'}"


def identify(request_id: str | None, traceparent: str | None) -> Ids:
    """The caller's ids where they are sound, and fresh ones where not."""
    fresh = os.urandom(24).hex()
    span = fresh[:16]
    request = request_id if request_id and _REQUEST_ID(request_id) else span
    found = _TRACEPARENT(traceparent) if traceparent else None
    if found is None or (found[3] and found[0].startswith("00")):
        return Ids(request, fresh[16:], span, sampled=False)
    return Ids(request, found[1], span, bool(int(found[2], 16) & _SAMPLED))


class Identifier:
    """WSGI middleware: gives each request its ids and sends them back with the response.

    Args:
        inner: The application.
        kept: Whether a trace that begins here is kept; one that began elsewhere says so itself.
    """

    def __init__(self, inner: WSGIApplication, *, kept: bool = False) -> None:
        self._inner = inner
        self._kept = kept

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answers one request as the application does."""
        given = environ.get("HTTP_TRACEPARENT")
        ids = identify(environ.get("HTTP_X_REQUEST_ID"), given)
        if self._kept and given is None:
            ids = ids._replace(sampled=True)
        environ[IDS] = ids

        def start(line: str, headers: list[tuple[str, str]], *rest: Any) -> Callable[..., Any]:
            headers.append(("X-Request-ID", ids.request))
            headers.append(("traceparent", ids.traceparent))
            return start_response(line, headers, *rest)

        return self._inner(environ, start)
