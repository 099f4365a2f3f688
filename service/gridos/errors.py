"""Every error a caller can meet, as one tree and one shape: RFC 9457 problem+json.

Problem                 slug, status, cause, remedy
├── Unauthorised        401  no key, or not a known one
├── UnknownFeeder       404
├── InvalidReadings     422  every bad row named; nothing stored
└── DatabaseUnavailable 503  with Retry-After; nothing stored

Anything else that escapes a view is an HTTP error of Flask's own (404, 405, 413, …) or a 500,
and gets the same shape.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, ClassVar

import psycopg
from flask import Flask, Response, current_app, json, request
from psycopg_pool import PoolTimeout, TooManyRequests
from werkzeug.exceptions import HTTPException

log = logging.getLogger(__name__)
PROBLEM_JSON = "application/problem+json"
# Long enough for a failover to have a chance, short enough that a meter's buffer holds.
RETRY_AFTER_S = 5


class Problem(Exception):
    """An error with an answer for the caller."""

    status: ClassVar[int] = 500
    slug: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "Something broke on our side"
    remedy: ClassVar[str] = "Try again; if it stays, report the request id."

    def __init__(self, detail: str, **members: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.members: Mapping[str, Any] = members


class Unauthorised(Problem):
    """The caller may not write."""

    status = 401
    slug = "unauthorised"
    title = "A valid API key is needed to write"
    remedy = "Send a key you were given in the X-API-Key header."


class UnknownFeeder(Problem):
    """There is no such feeder."""

    status = 404
    slug = "unknown-feeder"
    title = "There is no such feeder"
    remedy = "GET /v1/feeders lists the ones there are."


class InvalidReadings(Problem):
    """A batch with something wrong in it; nothing of it was stored."""

    status = 422
    slug = "invalid-readings"
    title = "The batch was refused as a whole"
    remedy = "Correct the rows named under `rows` and send the batch again."


class DatabaseUnavailable(Problem):
    """The database did not answer in time."""

    status = 503
    slug = "database-unavailable"
    title = "The database does not answer"
    remedy = "Nothing was stored. Send the same request again after Retry-After seconds."


def init_app(app: Flask) -> None:
    """Answers every error in one shape."""
    app.register_error_handler(Problem, _answer_problem)
    app.register_error_handler(HTTPException, _answer_http)
    app.register_error_handler(psycopg.OperationalError, _answer_database)
    app.register_error_handler(PoolTimeout, _answer_database)
    app.register_error_handler(TooManyRequests, _answer_database)
    app.register_error_handler(Exception, _answer_unexpected)


def _answer_problem(problem: Problem) -> Response:
    headers = {"Retry-After": str(RETRY_AFTER_S)} if problem.status == 503 else {}  # noqa: PLR2004
    return _respond(
        problem.status,
        problem.slug,
        problem.title,
        problem.detail,
        problem.remedy,
        headers,
        problem.members,
    )


def _answer_http(error: HTTPException) -> Response:
    status = error.code or 500
    title = error.name
    slug = title.lower().replace(" ", "-")
    # Flask's own headers (Allow on a 405) are part of the answer.
    headers = {key: value for key, value in error.get_headers() if key.lower() != "content-type"}
    remedy = "See service/README.md for the routes and what they take."
    return _respond(status, slug, title, error.description or title, remedy, headers)


def _answer_database(error: Exception) -> Response:
    log.warning("database unavailable", extra={"cause": str(error).strip()})
    return _answer_problem(DatabaseUnavailable("The request could not be carried out in time."))


def _answer_unexpected(error: Exception) -> Response:
    log.error("unhandled exception", exc_info=error)
    return _answer_problem(Problem("The error was logged under this request id."))


def _respond(
    status: int,
    slug: str,
    title: str,
    detail: str,
    remedy: str,
    headers: Mapping[str, str],
    members: Mapping[str, Any] | None = None,
) -> Response:
    body = {
        "type": f"urn:gridos:problem:{slug}",
        "title": title,
        "status": status,
        "detail": detail,
        "remedy": remedy,
        "request_id": request.environ.get("gridos.request_id", ""),
        **(members or {}),
    }
    response: Response = current_app.response_class(
        json.dumps(body), status=status, mimetype=PROBLEM_JSON
    )
    response.headers.extend(dict(headers))
    return response
