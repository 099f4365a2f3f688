"""The users' requests of `rehearsal.yaml`, chosen and filled in, the same for the same seed.

Placeholders in paths, headers and JSON: `{now}` is the time in RFC 3339, `{int:A:B}` a whole number
from A to B, anything else is looked up among the values the caller gives (`{secret-name.key}`).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from typing import Any

from canary.rehearse.config import Request

_PLACEHOLDER = re.compile(r"\{([\w.-]+(?::-?\d+:-?\d+)?)\}")


@dataclass(frozen=True)
class Prepared:
    """A request ready to be sent; `name` is its path as configured, to group figures by."""

    method: str
    name: str
    path: str
    headers: Mapping[str, str]
    json: Any


@dataclass(frozen=True)
class Mix:
    """Draws requests by weight and fills them in."""

    requests: Sequence[Request]
    values: Mapping[str, str]
    random: Random

    def draw(self) -> Prepared:
        """The next request of this user."""
        (request,) = self.random.choices(self.requests, [r.weight for r in self.requests])
        return Prepared(
            method=request.method,
            name=request.path,
            path=self._fill(request.path),
            headers={key: self._fill(value) for key, value in request.headers.items()},
            json=self._fill_all(request.json_body),
        )

    def _fill_all(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._fill(value)
        if isinstance(value, list):
            return [self._fill_all(item) for item in value]
        if isinstance(value, dict):
            return {key: self._fill_all(item) for key, item in value.items()}
        return value

    def _fill(self, text: str) -> str:
        return _PLACEHOLDER.sub(self._value, text)

    def _value(self, found: re.Match[str]) -> str:
        name, _, bounds = found[1].partition(":")
        if name == "now":
            return datetime.now(UTC).isoformat()
        if name == "int" and bounds:
            low, _, high = bounds.partition(":")
            return str(self.random.randint(int(low), int(high)))
        return self.values[name]
