"""Overloads: every feeder and bus whose latest load is above its rating."""

from __future__ import annotations

from dataclasses import asdict

from flask import Response
from flask_openapi3 import APIBlueprint

from gridos.api import answers, models
from gridos.api.documents import FEEDERS, problems
from gridos.domain import grid
from gridos.storage import readings

blueprint = APIBlueprint("overloads", __name__, url_prefix="/v1/overloads", abp_tags=[FEEDERS])


@blueprint.get("", responses={200: models.OverloadList, **problems()})
def list_overloads() -> Response:
    """Feeders and buses above their ratings, the worst first."""
    found = grid.find_overloads(readings.all_latest_loads())
    return answers.reply({"overloads": [asdict(overload) for overload in found]})
