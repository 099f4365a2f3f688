"""Time series of readings: of a bus, or of all buses of a feeder, page by page."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Response, json
from flask_openapi3 import APIBlueprint

from gridos.api import answers, models
from gridos.api.documents import READINGS, problems
from gridos.api.feeders import find_feeder
from gridos.domain import series
from gridos.domain.series import BadRange, Bucket, Window
from gridos.errors import InvalidParameters, UnknownBus
from gridos.storage import networks, readings
from gridos.storage.readings import Page

blueprint = APIBlueprint("series", __name__, url_prefix="/v1", abp_tags=[READINGS])

RAW_COLUMNS = ["bus_id", "at", "kw", "kvar"]
SUMMED_COLUMNS = ["bus_id", "at", "kw_mean", "kw_max", "kvar_mean", "kvar_max", "readings"]


@blueprint.get("/feeders/<feeder_id>/readings", responses={200: models.Series, **problems(404)})
def list_feeder_readings(path: models.FeederPath, query: models.SeriesQuery) -> Response:
    """Readings of a feeder's buses, ordered by bus id and time."""
    window = _window(query)
    find_feeder(path.feeder_id)
    return _reply(readings.feeder_series(path.feeder_id, window), window)


@blueprint.get("/buses/<bus_id>/readings", responses={200: models.Series, **problems(404)})
def list_bus_readings(path: models.BusPath, query: models.SeriesQuery) -> Response:
    """Readings of a bus, ordered by time."""
    window = _window(query)
    if networks.find_unknown_buses([path.bus_id]):
        raise UnknownBus(f"No bus has the id {path.bus_id!r}.")
    return _reply(readings.bus_series(path.bus_id, window), window)


def _window(query: models.SeriesQuery) -> Window:
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
