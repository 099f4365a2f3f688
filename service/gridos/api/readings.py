"""Readings: batches in, whole or not at all."""

from __future__ import annotations

import hmac
from dataclasses import asdict

from flask import Blueprint, Response, current_app, jsonify, request
from psycopg.errors import ForeignKeyViolation

from gridos import store
from gridos.domain import grid
from gridos.domain.grid import BadRow, Reading
from gridos.errors import InvalidReadings, Unauthorised

blueprint = Blueprint("readings", __name__, url_prefix="/v1/readings")


@blueprint.post("")
def add_readings() -> tuple[Response, int]:
    """Stores a batch; the same batch sent twice is stored once."""
    _require_key()
    readings, bad = grid.read_batch(_rows())
    if bad:
        raise _refusal(bad + _unknown(readings))
    try:
        stored = store.add_readings(list(readings.values()))
    except ForeignKeyViolation:
        raise _refusal(_unknown(readings)) from None
    return jsonify(stored=stored, duplicates=len(readings) - stored), 201


def _require_key() -> None:
    """Compares with every key, in constant time, so that timing tells nothing."""
    given = request.headers.get("X-API-Key", "").encode()
    keys = current_app.extensions["settings"].api_keys
    matches = [hmac.compare_digest(given, key.encode()) for key in keys]
    if not any(matches):
        raise Unauthorised("No valid X-API-Key header came with the request.")


def _rows() -> list[object]:
    body = request.get_json()
    rows = body.get("readings") if isinstance(body, dict) else None
    if not isinstance(rows, list) or not rows:
        raise InvalidReadings('The body must be {"readings": [ … ]} with at least one reading.')
    if len(rows) > grid.MOST_READINGS:
        raise InvalidReadings(f"At most {grid.MOST_READINGS} readings fit in a batch.")
    return rows


def _refusal(bad: list[BadRow]) -> InvalidReadings:
    ordered = sorted(bad, key=lambda row: row.row)
    return InvalidReadings(
        f"{len(bad)} of the batch's rows cannot be stored.", rows=[asdict(row) for row in ordered]
    )


def _unknown(readings: dict[int, Reading]) -> list[BadRow]:
    unknown = store.unknown_buses([reading.bus_id for reading in readings.values()])
    return [
        BadRow(row, f"no bus has the id {reading.bus_id!r}")
        for row, reading in readings.items()
        if reading.bus_id in unknown
    ]
