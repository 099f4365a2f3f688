"""Feeders: the list, what each is made of, what it carries against its ratings, and its state."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, jsonify

from gridos import access, turns
from gridos.api import answers, parameters
from gridos.domain import grid
from gridos.errors import UnknownFeeder, UnsolvableState
from gridos.storage import networks, readings

blueprint = Blueprint("feeders", __name__, url_prefix="/v1/feeders")
blueprint.before_request(access.admit)
blueprint.before_request(parameters.check_ids)
# The state of a feeder with more buses waits for its turn: its solution takes memory and time.
MAX_AT_ONCE = 1000


@blueprint.get("")
def list_feeders() -> Response:
    """Every feeder."""
    return jsonify(feeders=networks.list_feeders())


@blueprint.get("/<feeder_id>")
def get_feeder(feeder_id: str) -> Response:
    """One feeder."""
    return jsonify(find_feeder(feeder_id))


@blueprint.get("/<feeder_id>/buses")
def list_buses(feeder_id: str) -> Response:
    """The buses of a feeder, in order of their numbers."""
    buses = networks.list_buses(known(feeder_id))
    if not buses:
        raise _unknown(feeder_id)
    return answers.reply({"feeder_id": feeder_id, "buses": buses})


@blueprint.get("/<feeder_id>/lines")
def list_lines(feeder_id: str) -> Response:
    """The lines of a feeder."""
    find_feeder(feeder_id)
    lines = networks.list_lines(feeder_id)
    return answers.reply({"feeder_id": feeder_id, "lines": lines})


@blueprint.get("/<feeder_id>/load")
def get_load(feeder_id: str) -> Response:
    """The latest load of each bus, their sum, and its share of the feeder's rating."""
    rows = _latest(feeder_id)
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
    return jsonify(feeder_id=feeder_id, rated_kva=rated_kva, **total, buses=buses)


@blueprint.get("/<feeder_id>/state")
def get_state(feeder_id: str) -> Response:
    """Bus voltages, line loading and losses under the latest loads: a power flow is solved."""
    # On first use: numpy and the solver cost half as much as all the rest of a start. In the
    # background after it they would cost each pod the same, beside its first requests, and in vain
    # where nobody asks for a state; one slow answer a pod is far from any p95.
    from gridos.domain import powerflow  # noqa: PLC0415 — as the lines before say

    with turns.take(wanted=networks.has_more_buses(known(feeder_id), MAX_AT_ONCE)):
        rows = _latest(feeder_id)
        try:
            state = powerflow.solve(rows[0]["nominal_kv"], rows, networks.list_lines(feeder_id))
        except powerflow.NoSolution as none:
            raise UnsolvableState(f"The solver says: {none}.") from None
        silent = sum(row["kw"] is None for row in rows)
        return answers.reply({"feeder_id": feeder_id, "silent_buses": silent, **vars(state)})


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
    rows = readings.latest_loads([known(feeder_id)])
    if not rows:
        raise _unknown(feeder_id)
    return rows


def _unknown(feeder_id: str) -> UnknownFeeder:
    return UnknownFeeder(f"No feeder has the id {feeder_id!r}.")
