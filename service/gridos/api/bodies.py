"""Request bodies: read within bounds of size and time, and unpacked within bounds too."""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from typing import IO

from flask import current_app, request

from gridos import deadlines
from gridos.errors import BodyTooLarge, LengthRequired, MalformedBody, SlowBody, WrongMediaType

JSON, LINES = "application/json", "application/x-ndjson"
# A body that unpacks to more than this many times the limit is a bomb and no batch.
MAX_UNPACKED = 8
# Servers whose stream just ends where a chunk is malformed or missing: what came before it would be
# stored, and the rest lost with a good answer.
CUTTING = frozenset({"granian"})
_PIECE_BYTES = 64 * 1024


def read() -> bytes:
    """The current request's body, unpacked.

    Raises:
        SlowBody, BodyTooLarge, MalformedBody, WrongMediaType: if it cannot be had.
    """
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise WrongMediaType(f"Content-Encoding {encoding!r} is not understood.")
    most = current_app.config["MAX_CONTENT_LENGTH"]
    body = _receive(most)
    return body if encoding == "identity" else _unpack(body, MAX_UNPACKED * most)


def require_media_type(*accepted: str) -> str:
    """The current request's media type, if it is accepted.

    Raises:
        WrongMediaType: if it is not.
    """
    given = request.mimetype
    if given not in accepted:
        raise WrongMediaType(f"Content-Type {given!r} is none of {', '.join(accepted)}.")
    return given


def _receive(most: int) -> bytes:
    """What was sent, up to its end and to the limit, however it is framed."""
    length = request.content_length
    if length is None and current_app.extensions["settings"].server in CUTTING:
        raise LengthRequired("Here a body that was cut off in a chunk would look like a whole one.")
    if length is not None and length > most:
        raise _too_large(most)
    body = bytearray()
    for piece in _pieces(length):
        body += piece
        if len(body) > most:
            raise _too_large(most)
    # Without a Content-Length a body that was cut off looks like one that ended.
    if deadlines.has_passed(request.environ) or (length is not None and len(body) < length):
        raise _cut_short()
    return bytes(body)


def _pieces(length: int | None) -> Iterator[bytes]:
    """What arrives, piece by piece; without a length a server must tell the end by itself."""
    arriving: IO[bytes] = request.environ["wsgi.input"]
    left = length if length is not None else sys.maxsize
    if length is None and not request.environ.get("wsgi.input_terminated"):
        return
    while left:
        try:
            piece = arriving.read(min(left, _PIECE_BYTES))
        except Exception:  # noqa: BLE001 — each server has its own errors for a malformed chunk
            raise _cut_short() from None
        if not piece:
            return
        left -= len(piece)
        yield piece


def _too_large(most: int) -> BodyTooLarge:
    return BodyTooLarge(f"At most {most} bytes are taken.")


def _cut_short() -> SlowBody | MalformedBody:
    if deadlines.has_passed(request.environ):
        return SlowBody(f"After {deadlines.MAX_ARRIVAL_S:.0f} s the body was not complete.")
    return MalformedBody("The body ended before it was complete, or its chunks are malformed.")


def _unpack(body: bytes, most: int) -> bytes:
    """Every member of a gzip body, as RFC 1952 has it and as appending loggers write it."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as packed:
            plain = packed.read(most + 1)
    except EOFError:
        raise MalformedBody("The gzip body ended before it was complete.") from None
    except (OSError, zlib.error) as failed:
        raise MalformedBody(f"The body is not gzip: {failed}.") from None
    if len(plain) > most:
        raise BodyTooLarge(f"Unpacked, at most {most} bytes are taken.")
    if not body:
        raise MalformedBody("The body is not gzip: it is empty.")
    return plain
