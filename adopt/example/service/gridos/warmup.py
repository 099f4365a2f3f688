"""What a pod does once before it is ready: the first connection, the first queries, the first JSON.

A user's first request would otherwise wait for them, on each new pod of a release. Views are called
past the application's hooks, so that nothing of it is counted, logged, limited or made faulty.
"""

from __future__ import annotations

import logging

from flask import Flask

log = logging.getLogger(__name__)
# What most users ask for.
PATHS = ("/v1/items", "/v1/items/first")


def run(app: Flask) -> None:
    """Asks for what most users ask for; without an answer the pod starts cold, as it would have."""
    try:
        for path in PATHS:
            with app.test_request_context(path):
                app.make_response(app.dispatch_request())
    except Exception as failed:  # noqa: BLE001 — whatever it is, users are answered all the same
        log.warning("warm-up failed", extra={"cause": str(failed).strip()})
