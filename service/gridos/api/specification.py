"""The OpenAPI document, from the routes and what is said of them here: made when releases are.

    python -m gridos.api.specification > service/gridos/data/openapi.json

The service serves that file: to make the document costs half a CPU second, more than all the rest
of a start, and it is the same in every pod. Only the page under /v1/docs loads this module, when
somebody opens it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

from flask import Blueprint, Flask, json
from flask_openapi3 import APIBlueprint, Info, OpenAPI, Tag
from pydantic import BaseModel
from werkzeug.routing import Rule

from gridos import errors
from gridos.api import answers, feeders, models, networks, overloads, readings, series
from gridos.domain.batch import MAX_KW, MAX_READINGS
from gridos.domain.network import Network

SECURITY_SCHEMES = {"key": {"type": "apiKey", "in": "header", "name": "X-API-Key"}}
WRITES: list[dict[str, list[Any]]] = [{"key": []}]
# With a key or without one: which of the two is a setting.
READS: list[dict[str, list[Any]]] = [{"key": []}, {}]
PREFIX = "/v1"

FEEDERS = Tag(name="feeders", description="What the grid is made of, and what it carries.")
READINGS = Tag(name="readings", description="Loads of buses, in batches in and as series out.")
NETWORKS = Tag(name="networks", description="Importing another grid.")
TAGS: Mapping[Blueprint, Tag] = {
    feeders.blueprint: FEEDERS,
    series.blueprint: READINGS,
    overloads.blueprint: FEEDERS,
    readings.blueprint: READINGS,
    networks.blueprint: NETWORKS,
}


class Problem(BaseModel):
    """RFC 9457: what went wrong, why, and what to do."""

    type: str
    title: str
    status: int
    detail: str
    remedy: str
    request_id: str


@dataclass(frozen=True)
class Operation:
    """What the document says of a route beside its view's own words.

    `body` makes the request body of a write, and adds its parts to the document's components.
    """

    responses: Mapping[int, Any]
    parameters: Mapping[str, type[BaseModel]] = field(default_factory=dict)
    body: Callable[[dict[str, Any]], dict[str, Any]] | None = None


@cache
def documented(version: str) -> OpenAPI:
    """An application that shows the document at /v1/openapi.json, and its page at /v1/swagger."""
    app = OpenAPI(
        "gridos",
        info=Info(
            title="GridOS",
            version=version,
            description="Loads, ratings and state of an electricity distribution grid.",
        ),
        security_schemes=SECURITY_SCHEMES,  # type: ignore[arg-type]
        doc_prefix=PREFIX,
        doc_url="/openapi.json",
        validation_error_model=Problem,
        static_folder=None,
    )
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.response_class = answers.Response
    errors.init_app(app)
    for blueprint, tag in TAGS.items():
        app.register_api(_describe(blueprint, tag))
    return app


def document(version: str) -> dict[str, Any]:
    """The document."""
    described: dict[str, Any] = documented(version).api_doc
    return described


def _describe(blueprint: Blueprint, tag: Tag) -> APIBlueprint:
    """A blueprint's routes once more, with what the document says of them."""
    prefix = blueprint.url_prefix or ""
    described = APIBlueprint(blueprint.name, __name__, url_prefix=prefix, abp_tags=[tag])
    for rule, view in _routes(blueprint):
        operation = OPERATIONS[rule.endpoint]
        options: dict[str, Any] = {"responses": dict(operation.responses), "security": READS}
        if operation.body is not None:
            body = operation.body(described.components_schemas)
            options |= {"security": WRITES, "openapi_extensions": {"requestBody": body}}
        (method,) = (rule.methods or set()) - {"HEAD", "OPTIONS"}
        register = getattr(described, method.lower())
        register(rule.rule.removeprefix(prefix), **options)(_stand_in(view, operation.parameters))
    return described


def _routes(blueprint: Blueprint) -> Iterator[tuple[Rule, Callable[..., Any]]]:
    app = Flask("gridos", static_folder=None)
    app.register_blueprint(blueprint)
    for rule in app.url_map.iter_rules():
        yield rule, app.view_functions[rule.endpoint]


def _stand_in(
    view: Callable[..., Any], parameters: Mapping[str, type[BaseModel]]
) -> Callable[..., Any]:
    """A view's name and words, with the models of its parameters where they are looked for."""

    def described(**_: Any) -> None:
        """Never called: the routes of this application are only read."""

    described.__name__, described.__doc__ = view.__name__, view.__doc__
    described.__annotations__ = dict(parameters)
    return described


def problems(*statuses: int) -> dict[int, Any]:
    """The answers of an operation beside its good one; a 500 is never among what is promised."""
    known = {kind.status: kind.title for kind in _kinds(errors.Problem)}
    schema = {"$ref": "#/components/schemas/Problem"}
    content = {errors.PROBLEM_JSON: {"schema": schema}}
    return {
        status: {"description": known[status], "content": content}
        for status in sorted({*statuses, 422, 503})
    }


def refusals(*statuses: int) -> dict[int, Any]:
    """As `problems`, with those that any read may meet."""
    return problems(401, 403, 429, *statuses)


def batch_body(_: dict[str, Any]) -> dict[str, Any]:
    """The request body of an ingest, in its two media types."""
    load = {"type": "number", "minimum": -MAX_KW, "maximum": MAX_KW}
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
    readings = {"type": "array", "items": reading, "minItems": 1, "maxItems": MAX_READINGS}
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


def _kinds(kind: type[errors.Problem]) -> list[type[errors.Problem]]:
    return [kind, *(deeper for sub in kind.__subclasses__() for deeper in _kinds(sub))]


_FEEDER: Mapping[str, type[BaseModel]] = {"path": models.FeederPath}
_BUS: Mapping[str, type[BaseModel]] = {"path": models.BusPath}
_QUERY: Mapping[str, type[BaseModel]] = {"query": models.SeriesQuery}
OPERATIONS: Mapping[str, Operation] = {
    "feeders.list_feeders": Operation({200: models.FeederList, **refusals()}),
    "feeders.get_feeder": Operation({200: models.Feeder, **refusals(404)}, _FEEDER),
    "feeders.list_buses": Operation({200: models.BusList, **refusals(404)}, _FEEDER),
    "feeders.list_lines": Operation({200: models.LineList, **refusals(404)}, _FEEDER),
    "feeders.get_load": Operation({200: models.Load, **refusals(404)}, _FEEDER),
    "feeders.get_state": Operation({200: models.FeederState, **refusals(404, 409)}, _FEEDER),
    "series.list_feeder_readings": Operation(
        {200: models.Series, **refusals(404)}, {**_FEEDER, **_QUERY}
    ),
    "series.list_bus_readings": Operation(
        {200: models.Series, **refusals(404)}, {**_BUS, **_QUERY}
    ),
    "overloads.list_overloads": Operation({200: models.OverloadList, **refusals()}),
    "readings.add_readings": Operation(
        {201: models.Stored, **problems(400, 401, 403, 408, 409, 411, 413, 415, 429)},
        {"query": models.IngestQuery},
        body=batch_body,
    ),
    "networks.add_network": Operation(
        {
            200: models.NetworkStored,
            201: models.NetworkStored,
            **problems(400, 401, 403, 408, 409, 411, 413, 415, 429),
        },
        body=partial(model_body, Network),
    ),
}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(document("dev"), indent=2) + "\n")
