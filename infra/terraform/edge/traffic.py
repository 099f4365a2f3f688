"""The API's whole traffic, as its clients send it: every route, every kind of body, every header.

`test_edge.py` holds the routes here against the service's own OpenAPI document, so that a route
that is added there and not here is noticed.
"""

from __future__ import annotations

import json
import secrets
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from wire import Request

FEEDER = "ieee33"
BUS = f"{FEEDER}-18"
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
# The service's own limit on a batch.
MOST_READINGS = 10_000
# Keys are random; with a thousand of them, one that looks like an attack would show.
KEYS = 1000


@dataclass(frozen=True)
class Exchange:
    """A request that must pass, and what the service must answer.

    Attributes:
        name: What it shows.
        route: Method and path as the OpenAPI document has them; empty for no route of the API's.
        request: It.
        status: The status that the service gives it.
        revalidated: Whether it is then sent again with the answer's ETag, for a 304.
        large: Whether it is a small exchange over again, but for its size.
    """

    name: str
    route: str
    request: Request
    status: int = 200
    revalidated: bool = False
    large: bool = False


def exchanges(api_key: str, body_limit_bytes: int) -> Iterator[Exchange]:
    """All of it, for a service that holds the IEEE 33-bus feeder.

    Args:
        api_key: A key that may write readings and networks.
        body_limit_bytes: The longest body that both sides take.
    """
    yield from _reads()
    yield from _writes(api_key, body_limit_bytes)
    yield from _refused_by_the_service(api_key)


def requests_with_keys() -> Iterator[Request]:
    """Requests with keys of every shape that people make them in; each is refused, but as a key."""
    for number in range(KEYS):
        shape = (secrets.token_urlsafe, secrets.token_hex, _printable)[number % 3]
        headers = {"Content-Type": "application/json", "X-API-Key": shape(32)}
        yield Request("POST", "/v1/readings", headers, b"{}")


def _printable(length: int) -> str:
    """A key out of a password manager: any printable character but the space."""
    return "".join(chr(secrets.choice(range(0x21, 0x7F))) for _ in range(length))


def _reads() -> Iterator[Exchange]:
    yield Exchange("the feeders", "GET /v1/feeders", Request(target="/v1/feeders"))
    for name, path in (("a feeder", ""), ("its load", "/load")):
        yield Exchange(
            name, f"GET /v1/feeders/{{feeder_id}}{path}", _get(f"/v1/feeders/{FEEDER}{path}")
        )


def _get(path: str, **query: str) -> Request:
    suffix = "?" + urllib.parse.urlencode(query) if query else ""
    return Request(target=path + suffix)


def _writes(api_key: str, limit: int) -> Iterator[Exchange]:
    route = "POST /v1/readings"
    batch = _json(_readings(33, 0))
    most = _json(_readings(_fitting(limit, _json), 1))
    yield Exchange("a batch, JSON", route, _post(api_key, batch, "application/json"), 201)
    yield Exchange(
        "the largest batch, JSON", route, _post(api_key, most, "application/json"), 201, large=True
    )


def _refused_by_the_service(api_key: str) -> Iterator[Exchange]:
    """Mistakes of honest clients: the service explains them, so the firewall must not eat them."""
    route = "POST /v1/readings"
    yield Exchange("no key", route, _post("", b"{}", "application/json"), 401)
    yield Exchange("no batch", route, _post(api_key, b"{}", "application/json"), 422)
    yield Exchange(
        "no such feeder", "GET /v1/feeders/{feeder_id}", _get("/v1/feeders/nowhere"), 404
    )


def _readings(count: int, series: int) -> Sequence[Mapping[str, object]]:
    """`count` readings of the feeder's buses, a minute apart; another series has other instants."""
    start = FIRST + timedelta(days=365 * series)
    return [
        {
            "bus_id": f"{FEEDER}-{number % 33 + 1}",
            "measured_at": (start + timedelta(minutes=number // 33)).isoformat(),
            "kw": 90.0 + number % 7,
            "kvar": 40.0 + number % 3,
        }
        for number in range(count)
    ]


def _fitting(limit: int, render: Callable[[Sequence[Mapping[str, object]]], bytes]) -> int:
    """How many readings the largest batch has: as many as the API takes, or as the body holds."""
    return min(MOST_READINGS, limit // len(render(_readings(1, 0))))


def _json(rows: Sequence[Mapping[str, object]]) -> bytes:
    return json.dumps({"readings": rows}, separators=(",", ":")).encode()


def _ndjson(rows: Sequence[Mapping[str, object]]) -> bytes:
    return "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows).encode()


def _post(
    api_key: str, body: bytes, content_type: str, more: Mapping[str, str] | None = None
) -> Request:
    headers = {"Content-Type": content_type, "X-API-Key": api_key, **(more or {})}
    return Request("POST", "/v1/readings", headers, body)
