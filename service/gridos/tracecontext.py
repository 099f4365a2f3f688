"""Ids of a request: its own, and those of W3C Trace Context (level 1, `traceparent`).

What a caller sends is taken only if it is well-formed, because it goes into headers and log lines.
"""

from __future__ import annotations

import re
from random import Random
from typing import NamedTuple
from wsgiref.types import WSGIEnvironment

# Where in its environ a request's ids are found, by log lines, errors and tracing.
IDS = "gridos.ids"

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}").fullmatch
# Version 00 has exactly these fields; a later version may have more and is read as far as these.
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}"
    r"-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-.*)?"
).fullmatch
_SAMPLED = 0x01
# Of a trace id and a span id.
_BITS = 192


class Ids(NamedTuple):
    """Hexadecimal, as they are sent; `sampled` is the caller's decision to keep the trace.

    `traceparent` is this request's own, for the answer and for whatever is called from here.
    """

    request: str
    trace: str
    span: str
    sampled: bool
    traceparent: str


class Identifier:
    """Gives each request its ids and leaves them in its environ; to be made after a fork.

    Args:
        kept: Whether a trace that begins here is kept; one that began elsewhere says so itself.
    """

    def __init__(self, *, kept: bool = False) -> None:
        self._kept = kept
        # Seeded by the system; an id has to be another one each time, and is no secret.
        self._random = Random().getrandbits  # noqa: S311 — same

    def identify(self, environ: WSGIEnvironment) -> Ids:
        """The caller's ids where they are sound, and fresh ones where not."""
        fresh = f"{self._random(_BITS):048x}"
        span, trace, sampled = fresh[:16], fresh[16:], self._kept
        request = environ.get("HTTP_X_REQUEST_ID")
        if not request or not _REQUEST_ID(request):
            request = span
        traceparent = environ.get("HTTP_TRACEPARENT")
        found = _TRACEPARENT(traceparent) if traceparent else None
        if found is not None and not (found[3] and found[0].startswith("00")):
            trace, sampled = found[1], bool(int(found[2], 16) & _SAMPLED)
        flags = "01" if sampled else "00"
        ids = environ[IDS] = Ids._make(
            (request, trace, span, sampled, f"00-{trace}-{span}-{flags}")
        )
        return ids
