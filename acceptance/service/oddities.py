"""Requests that are lawful and rare, or nearly lawful, each with the statuses it must meet.

Found by trying what clients, scanners and other servers' bug threads send. None may be a failure of
ours, and the service must count every response once, whoever stands in front.
"""

import gzip
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from acceptance.client import ask
from acceptance.service import wire
from acceptance.services import KEY, WRITABLE, Service
from canary.runtime.gateway import Gateway
from canary.runtime.waiting import wait_until

# So many responses to one case at most; a gateway gives up on who ends its side before them.
MAX_RESPONSES = 20
GATEWAY_PATIENCE_S = 3.0
MANY_DIGITS = "9" * 5000
NO_DATE = "Thu, 01 Jan 99999999999 00:00:00 GMT"
NO_ZONE = "Thu, 01 Jan 2026 00:00:00 +99999999999999"
NOT_COUNTED = ("/metrics", "/livez", "/readyz")


def _get(path: str = "/version", method: str = "GET", **headers: str) -> bytes:
    return wire.head(method, path, {name.replace("_", "-"): x for name, x in headers.items()})


def _post(framing: str, body: str | bytes = "{}", path: str = "/v1/readings") -> bytes:
    named = f"Host: x\r\nX-API-Key: {KEY}\r\nContent-Type: application/json\r\n{framing}\r\n\r\n"
    body = body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass")
    return f"POST {path} HTTP/1.1\r\n{named}".encode("latin-1") + body


def _batch(body: str | bytes, path: str = "/v1/readings", framing: str = "") -> bytes:
    size = len(body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass"))
    return _post(f"Content-Length: {size}{framing}", body, path)


def _reading(**values: str) -> bytes:
    given = {
        "bus_id": '"ieee33-2"',
        "measured_at": '"2011-01-01T00:00:00Z"',
        "kw": "1",
        "kvar": "1",
        **values,
    }
    fields = ", ".join(f'"{name}": {text}' for name, text in given.items())
    return _batch(f'{{"readings": [{{{fields}}}]}}')


def _network(**line: float | str) -> bytes:
    feeder = {"id": "odd", "name": "Odd", "nominal_kv": 10, "rated_kva": 800}
    buses = [{"number": 1, "kw": 0, "kvar": 0}, {"number": 2, "kw": 1, "kvar": 1}]
    lines = [{"from": 1, "to": 2, "r_ohm": 0.4, "x_ohm": 0.3, **line}]
    network = {"feeder": feeder, "buses": buses, "lines": lines}
    return _batch(json.dumps(network), "/v1/networks")


def _chunks(*chunks: str) -> bytes:
    return _post("Transfer-Encoding: chunked", "\r\n".join([*chunks, ""]))


STATE = "/v1/feeders/ieee33/state"
SERIES = "/v1/feeders/ieee33/readings"
# By what is odd: what is sent, and the statuses of the responses in their order.
CASES: Mapping[str, tuple[bytes, str]] = {
    # ------------------------------------------------------------------------- lines and targets
    "an empty line before the request": (b"\r\n" + _get(), "200"),
    "HTTP/1.0 without a host": (b"GET /version HTTP/1.0\r\n\r\n", "200"),
    "HTTP/1.0 that keeps alive": (
        b"GET /version HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" * 2, "200 200",
    ),
    "HTTP/1.0 in chunks": (_chunks("2", "{}", "0", "").replace(b"1.1", b"1.0"), "400"),
    "a target with a scheme": (_get("http://x/version"), "200"),
    "a target with a user": (_get("http://a:b@x/version"), "200"),
    "a target that is not an address": (_get("http://[::1/version"), "400"),
    "a target of a star": (_get("*", "OPTIONS"), "404"),
    "a tunnel": (_get("x:443", "CONNECT"), "404"),
    "dots in a path": (_get("/v1/../version"), "404"),
    "a null byte in a file's name": (_get("/v1/map/%00"), "404"),
    "a long file name": (_get("/v1/map/" + "a" * 5000), "404"),
    "a null byte in a bus's id": (_get("/v1/buses/%00/readings"), "404"),
    "bytes that are not UTF-8": (_get("/v1/buses/%ff%fe/readings?start=%ff"), "422"),
    "pipelined": (_get() * 10, "200 " * 10),
    "pipelined, the third malformed": (_get() * 2 + b"BAD\r\n\r\n" + _get(), "200 200 400"),
    "pipelined behind a body": (_reading(kw='"1"') + _get(), "422 200"),
    # ------------------------------------------------------------------------------------ headers
    "a host with a space": (b"GET /version HTTP/1.1\r\nHost: a b\r\n\r\n", "200"),
    "a host that is too long": (
        b"GET /version HTTP/1.1\r\nHost: " + b"a" * 70 + b".b\r\n\r\n", "400",
    ),
    "a hundred headers": (_get(**{f"H{n}": "x" for n in range(99)}), "200"),
    "a header of null bytes": (_get(A="b\0c"), "400"),
    "a key of bytes": (_get("/v1/readings", "POST", X_API_Key="\xff\xfe"), "401"),
    "a websocket": (_get(Connection="Upgrade", Upgrade="websocket"), "400"),
    "HTTP/2 by upgrade": (_get(Connection="Upgrade", Upgrade="h2c"), "200"),
    "odd qualities": (_get(STATE, Accept_Encoding="gzip;q=nan,*;q=-1,a;q=1e9"), "200"),
    # ----------------------------------------------------------------------- conditions and ranges
    "a year that there is not": (_get(STATE, If_Modified_Since=NO_DATE), "200"),
    "a zone that there is not": (_get(SERIES, If_Modified_Since=NO_ZONE), "200"),
    "such a year of a file": (_get("/v1/map", If_Modified_Since=NO_DATE), "200"),
    "such a year of a range": (_get("/v1/map", Range="bytes=0-1", If_Range=NO_DATE), "200"),
    "a range of many digits": (_get("/v1/map", Range=f"bytes={MANY_DIGITS}-"), "416"),
    "a range that is empty": (_get("/v1/map", Range="bytes=5-2"), "416"),
    "a range of rows": (_get("/v1/map", Range="rows=0-9"), "200"),
    "a range of a state": (_get(STATE, Range="bytes=0-1"), "200"),
    "a match that is none": (_get(STATE, If_Match='"x"'), "412"),
    "any tag": (_get(STATE, If_None_Match="*"), "304"),
    # ------------------------------------------------------------------------------------ framings
    "a length with zeros before it": (_post(f"Content-Length: {'0' * 30}2"), "422"),
    "a length of many digits": (_post(f"Content-Length: {MANY_DIGITS}"), "400"),
    "the same length twice": (_post("Content-Length: 2\r\nContent-Length: 2"), "400"),
    "a length with an underscore": (_post("Content_Length: 2", ""), "400"),
    "a length and chunks": (_post("Content-Length: 2\r\nTransfer-Encoding: chunked"), "400"),
    "two codings": (_post("Transfer-Encoding: chunked, gzip", "2\r\n{}\r\n0\r\n\r\n"), "400"),
    "a coding in the next line": (_post("Transfer-Encoding:\r\n chunked"), "400"),
    "a chunk's size with zeros before it": (_chunks("00000000000002", "{}", "0", ""), "422"),
    "a chunk's size with a prefix": (_chunks("0x2", "{}", "0", ""), "400"),
    "a chunk with an extension": (_chunks('2;a="b"', "{}", "0", ""), "422"),
    "chunks with a trailer": (_chunks("2", "{}", "0", "X: y", ""), "422"),
    "a trailer with a length": (_chunks("2", "{}", "0", "Content-Length: 9", ""), "400"),
    "chunks with bare line feeds": (_post("Transfer-Encoding: chunked", "2\n{}\n0\n\n"), "400"),
    "a read with a body": (_get(Content_Length="200000") + b"x" * 200_000, "200"),
    "a read with a chunk that is none": (_get(Transfer_Encoding="chunked") + b"zz\r\n", "200"),
    "no body expected": (_get(Expect="100-continue"), "100 200"),
    "an empty body expected": (_batch("", framing="\r\nExpect: 100-continue"), "100 400"),
    "an expectation twice": (_batch("{}", framing="\r\nExpect: 100-continue" * 2), "100 422"),
    "an expectation in HTTP/1.0": (
        _batch("{}", framing="\r\nExpect: 100-continue").replace(b"HTTP/1.1", b"HTTP/1.0"), "422",
    ),
    "an expectation with a quality": (_batch("{}", framing="\r\nExpect: 100-continue;q=1"), "417"),
    # -------------------------------------------------------------------------------------- bodies
    "gzip of gzip": (
        _batch(gzip.compress(gzip.compress(b"{}")), framing="\r\nContent-Encoding: gzip"), "400",
    ),
    "two encodings": (_batch("{}", framing="\r\nContent-Encoding: gzip, gzip"), "415"),
    "a byte order mark": (_batch("\ufeff{}"), "400"),
    "UTF-16": (_batch('{"readings": []}'.encode("utf-16")), "400"),
    "half a character, escaped": (_reading(bus_id='"\\ud800"'), "400"),
    "half a character, as it is": (_reading(bus_id='"\ud800"'), "422"),
    "a null byte in an id": (_reading(bus_id='"a\\u0000b"'), "422"),
    "a number that is not one": (_reading(kw="NaN"), "400"),
    "an infinite number": (_reading(kw="1e400"), "422"),
    "a number of many digits": (_reading(kw=MANY_DIGITS), "422"),
    "a number below the smallest": (_reading(kvar="-1e-400"), "201"),
    "a field twice": (_reading(kw='1, "kw": 2', measured_at='"2011-01-02T00:00:00Z"'), "201"),
    "a leap second": (_reading(measured_at='"2016-12-31T23:59:60Z"'), "422"),
    "a day that there is not": (_reading(measured_at='"2023-02-29T00:00:00Z"'), "422"),
    "the zone farthest east": (_reading(measured_at='"2011-01-03T00:00:00+23:59"'), "201"),
    "before the first year": (_reading(measured_at='"0001-01-01T00:00:00+23:59"'), "422"),
    "after the last year": (_reading(measured_at='"9999-12-31T23:59:59-23:59"'), "422"),
    "nanoseconds": (_reading(measured_at='"2011-01-04T00:00:00.123456789Z"'), "201"),
    "a resistance that is none": (_network(r_ohm=float("nan")), "422"),
    "a resistance below the smallest": (_network(r_ohm=5e-324, x_ohm=0), "201"),
    "the state of such a line": (_get("/v1/feeders/odd/state"), "409"),
    # ------------------------------------------------------------------------------------- queries
    "a range at the end of time": (_get(f"{SERIES}?start=9999-12-31T23:59:59Z"), "422"),
    "a range at its beginning": (_get(f"{SERIES}?end=0001-01-01T00:00:00%2B14:00"), "422"),
    "all that is thinkable": (
        _get(f"{SERIES}?bucket=1h&start=0001-01-02T00:00:00Z&end=9999-12-30T00:00:00Z"), "200",
    ),
    "a limit in other digits": (_get(f"{SERIES}?limit=%D9%A2"), "422"),
    "a limit of many digits": (_get(f"{SERIES}?limit={MANY_DIGITS}"), "422"),
    "a parameter many times": (_get(SERIES + "?" + "limit=1&" * 500), "200"),
    "metrics in a version that is none": (
        _get("/metrics", Accept="application/openmetrics-text;version=abc"), "200",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Forwarded:
    """What callers got; by status, what the gateway had from the pod, and what the pod counted.

    `broken` are those that the gateway broke off: the pod may have answered them, or not met them.
    """

    answered: Mapping[str, str]
    whole: Counter[str]
    broken: int
    counted: Counter[str]


def run(folder: Path, database_url: str) -> Forwarded:
    """Sends every case to a pod behind a real gateway; the database is migrated and seeded."""
    given = {**WRITABLE, "GRIDOS_DATABASE_URL": database_url}
    gateway = Gateway(folder / "gateway")
    with Service(folder, given) as pod:
        gateway.start()
        try:
            pod.start().await_ready()
            gateway.route({pod.port})
            assert wait_until(lambda: gateway.routed_ports() == {pod.port}, timeout_s=20)
            answered = send(gateway.port, ends=False)
        finally:
            gateway.stop()
        counted = wire.statuses(ask(f"{pod.url}/metrics").text)
    met = [
        access
        for access in gateway.accesses()
        if access.port == pod.port and access.path not in NOT_COUNTED
    ]
    whole = Counter(str(access.status) for access in met if not access.flags)
    return Forwarded(answered, whole, len(met) - whole.total(), counted)


def send(port: int, *, ends: bool = True) -> dict[str, str]:
    """Sends every case on a connection of its own; the statuses of the responses, by case.

    Where it `ends` its side, whatever comes is read, and else as many as there must be.
    """
    answered = {}
    for case, (content, statuses) in CASES.items():
        most = MAX_RESPONSES if ends else len(statuses.split())
        answered[case] = " ".join(map(str, _send(port, content, most, ends=ends)))
    return answered


def expected() -> dict[str, str]:
    """What `send` must return."""
    return {case: statuses.strip() for case, (_, statuses) in CASES.items()}


def count(answered: Mapping[str, str]) -> Counter[str]:
    """How many responses of each status the service must have counted."""
    counted: Counter[str] = Counter()
    for case, statuses in answered.items():
        if CASES[case][0].split(b" ")[1].decode("latin-1") not in NOT_COUNTED:
            counted.update(status for status in statuses.split() if status != "100")
    return counted


def _send(port: int, content: bytes, most: int, *, ends: bool) -> list[int]:
    statuses: list[int] = []
    with wire.connect(port) as connection:
        wire.send(connection, content)
        if ends:
            wire.finish(connection)
        else:
            connection.settimeout(GATEWAY_PATIENCE_S)
        while len(statuses) < most:
            status = wire.receive(connection).status
            if status == wire.NO_ANSWER:
                break
            statuses.append(status)
    return statuses
