"""GridOS: loads and ratings of an electricity distribution grid, over HTTP.

The arrows point one way: `cli` and `gunicorn_config` → `create_app` → `api` → `store` → `domain`.
`domain` knows neither Flask nor SQL.
"""

from __future__ import annotations

from flask import Flask

from gridos import errors, injection, lifecycle, recorder, store
from gridos.api import feeders, health, readings
from gridos.config import Settings


def create_app(settings: Settings) -> Flask:
    """Builds the application; nothing is connected until `gridos.store.open_pool`.

    Args:
        settings: Read once, at start (`gridos.config.read`).
    """
    app = Flask("gridos", static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.extensions["settings"] = settings
    lifecycle.init_app(app)
    store.init_app(app)
    errors.init_app(app)
    for blueprint in (health.blueprint, feeders.blueprint, readings.blueprint):
        app.register_blueprint(blueprint)
    injection.init_app(app)
    # Last, so that it wraps everything and knows every route.
    recorder.init_app(app)
    return app
