"""Readings: batches in, whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Blueprint, Response, current_app, jsonify, request

from gridos import access
from gridos.api import bodies, parameters
from gridos.domain import batch
from gridos.domain.batch import BadRow, MalformedBatch, Reading, RefusedBatch
from gridos.errors import InvalidReadings, MalformedBody, ReadingsConflict
from gridos.meters import Meters
from gridos.storage import networks, readings
from gridos.storage.readings import Differences, Sender
from gridos.tracecontext import IDS

blueprint = Blueprint("readings", __name__, url_prefix="/v1/readings")
# So many bad rows of a batch are named, and the others counted: an answer has bounds too.
MAX_NAMED = 100


@blueprint.post("")
def add_readings() -> tuple[Response, int]:
    """Stores a batch whole or not at all; the key of a reading is its bus and time.

    The same batch sent twice is stored once. What becomes of a reading that is stored already with
    other values is the sender's choice: by default the stored one stays.
    """
    key = access.require(access.READINGS)
    on_conflict = parameters.read_on_conflict(request.args.to_dict())
    lines = bodies.require_media_type(bodies.JSON, bodies.LINES) == bodies.LINES
    batched = _read(bodies.read(), lines=lines)
    numbered = dict(enumerate(batched))
    unknown = _unknown(numbered)
    if unknown:
        raise _refusal([], unknown, numbered, len(batched))
    sender = Sender(key.name, request.environ[IDS].request)
    try:
        done = readings.add_readings(batched, on_conflict, sender)
    except readings.Repeats as repeated:
        raise _refusal(repeated.rows, [], {}, len(batched)) from None
    except readings.Differences as differences:
        raise _conflict(differences, batched) from None
    _meters().stored(done)
    return jsonify(asdict(done)), 201


def _read(body: bytes, *, lines: bool) -> list[Reading]:
    ahead = timedelta(seconds=current_app.extensions["settings"].max_ahead_seconds)
    try:
        return batch.read(body, lines=lines, latest=datetime.now(UTC) + ahead)
    except MalformedBatch as malformed:
        raise MalformedBody(str(malformed)) from None
    except RefusedBatch as refused:
        if refused.rows:
            unknown = _unknown(refused.good)
            raise _refusal(refused.rows, unknown, refused.good, refused.size) from None
        _meters().refused("invalid", refused.size)
        raise InvalidReadings(str(refused), rows=[], bad_rows=0) from None


def _unknown(numbered: Mapping[int, Reading]) -> list[BadRow]:
    """The rows whose bus there is not."""
    unknown = networks.find_unknown_buses({reading.bus_id for reading in numbered.values()})
    return [
        BadRow(number, f"no bus has the id {reading.bus_id!r}")
        for number, reading in numbered.items()
        if unknown and reading.bus_id in unknown
    ]


def _refusal(
    invalid: Sequence[BadRow],
    unknown: Sequence[BadRow],
    good: Mapping[int, Reading],
    size: int,
) -> InvalidReadings:
    """What is wrong with a batch; `good` are the rows that may still repeat each other."""
    strangers = {row.row for row in unknown}
    repeats = [row for row in batch.find_repeats(good) if row.row not in strangers]
    invalid = [*invalid, *repeats]
    bad = sorted([*invalid, *unknown], key=lambda row: row.row)
    meters = _meters()
    meters.refused("invalid", len(invalid))
    meters.refused("unknown-bus", len(unknown))
    meters.refused("batch-refused", size - len(bad))
    detail = f"{len(bad)} of the batch's {size} rows cannot be stored."
    return InvalidReadings(detail, rows=_named(bad), bad_rows=len(bad))


def _conflict(differences: Differences, batched: Sequence[Reading]) -> ReadingsConflict:
    found = differences.found
    rows = [
        BadRow(number, "stored with kw {} and kvar {}".format(*found[r.bus_id, r.measured_at]))
        for number, r in enumerate(batched)
        if (r.bus_id, r.measured_at) in found
    ]
    _meters().refused("conflict", len(rows))
    _meters().refused("batch-refused", len(batched) - len(rows))
    detail = f"{len(rows)} of the batch's {len(batched)} rows are stored with other values."
    return ReadingsConflict(detail, rows=_named(rows), bad_rows=len(rows))


def _named(rows: Sequence[BadRow]) -> list[dict[str, Any]]:
    return [asdict(row) for row in rows[:MAX_NAMED]]


def _meters() -> Meters:
    meters: Meters = current_app.extensions["meters"]
    return meters
