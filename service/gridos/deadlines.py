"""How long clients may take: for a request to arrive, and to take their answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MAX_ARRIVAL_S = 10.0
# A gateway waits 30 s for an answer, and does not read slower than it comes.
MAX_DEPARTURE_S = 30.0


def has_passed(environ: Mapping[str, Any]) -> bool:
    """Whether the request's body was not waited for any longer."""
    return bool(getattr(environ.get("gunicorn.socket"), "is_late", False))
