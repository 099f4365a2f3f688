"""Request bodies: read within bounds of size and time, and unpacked within bounds too."""

from __future__ import annotations

import zlib

from flask import current_app, request
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from gridos import deadlines
from gridos.errors import BodyTooLarge, MalformedBody, SlowBody, WrongMediaType

JSON, LINES = "application/json", "application/x-ndjson"
# A body that unpacks to more than this many times the limit is a bomb and no batch.
MOST_UNPACKED = 8
_GZIP = zlib.MAX_WBITS | 16


def read() -> bytes:
    """The current request's body, unpacked.

    Raises:
        SlowBody, BodyTooLarge, MalformedBody, WrongMediaType: if it cannot be had.
    """
    body = _receive()
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding == "identity":
        return body
    if encoding != "gzip":
        raise WrongMediaType(f"Content-Encoding {encoding!r} is not understood.")
    return _unpack(body, MOST_UNPACKED * current_app.config["MAX_CONTENT_LENGTH"])


def require_media_type(*accepted: str) -> str:
    """The current request's media type, if it is accepted.

    Raises:
        WrongMediaType: if it is not.
    """
    given = request.mimetype
    if given not in accepted:
        raise WrongMediaType(f"Content-Type {given!r} is none of {', '.join(accepted)}.")
    return given


def _receive() -> bytes:
    try:
        body = request.get_data(cache=False)
    except RequestEntityTooLarge:
        raise _too_large() from None
    except (ClientDisconnected, OSError):
        raise _cut_short() from None
    # Without a Content-Length a body that was cut off looks like one that ended.
    if deadlines.has_passed(request.environ):
        raise _cut_short()
    return body


def _too_large() -> BodyTooLarge:
    most = current_app.config["MAX_CONTENT_LENGTH"]
    return BodyTooLarge(f"At most {most} bytes are taken.")


def _cut_short() -> SlowBody | MalformedBody:
    if deadlines.has_passed(request.environ):
        return SlowBody(f"After {deadlines.LONGEST_ARRIVAL_S:.0f} s the body was not complete.")
    return MalformedBody("The body ended before it was complete.")


def _unpack(body: bytes, most: int) -> bytes:
    unpacker = zlib.decompressobj(_GZIP)
    try:
        plain = unpacker.decompress(body, most)
    except zlib.error as failed:
        raise MalformedBody(f"The body is not gzip: {failed}.") from None
    if unpacker.unconsumed_tail:
        raise BodyTooLarge(f"Unpacked, at most {most} bytes are taken.")
    if not unpacker.eof:
        raise MalformedBody("The gzip body ended before it was complete.")
    return plain
