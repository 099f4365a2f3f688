"""Which route a request came to: the documented templates, and what the candidate's metrics name.

A route is written as OpenAPI has it, `GET /v1/orders/{order_id}`.
"""

import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from canary.errors import UsageError

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
_PARAMETER = re.compile(r"\{[^{}]*\}")
# As Flask writes them, with or without a converter.
_ANGLED = re.compile(r"<(?:\w+(?:\([^)]*\))?:)?(\w+)>")


class Routes:
    """Names requests by the first of several lists of routes that has one for them."""

    def __init__(self, *lists: Iterable[str]) -> None:
        # The most literal first.
        self._lists = [
            sorted(routes, key=lambda route: (len(_PARAMETER.findall(route)), route))
            for routes in lists
        ]
        self._patterns = {
            route: re.compile("[^/]+".join(map(re.escape, _PARAMETER.split(route))))
            for routes in self._lists
            for route in routes
        }
        self.name = cache(self._name)

    def _name(self, method: str, path: str) -> str:
        asked = f"{method} {path}"
        for routes in self._lists:
            for route in routes:
                if self._patterns[route].fullmatch(asked):
                    return route
        return asked


def documented(file: Path) -> tuple[str, ...]:
    """The routes of an OpenAPI document.

    Raises:
        UsageError: if the file is none.
    """
    try:
        paths = json.loads(file.read_text(encoding="utf-8"))["paths"]
        found = [(method.upper(), path) for path, item in paths.items() for method in item]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as wrong:
        raise UsageError(
            f"{file} is not an OpenAPI document in JSON ({type(wrong).__name__})",
            "correct `openapi` in rehearsal.yaml",
        ) from None
    return tuple(f"{method} {path}" for method, path in found if method in METHODS)


def measured(labels: Iterable[tuple[str, str]]) -> Iterator[str]:
    """The routes that (method, route) labels of metrics name; HEAD comes with each GET."""
    for method, route in sorted(set(labels)):
        if method in METHODS - {"HEAD"} and route.startswith("/"):
            yield f"{method} " + _ANGLED.sub(r"{\1}", route)
