"""Time series of readings: of a bus, or of all buses of a feeder, page by page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from flask import Blueprint, Response, current_app, json, request
from psycopg.errors import QueryCanceled

from gridos import access, turns
from gridos.api import answers, parameters
from gridos.api.feeders import find_feeder
from gridos.domain import series
from gridos.domain.series import BadRange, Bucket, Window
from gridos.errors import InvalidParameters, TooExpensive, UnknownBus
from gridos.storage import networks, readings
from gridos.storage.readings import Page, Source

blueprint = Blueprint("series", __name__, url_prefix="/v1")
blueprint.before_request(access.admit)
blueprint.before_request(parameters.check_ids)

RAW_COLUMNS = ["bus_id", "at", "kw", "kvar"]
SUMMED_COLUMNS = ["bus_id", "at", "kw_mean", "kw_max", "kvar_mean", "kvar_max", "readings"]


@blueprint.get("/feeders/<feeder_id>/readings")
def list_feeder_readings(feeder_id: str) -> Response:
    """Readings of a feeder's buses, ordered by bus id and time."""
    window = _window()
    feeder = find_feeder(feeder_id)
    return _read(readings.of_feeder(feeder_id), feeder["buses"], window)


@blueprint.get("/buses/<bus_id>/readings")
def list_bus_readings(bus_id: str) -> Response:
    """Readings of a bus, ordered by time."""
    window = _window()
    if networks.find_unknown_buses([bus_id]):
        raise UnknownBus(f"No bus has the id {bus_id!r}.")
    return _read(readings.of_bus(bus_id), 1, window)


def _read(source: Source, buses: int, window: Window) -> Response:
    """A page, if it costs what a request may; an expensive one when it is its turn."""
    price = _price(window, buses)
    try:
        with turns.take(wanted=price > series.MAX_CHEAP):
            if price > series.MAX_READ:
                _check_readings(source, buses, window)
            return _reply(readings.read_series(source, window), window)
    except QueryCanceled:
        # A cheap read that takes too long is the database's trouble, and an answer of 503.
        if price <= series.MAX_CHEAP:
            raise
        raise TooExpensive("The database did not get done with it in time.") from None


def _check_readings(source: Source, buses: int, window: Window) -> None:
    """The price is for a reading a minute; most meters report less often, so they are counted.

    Raises:
        TooExpensive: if there are more than a request may read.
    """
    if readings.count_series(source, window, series.MAX_READ + 1) > series.MAX_READ:
        raise TooExpensive(
            f"It would read more than {series.MAX_READ} readings, the most for one request; of"
            f" {buses} bus{'es' * (buses != 1)} a range of {_spoken(series.longest(buses))}"
            " never holds more."
        )


def _price(window: Window, buses: int) -> int:
    settings, now = current_app.extensions["settings"], datetime.now(UTC)
    oldest = now - timedelta(days=settings.retention_days)
    return series.price(window, buses, oldest, now + timedelta(seconds=settings.max_ahead_seconds))


def _spoken(span: timedelta) -> str:
    hours = span // timedelta(hours=1)
    return f"{hours // 24} days" if hours >= 48 else f"{max(1, hours)} hours"  # noqa: PLR2004 — two days


def _window() -> Window:
    query = parameters.read_series_query(request.args.to_dict())
    try:
        return series.window(**vars(query), now=datetime.now(UTC))
    except BadRange as wrong:
        raise InvalidParameters(f"{wrong}.") from None


def _reply(page: Page, window: Window) -> Response:
    columns = RAW_COLUMNS if window.bucket is Bucket.RAW else SUMMED_COLUMNS
    cursor = page.next.encode() if page.next else None
    # The rows come as JSON from the database and are not read only to be written again.
    text = (
        f'{{"columns": {json.dumps(columns)}, "rows": {page.rows}, "next": {json.dumps(cursor)}}}'
    )
    return answers.reply_json(text.encode())
