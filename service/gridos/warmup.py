"""What a pod does once before it is ready: the first connection, the first queries, the first JSON.

A user's first request would otherwise wait for them, on each new pod of a release. Views are called
past the application's hooks, so that nothing of it is counted, logged, limited or made faulty.
"""

from __future__ import annotations

import logging

from flask import Flask, Response

log = logging.getLogger(__name__)


def run(app: Flask) -> None:
    """Asks for what most users ask for; without an answer the pod starts cold, as it would have."""
    try:
        found = _ask(app, "/v1/feeders").get_json()["feeders"]
        for feeder in found[:1]:
            _ask(app, f"/v1/feeders/{feeder['id']}")
            _ask(app, f"/v1/feeders/{feeder['id']}/load")
        _ask(app, "/v1/overloads")
    except Exception as failed:  # noqa: BLE001 — whatever it is, users are answered all the same
        log.warning("warm-up failed", extra={"cause": str(failed).strip()})


def _ask(app: Flask, path: str) -> Response:
    with app.test_request_context(path):
        return app.make_response(app.dispatch_request())
