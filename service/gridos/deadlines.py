"""How long things may take: a request to arrive, its answer, and the client to take that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MAX_ARRIVAL_S = 10.0
# As long as the gateway waits (deploy/base/ingress.yaml), which then tells the caller 504.
MAX_ANSWER_S = 30.0
# A gateway does not read slower than an answer comes.
MAX_DEPARTURE_S = 30.0


def has_passed(environ: Mapping[str, Any]) -> bool:
    """Whether the request's body was not waited for any longer."""
    return bool(getattr(environ.get("gunicorn.socket"), "is_late", False))
