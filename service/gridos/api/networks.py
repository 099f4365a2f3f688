"""Networks: another grid, imported from one JSON file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, Response, jsonify

from gridos import access, turns
from gridos.api import bodies
from gridos.api.parameters import faults
from gridos.domain.bounds import MAX_BUSES, MAX_LINES
from gridos.errors import InvalidNetwork, NetworkConflict
from gridos.storage import networks

if TYPE_CHECKING:
    from gridos.domain.network import Network

blueprint = Blueprint("networks", __name__, url_prefix="/v1/networks")
MAX_FAULTS = 100
# Of more than so many only the first are looked for: a file that is wrong throughout has a fault
# for each of its parts, and telling them takes many times its memory.
MAX_COUNTED = 1000
# A larger file waits for its turn: its parts take many times its memory.
MAX_AT_ONCE_BYTES = 64 * 1024
# Of the largest network that is taken, four to a bus and five to a line; beyond, a file would be
# made into millions of parts before it is found to be none. The rest is for names.
MAX_COMMAS = 4 * MAX_BUSES + 5 * MAX_LINES + 2000


@blueprint.post("")
def add_network() -> tuple[Response, int]:
    """Stores a feeder with its buses and lines, whole or not at all; none is ever overwritten."""
    access.require(access.NETWORKS)
    bodies.require_media_type(bodies.JSON)
    body = bodies.read()
    with turns.take(wanted=len(body) > MAX_AT_ONCE_BYTES):
        network = _read(body)
        try:
            created = networks.add_network(network)
        except networks.NetworkExists:
            detail = f"The feeder {network.feeder.id!r} is stored, and differs."
            raise NetworkConflict(detail) from None
    counts = {"buses": len(network.buses), "lines": len(network.lines)}
    answer = jsonify(feeder_id=network.feeder.id, created=created, **counts)
    return answer, 201 if created else 200


def _read(body: bytes) -> Network:
    # On first use: pydantic and its models would cost a sixth of a start.
    from pydantic import ValidationError  # noqa: PLC0415 — as the line before says

    from gridos.domain.network import FirstFaults, Network, find_faults  # noqa: PLC0415 — same

    if body.count(b",") > MAX_COMMAS:
        raise InvalidNetwork(
            f"A network has at most {MAX_BUSES} buses and {MAX_LINES} lines.", faults=[]
        )
    try:
        network = Network.model_validate_json(body)
    except ValidationError as wrong:
        count, found = wrong.error_count(), wrong
    else:
        islands = find_faults(network)
        if islands:
            raise InvalidNetwork(f"Faults found: {len(islands)}.", faults=islands[:MAX_FAULTS])
        return network
    if count > MAX_COUNTED:
        try:
            FirstFaults.model_validate_json(body)
        except ValidationError as first:
            found = first
    raise InvalidNetwork(f"Faults found: {count}.", faults=faults(found)[:MAX_FAULTS])
