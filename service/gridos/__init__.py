"""GridOS: loads, ratings and state of an electricity distribution grid, over HTTP.

The arrows point one way: `cli` and `gunicorn_config` → `create_app` → `api` → `storage` → `domain`.
`domain` knows neither Flask nor SQL.
"""

from __future__ import annotations

from functools import partial

from flask import Flask

from gridos import (
    access,
    errors,
    exposition,
    injection,
    lifecycle,
    meters,
    recorder,
    secretchoice,
    traces,
    turns,
    warmup,
)
from gridos.api import documents, feeders, health, networks, overloads, readings, series
from gridos.application import Application
from gridos.config import Settings
from gridos.storage import pool
from gridos.storage.networks import KnownBuses
from gridos.tally import Tally


def create_app(settings: Settings) -> Flask:
    """Builds the application; nothing is connected until `gridos.storage.pool.open_pool`.

    Args:
        settings: Read once, at start (`gridos.config.read`).

    Raises:
        gridos.secretsource.SecretsUnavailable: if the secret source cannot be read.
    """
    app = Application("gridos", static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.extensions["settings"] = settings
    app.extensions["secrets"] = secretchoice.open_secrets(settings)
    app.extensions["known_buses"] = KnownBuses()
    tally = app.extensions["tally"] = Tally()
    lifecycle.init_app(app)
    pool.init_app(app)
    access.init_app(app)
    turns.init_app(app)
    errors.init_app(app)
    for part in (health, documents, feeders, series, overloads, readings, networks):
        app.register_blueprint(part.blueprint)
    app.register_blueprint(documents.front)
    injection.init_app(app)
    metrics = app.extensions["metrics"] = exposition.Exposition(app, tally)
    meters.init_app(app, metrics.registry)
    traces.init_app(app)
    injection.end_connections(app, injection.OUTSIDE)
    # Late, so that it wraps everything and knows every route.
    recorder.init_app(app, tally)
    injection.end_connections(app, injection.BEYOND)
    app.extensions["availability"].warm = partial(warmup.run, app)
    return app
