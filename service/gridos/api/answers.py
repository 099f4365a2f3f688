"""Answers to reads: JSON with an ETag, and packed where the caller takes it."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
from collections.abc import Iterable
from typing import Any
from wsgiref.types import WSGIEnvironment

import flask
import msgspec
from flask import request
from werkzeug.exceptions import PreconditionFailed

# Below, packing costs more than it saves.
MIN_PACKED_BYTES = 2048
# The fastest level still makes series eight times smaller.
PACKING_LEVEL = 1


# Whose responses have no body, and what the base class makes more of, in lower case.
_BODILESS = frozenset({204, 304})
_ADJUSTED = frozenset({"location", "content-location"})


class Response(flask.Response):
    """A response that hands a body which is there whole to the server, as a list.

    Flask's hands over an iterator, which servers send piece by piece (granian by a task of its own)
    and the recorder has to follow, and goes through its headers four times.
    """

    def get_wsgi_response(
        self, environ: WSGIEnvironment
    ) -> tuple[Iterable[bytes], str, list[tuple[str, str]]]:
        """Body, status and headers, as WSGI has them."""
        parts, headers = self.response, self.headers.to_wsgi_list()
        names = {name.lower() for name, _ in headers}
        if (
            not isinstance(parts, list)
            or "content-length" not in names
            or self.status_code in _BODILESS
            or self._on_close
            or names & _ADJUSTED
        ):
            return super().get_wsgi_response(environ)
        return (parts if environ["REQUEST_METHOD"] != "HEAD" else []), self.status, headers

    def make_conditional(self, *arguments: Any, **options: Any) -> flask.Response:
        """As Flask's, whose reader of dates breaks at a year that Python has not.

        A date that is none is to be ignored (RFC 9110, 13.1.3): the response is sent whole.
        """
        with contextlib.suppress(OverflowError):
            super().make_conditional(*arguments, **options)
        if self.status_code == 412:  # noqa: PLR2004 — 412 says what it is
            # An error has the shape of every other one, and not the resource for its body.
            raise PreconditionFailed
        return self


def reply(value: Any) -> Response:
    """Answers a read with a value, dataclasses included."""
    return reply_json(msgspec.json.encode(value))


def reply_json(body: bytes) -> Response:
    """Answers a read with JSON; 304 if the caller has it already."""
    response = Response(body, mimetype="application/json")
    # Weak, because packed and unpacked are the same content.
    response.set_etag(hashlib.blake2b(body, digest_size=16).hexdigest(), weak=True)
    response.headers["Vary"] = "Accept-Encoding"
    response.make_conditional(request)
    if response.status_code == 200 and len(body) >= MIN_PACKED_BYTES and _takes_gzip():  # noqa: PLR2004 — 200 says what it is
        response.set_data(gzip.compress(body, PACKING_LEVEL, mtime=0))
        response.headers["Content-Encoding"] = "gzip"
    return response


def _takes_gzip() -> bool:
    return request.accept_encodings.quality("gzip") > 0 and "Accept-Encoding" in request.headers
