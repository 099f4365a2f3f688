"""Networks: another grid, imported from one JSON file."""

from __future__ import annotations

from flask import Response, jsonify
from flask_openapi3 import APIBlueprint
from pydantic import ValidationError

from gridos import access
from gridos.api import bodies, models
from gridos.api.documents import NETWORKS, WRITES, faults, model_body, problems
from gridos.domain.network import Network, find_faults
from gridos.errors import InvalidNetwork, NetworkConflict
from gridos.storage import networks

blueprint = APIBlueprint("networks", __name__, url_prefix="/v1/networks", abp_tags=[NETWORKS])
MOST_FAULTS = 100


@blueprint.post(
    "",
    responses={
        200: models.NetworkStored,
        201: models.NetworkStored,
        **problems(400, 401, 403, 408, 409, 413, 415, 429),
    },
    security=WRITES,
    openapi_extensions={"requestBody": model_body(Network, blueprint.components_schemas)},
)
def add_network() -> tuple[Response, int]:
    """Stores a feeder with its buses and lines, whole or not at all; none is ever overwritten."""
    access.require(access.NETWORKS)
    bodies.require_media_type(bodies.JSON)
    network = _read(bodies.read())
    try:
        created = networks.add_network(network)
    except networks.NetworkExists:
        raise NetworkConflict(f"The feeder {network.feeder.id!r} is stored, and differs.") from None
    counts = {"buses": len(network.buses), "lines": len(network.lines)}
    answer = jsonify(feeder_id=network.feeder.id, created=created, **counts)
    return answer, 201 if created else 200


def _read(body: bytes) -> Network:
    try:
        network = Network.model_validate_json(body)
    except ValidationError as wrong:
        found = faults(wrong)
        raise InvalidNetwork(f"Faults found: {len(found)}.", faults=found[:MOST_FAULTS]) from None
    islands = find_faults(network)
    if islands:
        raise InvalidNetwork(f"Faults found: {len(islands)}.", faults=islands[:MOST_FAULTS])
    return network
