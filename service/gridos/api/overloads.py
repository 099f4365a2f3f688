"""Overloads: every feeder and bus whose latest load is above its rating."""

from __future__ import annotations

from flask import Blueprint, Response

from gridos import access, turns
from gridos.api import answers
from gridos.domain import grid
from gridos.storage import networks, readings

blueprint = Blueprint("overloads", __name__, url_prefix="/v1/overloads")
blueprint.before_request(access.admit)
# With more buses a request waits for its turn, and so many at a time are read.
MAX_AT_ONCE = 5000


@blueprint.get("")
def list_overloads() -> Response:
    """Feeders and buses above their ratings, the worst first."""
    counts = networks.count_buses()
    with turns.take(wanted=sum(counts.values()) > MAX_AT_ONCE):
        found: list[grid.Overload] = []
        for feeder_ids in grid.group(counts, MAX_AT_ONCE):
            found += grid.find_overloads(readings.latest_loads(feeder_ids))
    return answers.reply({"overloads": grid.sort(found)})
