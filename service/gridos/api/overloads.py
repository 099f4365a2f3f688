"""Overloads: every feeder and bus whose latest load is above its rating."""

from __future__ import annotations

from dataclasses import asdict

from flask import Blueprint, Response

from gridos.api import answers
from gridos.domain import grid
from gridos.storage import readings

blueprint = Blueprint("overloads", __name__, url_prefix="/v1/overloads")


@blueprint.get("")
def list_overloads() -> Response:
    """Feeders and buses above their ratings, the worst first."""
    found = grid.find_overloads(readings.all_latest_loads())
    return answers.reply({"overloads": [asdict(overload) for overload in found]})
