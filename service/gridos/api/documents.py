"""The OpenAPI document: what operations have in common, and the bodies that are read by hand."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, redirect, url_for
from flask_openapi3 import Info, OpenAPI, Tag
from pydantic import BaseModel, ValidationError
from werkzeug.wrappers import Response as Redirect

from gridos import errors
from gridos.domain.batch import MOST_KW, MOST_READINGS

SECURITY_SCHEMES = {"key": {"type": "apiKey", "in": "header", "name": "X-API-Key"}}
WRITES: list[dict[str, list[Any]]] = [{"key": []}]

FEEDERS = Tag(name="feeders", description="What the grid is made of, and what it carries.")
READINGS = Tag(name="readings", description="Loads of buses, in batches in and as series out.")
NETWORKS = Tag(name="networks", description="Importing another grid.")


page = Blueprint("page", __name__)


@page.get("/v1/docs")
def show_page() -> Redirect:
    """The document as a page to read and to try."""
    return redirect(url_for("swagger.swagger"))


class Problem(BaseModel):
    """RFC 9457: what went wrong, why, and what to do."""

    type: str
    title: str
    status: int
    detail: str
    remedy: str
    request_id: str


def make_app(name: str, version: str) -> OpenAPI:
    """A Flask application that publishes /v1/openapi.json and its page under /v1/docs."""
    return OpenAPI(
        name,
        info=Info(
            title="GridOS",
            version=version,
            description="Loads, ratings and state of an electricity distribution grid.",
        ),
        security_schemes=SECURITY_SCHEMES,  # type: ignore[arg-type]
        doc_prefix="/v1",
        doc_url="/openapi.json",
        validation_error_model=Problem,
        validation_error_callback=_refuse,
        static_folder=None,
    )


def problems(*statuses: int) -> dict[str | int, Any]:
    """The answers of an operation beside its good one; a 500 is never among what is promised."""
    known = {kind.status: kind.title for kind in _kinds(errors.Problem)}
    schema = {"$ref": "#/components/schemas/Problem"}
    content = {errors.PROBLEM_JSON: {"schema": schema}}
    return {
        status: {"description": known[status], "content": content}
        for status in sorted({*statuses, 422, 503})
    }


def batch_body() -> dict[str, Any]:
    """The request body of an ingest, in its two media types."""
    load = {"type": "number", "minimum": -MOST_KW, "maximum": MOST_KW}
    reading = {
        "type": "object",
        "required": ["bus_id", "measured_at", "kw", "kvar"],
        "additionalProperties": False,
        "properties": {
            "bus_id": {"type": "string", "minLength": 1, "maxLength": 128},
            "measured_at": {"type": "string", "format": "date-time"},
            "kw": load,
            "kvar": load,
        },
    }
    readings = {"type": "array", "items": reading, "minItems": 1, "maxItems": MOST_READINGS}
    batch = {
        "type": "object",
        "required": ["readings"],
        "additionalProperties": False,
        "properties": {"readings": readings},
    }
    example = {
        "bus_id": "ieee33-2",
        "measured_at": "2026-11-24T09:30:00Z",
        "kw": 90,
        "kvar": 40,
    }
    return {
        "required": True,
        "content": {
            "application/json": {"schema": batch, "example": {"readings": [example]}},
            "application/x-ndjson": {
                "schema": {"type": "string", "description": "one reading a line"}
            },
        },
    }


def model_body(model: type[BaseModel], components: dict[str, Any]) -> dict[str, Any]:
    """A request body by its model, whose parts go to the document's components."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}", by_alias=True)
    components.update(schema.pop("$defs", {}))
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def faults(error: ValidationError) -> list[dict[str, str]]:
    """What a model refused: where, and why."""
    return [
        {"at": ".".join(str(part) for part in fault["loc"]), "cause": fault["msg"]}
        for fault in error.errors(include_url=False, include_context=False, include_input=False)
    ]


def _refuse(error: ValidationError) -> Response:
    found = faults(error)
    named = ", ".join(sorted({fault["at"] for fault in found}))
    problem = errors.InvalidParameters(f"Refused: {named}.", faults=found)
    return errors.answer(problem)


def _kinds(kind: type[errors.Problem]) -> list[type[errors.Problem]]:
    return [kind, *(deeper for sub in kind.__subclasses__() for deeper in _kinds(sub))]
