"""The API's whole traffic, as its clients send it: every route, every kind of body, every header.

`test_edge.py` holds the routes here against the service's own OpenAPI document, so that a route
that is added there and not here is noticed.
"""

import gzip
import json
import secrets
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from acceptance.edge import firewall, wire
from acceptance.edge.wire import Request

FEEDER = "ieee33"
BUS = f"{FEEDER}-18"
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
LAST = FIRST + timedelta(days=7)
JSON, LINES = "application/json", "application/x-ndjson"
GZIP = {"Content-Encoding": "gzip"}
# The service's own limit on a batch.
MAX_READINGS = 10_000
# Keys are random; with a thousand of them, one that looks like an attack would show.
KEYS = 1000


Rows = Sequence[Mapping[str, object]]
Render = Callable[[Rows], bytes]


@dataclass(frozen=True)
class Exchange:
    """A request that must pass, and the statuses that the service may answer.

    `route` is as the OpenAPI document has it, and empty for none of the API's. What is
    `revalidated` is then sent again with the answer's ETag, for a 304; a `large` one is a small one
    over again, but for its size.
    """

    name: str
    route: str
    request: Request
    statuses: tuple[int, ...] = (200,)
    revalidated: bool = False
    large: bool = False


def amiss(wall: firewall.Firewall, exchange: Exchange, probe: str) -> Iterator[str]:
    """What is wrong with an exchange through a firewall: the service's answer must be its own."""
    answer = wire.send(wall.port, exchange.request, (firewall.PROBE_HEADER, probe))
    if not firewall.reached(answer):
        rules = ", ".join(wall.matches().get(probe, ())) or "no rule"
        yield f"{exchange.name}: blocked with {answer.status} by {rules}"
    elif answer.status not in exchange.statuses:
        said = f"{answer.status} instead of {exchange.statuses}: {answer.body[:99]!r}"
        yield f"{exchange.name}: {said}"
    elif exchange.revalidated:
        tag = answer.headers.get("ETag", "")
        again = Request(target=exchange.request.target, headers={"If-None-Match": tag})
        if (status := wire.send(wall.port, again).status) != 304:
            yield f"{exchange.name}: with its ETag {tag!r} {status} instead of 304"


def exchanges(api_key: str, body_limit_bytes: int) -> Iterator[Exchange]:
    """All of it, for a service that holds the IEEE 33-bus feeder, by a key that may write all.

    `body_limit_bytes` is the longest body that both sides take.
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


# What the service answers with an ETag.
TAGGED = {
    "/v1/feeders/{feeder_id}/buses",
    "/v1/feeders/{feeder_id}/lines",
    "/v1/feeders/{feeder_id}/readings",
    "/v1/buses/{bus_id}/readings",
    "/v1/overloads",
}


def _reads() -> Iterator[Exchange]:
    feeder, bus = "/v1/feeders/{feeder_id}", "/v1/buses/{bus_id}"
    whole = {"start": FIRST.isoformat(), "end": LAST.isoformat(), "limit": "1000"}
    for name, route, query in (
        ("the feeders", "/v1/feeders", {}),
        ("a feeder", feeder, {}),
        ("its buses", f"{feeder}/buses", {}),
        ("its lines", f"{feeder}/lines", {}),
        ("its load", f"{feeder}/load", {}),
        ("its state", f"{feeder}/state", {}),
        ("its readings", f"{feeder}/readings", {**whole, "bucket": "1h"}),
        ("a bus's readings", f"{bus}/readings", {**whole, "bucket": "raw"}),
        ("a bus's readings by the minute", f"{bus}/readings", {**whole, "bucket": "1m"}),
        ("what is overloaded", "/v1/overloads", {}),
        ("the OpenAPI document", "", {}),
    ):
        path = (route or "/v1/openapi.json").format(feeder_id=FEEDER, bus_id=BUS)
        yield Exchange(
            name, route and f"GET {route}", _get(path, **query), revalidated=route in TAGGED
        )
    packed = Request(target=f"/v1/feeders/{FEEDER}/buses", headers={"Accept-Encoding": "gzip, br"})
    yield Exchange("a compressed response", f"GET {feeder}/buses", packed)
    page = Request(target="/v1/docs", headers={"Accept": "text/html,application/xhtml+xml"})
    yield Exchange("the page for people", "", page, (200, 302))


def _get(path: str, **query: str) -> Request:
    suffix = "?" + urllib.parse.urlencode(query) if query else ""
    return Request(target=path + suffix)


def _writes(api_key: str, limit: int) -> Iterator[Exchange]:
    route = "POST /v1/readings"
    kinds: Sequence[tuple[str, Render, str, Mapping[str, str]]] = (
        ("JSON", _json, JSON, {}),
        ("JSON, compressed", _packed(_json), JSON, GZIP),
        ("lines", _ndjson, LINES, {}),
        ("lines, compressed", _packed(_ndjson), LINES, GZIP),
    )
    for series, (kind, render, content_type, more) in enumerate(kinds):
        small, most = render(_readings(33, series)), render(_readings(_most(limit), series))
        post = wire.post(api_key, small, content_type, more)
        yield Exchange(f"a batch, {kind}", route, post, (201,))
        yield Exchange(f"the same batch again, {kind}", route, post, (201,))
        post = wire.post(api_key, most, content_type, more)
        yield Exchange(f"the largest batch, {kind}", route, post, (201,), large=True)
    for name, status in (("a network", 201), ("the same network again", 200)):
        body = json.dumps(_network(), ensure_ascii=False).encode()
        post = wire.post(api_key, body, JSON, path="/v1/networks")
        yield Exchange(name, "POST /v1/networks", post, (status,))


def _refused_by_the_service(api_key: str) -> Iterator[Exchange]:
    """Mistakes of honest clients: the service explains them, so the firewall must not eat them."""
    route, one = "POST /v1/readings", _json(_readings(1, 0))
    yield Exchange("no key", route, wire.post("", one, JSON), (401,))
    yield Exchange("an empty batch", route, wire.post(api_key, _json([]), JSON), (422,))
    yield Exchange("half a batch", route, wire.post(api_key, one[:-5], JSON), (400,))
    yield Exchange("a type that is not read", route, wire.post(api_key, b"a;b", "text/csv"), (415,))
    feeder = "GET /v1/feeders/{feeder_id}"
    yield Exchange("no such feeder", feeder, _get("/v1/feeders/nowhere"), (404,))
    backwards = {"start": LAST.isoformat(), "end": FIRST.isoformat()}
    series = _get(f"/v1/buses/{BUS}/readings", **backwards)
    yield Exchange("a range backwards", "GET /v1/buses/{bus_id}/readings", series, (422,))


def _readings(count: int, series: int) -> Rows:
    """`count` readings of the feeder's buses, a minute apart; another series has other instants."""
    start = FIRST + timedelta(days=series)
    return [
        {
            "bus_id": f"{FEEDER}-{number % 33 + 1}",
            "measured_at": (start + timedelta(minutes=number // 33)).isoformat(),
            "kw": 90.0 + number % 7,
            "kvar": 40.0 + number % 3,
        }
        for number in range(count)
    ]


def _most(limit: int) -> int:
    """How many readings the largest batch has: as many as the API takes, or as a body holds."""
    return min(MAX_READINGS, limit // len(_ndjson(_readings(1, 0))))


def _network() -> Mapping[str, object]:
    """A feeder with a name as people give them."""
    name = "Zürich – Höngg (Netz 4, 11/0.4 kV) & O'Brien Street"
    return {
        "source": "network plan 2026, sheet 3; drawn by <planning@grid.example.com>",
        "feeder": {"id": "edge-test", "name": name, "nominal_kv": 11, "rated_kva": 4000},
        "buses": [{"number": number, "kw": 12.5, "kvar": 3.1} for number in range(1, 201)],
        "lines": [
            {"from": number, "to": number + 1, "r_ohm": 0.0922, "x_ohm": 0.047}
            for number in range(1, 200)
        ],
    }


def _json(rows: Rows) -> bytes:
    return json.dumps({"readings": rows}, separators=(",", ":")).encode()


def _ndjson(rows: Rows) -> bytes:
    return "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows).encode()


def _packed(render: Render) -> Render:
    return lambda rows: gzip.compress(render(rows), mtime=0)
