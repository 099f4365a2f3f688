"""Feeders: the list, what each is made of, what it carries against its ratings, and its state."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Response, jsonify
from flask_openapi3 import APIBlueprint

from gridos.api import answers, models
from gridos.api.documents import FEEDERS, problems
from gridos.domain import grid, powerflow
from gridos.errors import UnknownFeeder, UnsolvableState
from gridos.storage import networks, readings

blueprint = APIBlueprint("feeders", __name__, url_prefix="/v1/feeders", abp_tags=[FEEDERS])


@blueprint.get("", responses={200: models.FeederList, **problems()})
def list_feeders() -> Response:
    """Every feeder."""
    return jsonify(feeders=networks.list_feeders())


@blueprint.get("/<feeder_id>", responses={200: models.Feeder, **problems(404)})
def get_feeder(path: models.FeederPath) -> Response:
    """One feeder."""
    return jsonify(find_feeder(path.feeder_id))


@blueprint.get("/<feeder_id>/buses", responses={200: models.BusList, **problems(404)})
def list_buses(path: models.FeederPath) -> Response:
    """The buses of a feeder, in order of their numbers."""
    buses = networks.list_buses(known(path.feeder_id))
    if not buses:
        raise _unknown(path.feeder_id)
    return answers.reply({"feeder_id": path.feeder_id, "buses": buses})


@blueprint.get("/<feeder_id>/lines", responses={200: models.LineList, **problems(404)})
def list_lines(path: models.FeederPath) -> Response:
    """The lines of a feeder."""
    find_feeder(path.feeder_id)
    lines = networks.list_lines(path.feeder_id)
    return answers.reply({"feeder_id": path.feeder_id, "lines": lines})


@blueprint.get("/<feeder_id>/load", responses={200: models.Load, **problems(404)})
def get_load(path: models.FeederPath) -> Response:
    """The latest load of each bus, their sum, and its share of the feeder's rating."""
    rows = _latest(path.feeder_id)
    rated_kva = rows[0]["feeder_rated_kva"]
    buses = [
        {
            "bus_id": row["bus_id"],
            "measured_at": row["measured_at"] and row["measured_at"].isoformat(),
            "kw": row["kw"],
            "kvar": row["kvar"],
        }
        for row in rows
    ]
    total = asdict(grid.sum_loads(rows, rated_kva))
    return jsonify(feeder_id=path.feeder_id, rated_kva=rated_kva, **total, buses=buses)


@blueprint.get("/<feeder_id>/state", responses={200: models.FeederState, **problems(404, 409)})
def get_state(path: models.FeederPath) -> Response:
    """Bus voltages, line loading and losses under the latest loads: a power flow is solved."""
    rows = _latest(path.feeder_id)
    lines = networks.list_lines(path.feeder_id)
    try:
        state = powerflow.solve(rows[0]["nominal_kv"], rows, lines)
    except powerflow.NoSolution as none:
        raise UnsolvableState(f"The solver says: {none}.") from None
    silent = sum(row["kw"] is None for row in rows)
    return jsonify(feeder_id=path.feeder_id, silent_buses=silent, **asdict(state))


def find_feeder(feeder_id: str) -> dict[str, Any]:
    """A feeder.

    Raises:
        UnknownFeeder: if there is none of this id.
    """
    feeder = networks.get_feeder(known(feeder_id))
    if feeder is None:
        raise _unknown(feeder_id)
    return feeder


def known(feeder_id: str) -> str:
    """PostgreSQL texts cannot hold a null byte, so no feeder has one in its id."""
    if "\x00" in feeder_id:
        raise UnknownFeeder("No feeder has a null byte in its id.")
    return feeder_id


def _latest(feeder_id: str) -> list[dict[str, Any]]:
    rows = readings.latest_loads(known(feeder_id))
    if not rows:
        raise _unknown(feeder_id)
    return rows


def _unknown(feeder_id: str) -> UnknownFeeder:
    return UnknownFeeder(f"No feeder has the id {feeder_id!r}.")
