"""Probes and the release's identity: what a kubelet, a gateway and a person ask of a process."""

from __future__ import annotations

import psycopg
from flask import Blueprint, Response, current_app, jsonify
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from gridos.storage import pool

blueprint = Blueprint("health", __name__)


@blueprint.get("/livez")
def livez() -> Response:
    """Alive: the process answers. Never asks the database, whose loss a restart cannot cure."""
    return jsonify(status="alive")


@blueprint.get("/readyz")
def readyz() -> tuple[Response, int]:
    """Ready: warmed up, not draining, and the database answers within 200 ms."""
    refusal = current_app.extensions["lifecycle"].refusal or _database_refusal()
    if refusal:
        return jsonify(status="not ready", reason=refusal), 503
    return jsonify(status="ready"), 200


@blueprint.get("/version")
def version() -> Response:
    """Which release this is."""
    settings = current_app.extensions["settings"]
    return jsonify(version=settings.version, pod=settings.pod)


def _database_refusal() -> str:
    try:
        pool.ping()
    except (psycopg.OperationalError, PoolTimeout, PoolClosed, TooManyRequests):
        return "the database does not answer"
    return ""
