"""Readings: batches in, whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from flask import Blueprint, Response, current_app, jsonify

from gridos import access
from gridos.api import bodies
from gridos.domain import batch
from gridos.domain.batch import BadRow, MalformedBatch, Reading, RefusedBatch
from gridos.errors import InvalidReadings, MalformedBody
from gridos.meters import Meters
from gridos.storage import networks, readings

blueprint = Blueprint("readings", __name__, url_prefix="/v1/readings")


@blueprint.post("")
def add_readings() -> tuple[Response, int]:
    """Stores a batch; the same batch sent twice is stored once (the key is bus and time)."""
    access.require(access.READINGS)
    lines = bodies.require_media_type(bodies.JSON, bodies.LINES) == bodies.LINES
    batched = _read(bodies.read(), lines=lines)
    unknown = _unknown(dict(enumerate(batched)))
    if unknown:
        raise _refusal([], unknown, len(batched))
    stored = readings.add_readings(batched)
    _meters().stored(stored)
    return jsonify(stored=stored, duplicates=len(batched) - stored), 201


def _read(body: bytes, *, lines: bool) -> list[Reading]:
    try:
        return batch.read(body, lines=lines)
    except MalformedBatch as malformed:
        raise MalformedBody(str(malformed)) from None
    except RefusedBatch as refused:
        if refused.rows:
            raise _refusal(refused.rows, _unknown(refused.good), refused.size) from None
        _meters().refused("invalid", refused.size)
        raise InvalidReadings(str(refused), rows=[]) from None


def _unknown(numbered: Mapping[int, Reading]) -> list[BadRow]:
    """The rows whose bus there is not."""
    unknown = networks.find_unknown_buses({reading.bus_id for reading in numbered.values()})
    return [
        BadRow(number, f"no bus has the id {reading.bus_id!r}")
        for number, reading in numbered.items()
        if unknown and reading.bus_id in unknown
    ]


def _refusal(invalid: Sequence[BadRow], unknown: Sequence[BadRow], size: int) -> InvalidReadings:
    bad = sorted([*invalid, *unknown], key=lambda row: row.row)
    meters = _meters()
    meters.refused("invalid", len(invalid))
    meters.refused("unknown-bus", len(unknown))
    meters.refused("batch-refused", size - len(bad))
    detail = f"{len(bad)} of the batch's {size} rows cannot be stored."
    return InvalidReadings(detail, rows=[asdict(row) for row in bad])


def _meters() -> Meters:
    meters: Meters = current_app.extensions["meters"]
    return meters
