"""The probes on the port that users have too, and the release's identity."""

from __future__ import annotations

from flask import Blueprint, Response, current_app, jsonify

from gridos import probes

blueprint = Blueprint("health", __name__)


@blueprint.get("/livez")
def livez() -> tuple[Response, int]:
    """Alive: the process gets on with its work. Never asks the database."""
    answer, status = probes.check_life(current_app)
    return jsonify(answer), status


@blueprint.get("/readyz")
def readyz() -> tuple[Response, int]:
    """Ready: warmed up, not draining, and has had the database since it started."""
    answer, status = probes.check_readiness(current_app)
    return jsonify(answer), status


@blueprint.get("/version")
def version() -> Response:
    """Which release this is."""
    settings = current_app.extensions["settings"]
    return jsonify(version=settings.version, pod=settings.pod)
