"""Every error a caller can meet, as one tree and one shape: RFC 9457 problem+json.

Anything else that escapes a view is an HTTP error of Flask's own (404, 405, 413, …) or a 500,
and gets the same shape.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import psycopg
from flask import Flask, Response, current_app, json, request
from psycopg_pool import PoolClosed, PoolTimeout
from psycopg_pool import TooManyRequests as PoolFull
from werkzeug.exceptions import HTTPException

from gridos.storage.availability import UNAVAILABLE, fault_of
from gridos.tracecontext import IDS

log = logging.getLogger(__name__)
PROBLEM_JSON = "application/problem+json"


class Problem(Exception):
    """An error with an answer for the caller."""

    status = 500
    slug = "internal-error"
    title = "Something broke on our side"
    remedy = "Try again; if it stays, report the request id."
    retry_after_s: int | None = None

    def __init__(self, detail: str, *, retry_after_s: int | None = None, **members: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.members: Mapping[str, Any] = members
        if retry_after_s is not None:
            self.retry_after_s = retry_after_s


class MalformedBody(Problem):
    """The body is not what its headers say."""

    status = 400
    slug = "malformed-body"
    title = "The body cannot be read"
    remedy = "Send JSON, or one JSON reading a line as application/x-ndjson; gzip is welcome."


class Unauthorised(Problem):
    """The caller may not do this without a key."""

    status = 401
    slug = "unauthorised"
    title = "A valid API key is needed"
    remedy = "Send a key you were given in the X-API-Key header."


class Forbidden(Problem):
    """The key is known and may not do this."""

    status = 403
    slug = "forbidden"
    title = "This key may not do that"
    remedy = "Ask for a key with the scope that the detail names."


class UnknownFeeder(Problem):
    """There is no such feeder."""

    status = 404
    slug = "unknown-feeder"
    title = "There is no such feeder"
    remedy = "GET /v1/feeders lists the ones there are."


class UnknownBus(Problem):
    """There is no such bus."""

    status = 404
    slug = "unknown-bus"
    title = "There is no such bus"
    remedy = "GET /v1/feeders/{feeder_id}/buses lists the ones there are."


class SlowBody(Problem):
    """The body came too slowly."""

    status = 408
    slug = "slow-body"
    title = "The body did not arrive in time"
    remedy = "Send the whole request within 10 s; split a large batch or compress it."


class NetworkConflict(Problem):
    """A network of this id is stored, and differs."""

    status = 409
    slug = "network-exists"
    title = "Another network has this id"
    remedy = "Give the feeder an id of its own; networks are never overwritten."


class ReadingsConflict(Problem):
    """Readings are stored with other values, and the sender asked for a refusal; nothing stored."""

    status = 409
    slug = "readings-differ"
    title = "Readings are stored with other values"
    remedy = (
        "Send on_conflict=replace to correct them, or on_conflict=ignore to keep what is stored."
    )


class UnsolvableState(Problem):
    """The loads have no power flow solution."""

    status = 409
    slug = "no-power-flow-solution"
    title = "These loads have no power flow solution"
    remedy = "Look for a wrong reading: more is drawn than the lines could carry."


class LengthRequired(Problem):
    """The body has no length, and this server does not tell where one was cut off."""

    status = 411
    slug = "length-required"
    title = "The body's length is needed"
    remedy = "Send a Content-Length instead of chunks."


class BodyTooLarge(Problem):
    """The body is too large, as sent or unpacked."""

    status = 413
    slug = "body-too-large"
    title = "The body is too large"
    remedy = "Split the batch; gzip makes it about eight times smaller."


class WrongMediaType(Problem):
    """The body is of a type that is not taken."""

    status = 415
    slug = "wrong-media-type"
    title = "This media type is not taken here"
    remedy = "Send application/json or application/x-ndjson, as it is or with gzip."


class InvalidReadings(Problem):
    """A batch with something wrong in it; nothing of it was stored."""

    status = 422
    slug = "invalid-readings"
    title = "The batch was refused as a whole"
    remedy = "Correct the rows named under `rows` and send the batch again."


class InvalidNetwork(Problem):
    """A network with something wrong in it; nothing of it was stored."""

    status = 422
    slug = "invalid-network"
    title = "The network was refused as a whole"
    remedy = "Correct what is named under `faults` and send the network again."


class InvalidParameters(Problem):
    """Query parameters that do not make sense."""

    status = 422
    slug = "invalid-parameters"
    title = "The query parameters do not make sense"
    remedy = "Correct what is named under `faults`; /v1/docs says what each may be."


class TooExpensive(Problem):
    """A read that costs more than one request may."""

    status = 422
    slug = "too-expensive"
    title = "This read costs more than one request may"
    remedy = (
        "Ask for a shorter range, for one bus, or for fewer rows, and follow `next` from there."
    )


class TooManyRequests(Problem):
    """A key or an address is used too often."""

    status = 429
    slug = "too-many-requests"
    title = "Too many requests"
    remedy = "Nothing was stored. Send again after Retry-After seconds, in larger batches."


class Busy(Problem):
    """Another expensive request is being answered."""

    status = 429
    slug = "busy"
    title = "Too many expensive requests at once"
    remedy = "Send the same request again after Retry-After seconds, or ask for less."
    retry_after_s = 1


class DatabaseUnavailable(Problem):
    """The database did not answer in time."""

    status = 503
    slug = "database-unavailable"
    title = "The database does not answer"
    # A connection that broke while it committed may have stored the batch all the same.
    remedy = (
        "Send the same request again after Retry-After seconds; what is sent twice is stored once."
    )
    # Long enough for a failover to have a chance, short enough that a meter's buffer holds.
    retry_after_s = 5


def init_app(app: Flask) -> None:
    """Answers every error in one shape."""
    app.register_error_handler(Problem, answer)
    app.register_error_handler(HTTPException, _answer_http)
    for kind in (psycopg.OperationalError, *UNAVAILABLE, PoolTimeout, PoolFull, PoolClosed):
        app.register_error_handler(kind, _answer_database)
    app.register_error_handler(Exception, _answer_unexpected)


def answer(problem: Problem) -> Response:
    """A problem as the response to the current request."""
    ids = request.environ.get(IDS)
    words = (problem.slug, problem.title, problem.detail, problem.remedy)
    body = describe(problem.status, *words, ids.request if ids else "")
    response: Response = current_app.response_class(
        json.dumps({**body, **problem.members}), status=problem.status, mimetype=PROBLEM_JSON
    )
    if problem.retry_after_s is not None:
        response.headers["Retry-After"] = str(problem.retry_after_s)
    return response


def describe(
    status: int, slug: str, title: str, detail: str, remedy: str, request_id: str
) -> dict[str, Any]:
    """The members that every problem has."""
    return {
        "type": f"urn:gridos:problem:{slug}",
        "title": title,
        "status": status,
        "detail": detail,
        "remedy": remedy,
        "request_id": request_id,
    }


def _answer_http(error: HTTPException) -> Response:
    problem = Problem(error.description or error.name)
    problem.status, problem.title = error.code or 500, error.name
    problem.slug = error.name.lower().replace(" ", "-")
    problem.remedy = "/v1/docs lists the routes and what they take."
    response = answer(problem)
    # Flask's own headers (Allow on a 405) are part of the answer.
    response.headers.extend(
        (name, value) for name, value in error.get_headers() if name.lower() != "content-type"
    )
    return response


def _answer_database(error: Exception) -> Response:
    log.warning("request without the database", extra={"cause": str(error).strip()})
    known = current_app.extensions["availability"].fault
    fault = fault_of(error) if isinstance(error, psycopg.Error) else known
    cause = f": {fault.text}" if fault is not None else " in time"
    return answer(DatabaseUnavailable(f"The request could not be carried out{cause}."))


def _answer_unexpected(error: Exception) -> Response:
    log.error("unhandled exception", exc_info=error)
    return answer(Problem("The error was logged under this request id."))
