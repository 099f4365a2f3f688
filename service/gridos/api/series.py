"""Time series of readings: of a bus, or of all buses of a feeder, page by page."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Blueprint, Response, json, request

from gridos.api import answers, parameters
from gridos.api.feeders import find_feeder
from gridos.domain import series
from gridos.domain.series import BadRange, Bucket, Window
from gridos.errors import InvalidParameters, UnknownBus
from gridos.storage import networks, readings
from gridos.storage.readings import Page

blueprint = Blueprint("series", __name__, url_prefix="/v1")
blueprint.before_request(parameters.check_ids)

RAW_COLUMNS = ["bus_id", "at", "kw", "kvar"]
SUMMED_COLUMNS = ["bus_id", "at", "kw_mean", "kw_max", "kvar_mean", "kvar_max", "readings"]


@blueprint.get("/feeders/<feeder_id>/readings")
def list_feeder_readings(feeder_id: str) -> Response:
    """Readings of a feeder's buses, ordered by bus id and time."""
    window = _window()
    find_feeder(feeder_id)
    return _reply(readings.feeder_series(feeder_id, window), window)


@blueprint.get("/buses/<bus_id>/readings")
def list_bus_readings(bus_id: str) -> Response:
    """Readings of a bus, ordered by time."""
    window = _window()
    if networks.find_unknown_buses([bus_id]):
        raise UnknownBus(f"No bus has the id {bus_id!r}.")
    return _reply(readings.bus_series(bus_id, window), window)


def _window() -> Window:
    query = parameters.read_series_query(request.args.to_dict())
    try:
        return series.window(
            query.start, query.end, query.bucket, query.limit, query.after, datetime.now(UTC)
        )
    except BadRange as wrong:
        raise InvalidParameters(f"{wrong}.") from None


def _reply(page: Page, window: Window) -> Response:
    columns = RAW_COLUMNS if window.bucket is Bucket.RAW else SUMMED_COLUMNS
    cursor = page.next.encode() if page.next else None
    # The rows come as JSON from the database and are not read only to be written again.
    return answers.reply_text(
        f'{{"columns": {json.dumps(columns)}, "rows": {page.rows}, "next": {json.dumps(cursor)}}}'
    )
