"""Networks: another grid, imported from one JSON file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, Response, jsonify

from gridos import access
from gridos.api import bodies
from gridos.api.parameters import faults
from gridos.errors import InvalidNetwork, NetworkConflict
from gridos.storage import networks

if TYPE_CHECKING:
    from gridos.domain.network import Network

blueprint = Blueprint("networks", __name__, url_prefix="/v1/networks")
MOST_FAULTS = 100


@blueprint.post("")
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
    # On first use: pydantic and its models would cost a sixth of a start.
    from pydantic import ValidationError  # noqa: PLC0415 — as the line before says

    from gridos.domain.network import Network, find_faults  # noqa: PLC0415 — same

    try:
        network = Network.model_validate_json(body)
    except ValidationError as wrong:
        found = faults(wrong)
        raise InvalidNetwork(f"Faults found: {len(found)}.", faults=found[:MOST_FAULTS]) from None
    islands = find_faults(network)
    if islands:
        raise InvalidNetwork(f"Faults found: {len(islands)}.", faults=islands[:MOST_FAULTS])
    return network
