"""Feeders: the list, one of them, and what it carries now against what it may."""

from __future__ import annotations

from dataclasses import asdict

from flask import Blueprint, Response, jsonify

from gridos import store
from gridos.domain import grid
from gridos.errors import UnknownFeeder

blueprint = Blueprint("feeders", __name__, url_prefix="/v1/feeders")


@blueprint.get("")
def list_feeders() -> Response:
    """Every feeder."""
    return jsonify(feeders=store.list_feeders())


@blueprint.get("/<feeder_id>")
def get_feeder(feeder_id: str) -> Response:
    """One feeder."""
    feeder = store.get_feeder(_known(feeder_id))
    if feeder is None:
        raise UnknownFeeder(f"No feeder has the id {feeder_id!r}.")
    return jsonify(feeder)


@blueprint.get("/<feeder_id>/load")
def get_load(feeder_id: str) -> Response:
    """The latest load of each bus, their sum, and its share of the feeder's rating."""
    rows = store.latest_loads(_known(feeder_id))
    if not rows:
        raise UnknownFeeder(f"No feeder has the id {feeder_id!r}.")
    rated_kva = rows[0]["rated_kva"]
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


def _known(feeder_id: str) -> str:
    """PostgreSQL texts cannot hold a null byte, so no feeder has one in its id."""
    if "\x00" in feeder_id:
        raise UnknownFeeder("No feeder has a null byte in its id.")
    return feeder_id
