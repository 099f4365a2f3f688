"""Ten thousand hostile requests, in every framing that HTTP/1.1 has and in some that it has not.

None may be answered with a failure of ours, none stored in part, and the service must have counted
just the answers that callers saw. Callers therefore read what they are answered: to the end of the
connection where what they send may be taken for more than one request.
"""

import gzip
import json
import socket
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import psycopg

from acceptance.client import ask
from acceptance.service import wire
from acceptance.services import KEY, WRITABLE, Service
from canary.runtime import program

CALLERS = 6
FIRST = datetime(2012, 1, 1, tzinfo=UTC)
LAST = datetime(2020, 1, 1, tzinfo=UTC)
LIMIT = 1 << 20
READ_ONLY = "a-key-that-reads"
JSON, LINES = "application/json", "application/x-ndjson"


@dataclass(frozen=True)
class Attack:
    """What is sent; `rows` is how many readings must be stored if the answer is 201.

    Where `ends`, the sender ends its side and reads until the other side ends too. Where `waits`,
    the body is sent when it is asked for.
    """

    kind: str
    head: bytes
    body: bytes = b""
    rows: int = 0
    ends: bool = False
    waits: bool = False


@dataclass
class Outcome:
    """What callers saw, what the service counted of it, and what it stored."""

    sent: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    counted: Counter[str] = field(default_factory=Counter)
    kinds: Counter[tuple[str, str]] = field(default_factory=Counter)
    stored_rows: int = 0
    acknowledged_rows: int = 0
    torn: list[str] = field(default_factory=list)
    unhandled: int = 0

    @property
    def failures(self) -> int:
        """Answers of 500 and above."""
        return sum(count for status, count in self.counted.items() if status >= "500")


class _Rows:
    """Readings that nobody sent before."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sent = 0

    def take(self, count: int, width: int = 0) -> list[bytes]:
        with self._lock:
            first, self._sent = self._sent, self._sent + count
        return [
            json.dumps(
                {
                    "bus_id": f"ieee33-{number % 32 + 2}",
                    "measured_at": (FIRST + timedelta(seconds=number)).isoformat(),
                    "kw": 1.5,
                    "kvar": -0.5,
                }
            )
            .encode()
            .ljust(width)
            for number in range(first, first + count)
        ]


def _head(method: str = "POST", path: str = "/v1/readings", **headers: str) -> bytes:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    named = {"X-API-Key": KEY, "Content-Type": LINES, **given}
    return wire.head(method, path, {name: value for name, value in named.items() if value})


def _framed(random: Random, kind: str, body: bytes, rows: int, **headers: str) -> Attack:
    """A body with a length or in chunks, asked for or not, in the order of HTTP."""
    waits = random.random() < 0.2
    expect = {"Expect": "100-continue"} if waits else {}
    if random.random() < 0.5:
        head = _head(**headers, **expect, Content_Length=str(len(body)))
        return Attack(f"{kind}, length", head, body, rows, waits=waits)
    size = random.choice((7, 100, 4096, 65_536, 1 << 20)) if len(body) < LIMIT else 65_536
    head = _head(**headers, **expect, Transfer_Encoding="chunked")
    return Attack(f"{kind}, chunks", head, wire.chunked(body, size), rows, waits=waits)


def _batch(random: Random, rows: list[bytes]) -> tuple[bytes, dict[str, str]]:
    """Rows in one of the two media types, packed or not; packed, in members."""
    lines = random.random() < 0.5
    body = b"\n".join(rows) if lines else b'{"readings": [' + b",".join(rows) + b"]}"
    headers = {"Content-Type": LINES if lines else JSON}
    if random.random() < 0.5:
        return body, headers
    cut = random.randrange(len(body) + 1)
    packed = gzip.compress(body[:cut], 1) + gzip.compress(body[cut:], 1)
    return packed, {**headers, "Content-Encoding": "gzip"}


def _good(random: Random, rows: _Rows) -> Attack:
    taken = rows.take(random.randrange(1, 30))
    body, headers = _batch(random, taken)
    return _framed(random, "good", body, len(taken), **headers)


def _large(random: Random, rows: _Rows) -> Attack:
    """Just at the limit, or above it, as it is sent or unpacked."""
    if random.random() < 0.3:
        packed = gzip.compress(b" " * (9 << 20), 1)
        return _framed(random, "bomb", packed, 0, Content_Encoding="gzip")
    count = random.choice((LIMIT // 256, LIMIT // 256 + 1, 2 * LIMIT // 256))
    body = b"\n".join(rows.take(count, 255)) + b"\n"
    return _framed(random, "large", body, count)


def _torn(random: Random, rows: _Rows) -> Attack:
    """Cut off or spoilt, somewhere."""
    body = b"\n".join(rows.take(20)) + b"\n"
    cut = random.randrange(1, len(body) - 1)
    if random.random() < 0.4:
        packed = gzip.compress(body, 1)
        spoilt = random.choice((packed[:-1], packed[:20], packed + b"x", packed + packed[:-4]))
        return _framed(random, "torn gzip", spoilt, 0, Content_Encoding="gzip")
    if random.random() < 0.3:
        return Attack("short", _head(Content_Length=str(len(body))), body[:cut], ends=True)
    chunks = wire.chunked(body, random.choice((50, 500, 5000)))
    spoilt = random.choice(
        (
            chunks[:-5],
            chunks[:-2],
            chunks[: random.randrange(1, len(chunks) - 5)],
            b"zz\r\n" + chunks,
            b"-1\r\n" + chunks,
            b"f" * 30 + b"\r\n" + chunks,
            b"5;" + b"a" * 20_000 + b"\r\n" + chunks,
            chunks.replace(b"\r\n", b"XX", 2),
            chunks[:-2] + b"no trailer\r\n\r\n",
        )
    )
    return Attack("torn chunks", _head(Transfer_Encoding="chunked"), spoilt, ends=True)


def _refused(random: Random, rows: _Rows) -> Attack:
    """Refused before the body is read, with bodies of any size."""
    size = random.choice((1, 1000, 70_000, 150_000, 1_500_000))
    how: dict[str, str] = random.choice(
        (
            {"X_API_Key": "revoked"},
            {"X_API_Key": ""},
            {"X_API_Key": READ_ONLY},
            {"Content_Type": "text/plain"},
            {"Content_Encoding": "br"},
            {"path": "/v1/nowhere"},
            {"path": "/v1/feeders"},
            {"method": "PUT"},
            {"method": "DELETE", "path": "/v1/overloads"},
            {"path": "/v1/readings?on_conflict=maybe"},
        )
    )
    body = b"\n".join(rows.take(1, size - 1)) + b"\n"
    return _framed(random, "refused", body, 0, **how)


def _malformed(random: Random, _: _Rows) -> Attack:
    """No request at all."""
    lines: bytes = random.choice(
        (
            b"nonsense\r\n\r\n",
            b"GET /v1/feeders\r\n\r\n",
            b"get / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET / HTTP/7.0\r\nHost: x\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost x\r\n\r\n",
            b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 9000 + b"\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 200 + b"\r\n",
            b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
            b"POST / HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\n\r\n",
            bytes(random.randrange(256) for _ in range(300)) + b"\r\n\r\n",
        )
    )
    return Attack("malformed", lines, ends=True)


def _read(random: Random, _: _Rows) -> Attack:
    """Reads that cost much, make no sense, or come with strange headers."""
    path = random.choice(
        (
            "/v1/feeders",
            "/v1/feeders/ieee33/state",
            "/v1/overloads",
            "/v1/feeders/ieee33/readings?bucket=1h&limit=100000",
            "/v1/feeders/ieee33/readings?bucket=1h&limit=100000&start=2000-01-01T00:00:00Z",
            "/v1/buses/ieee33-2/readings?bucket=1m&limit=100000&start=0001-01-01T00:00:00Z",
            "/v1/feeders/%00/readings?start=yesterday&after=%ff",
            f"/v1/buses/{'x' * 500}/readings",
            f"/v1/buses/{random.random()}/readings",
            "/v1/feeders/..%2f..%2fetc/load",
        )
    )
    strange = random.choice(
        ({}, {"SCRIPT_NAME": "/x"}, {"Accept-Encoding": "gzip"}, {"If-None-Match": 'W/"x"'})
    )
    method = random.choice(("GET", "GET", "HEAD", "OPTIONS"))
    return Attack("read", wire.head(method, path, strange))


def _wrong(random: Random, rows: _Rows) -> Attack:
    """Whole bodies with something wrong in them."""
    row = rows.take(1)[0]
    body = random.choice(
        (
            row + b"\n" + row,
            row.replace(b"2012-", b"2099-"),
            row.replace(b"1.5", b"1e999"),
            row.replace(b"ieee33", b"nowhere"),
            b"1\n" * 100_000,
            b"[" * 100_000,
            b"\xff\xfe",
            b"{}\n" * 9_999,
            b"",
        )
    )
    return _framed(random, "wrong", body, 0)


KINDS: tuple[Callable[[Random, _Rows], Attack], ...] = (
    _good, _torn, _refused, _malformed, _read, _wrong, _torn, _refused, _large,
)  # fmt: skip


class _Caller:
    """Sends attacks one after the other, on one connection while it holds."""

    def __init__(self, port: int, seed: str, requests: int, rows: _Rows) -> None:
        self._port, self._left, self._rows = port, requests, rows
        self._random = Random(seed)
        self._connection: socket.socket | None = None
        self.outcome = Outcome()

    def run(self) -> None:
        """Until all are sent."""
        for _ in range(self._left):
            attack = self._random.choice(KINDS)(self._random, self._rows)
            self.outcome.sent += 1
            self._carry_out(attack)
        self._close()

    def _carry_out(self, attack: Attack) -> None:
        connection = self._connection = self._connection or wire.connect(self._port)
        wire.send(connection, attack.head if attack.waits else attack.head + attack.body)
        if attack.ends:
            wire.finish(connection)
        answer = self._receive(attack)
        if answer.status == 100:
            wire.send(connection, attack.body)
            answer = self._receive(attack)
        while attack.ends and answer.status != wire.NO_ANSWER:
            answer = self._receive(attack)
        if attack.ends or not answer.keeps or answer.status == wire.NO_ANSWER:
            self._close()

    def _receive(self, attack: Attack) -> wire.Answer:
        connection = self._connection
        assert connection is not None
        answer = wire.receive(connection, has_body=not attack.head.startswith(b"HEAD"))
        status = str(answer.status)
        if answer.status == 201:
            stored = json.loads(answer.body)["stored"]
            self.outcome.acknowledged_rows += stored
            if stored != attack.rows:
                self.outcome.torn.append(f"{attack.kind}: {stored} of {attack.rows}")
        if answer.status not in (wire.NO_ANSWER, 100):
            self.outcome.seen[status] += 1
        if not (attack.ends and answer.status == wire.NO_ANSWER):
            self.outcome.kinds[attack.kind, status] += 1
        return answer

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def run(folder: Path, database_url: str, requests: int, seed: int) -> Outcome:
    """Sends so many requests to a pod; the database is migrated and seeded."""
    keys = f"{KEY}:readings,{READ_ONLY}:networks"
    given = {**WRITABLE, "GRIDOS_DATABASE_URL": database_url, "GRIDOS_API_KEYS": keys}
    outcome, rows = Outcome(), _Rows()
    with Service(folder, given) as pod:
        pod.start().await_ready()
        share = [requests // CALLERS + (n < requests % CALLERS) for n in range(CALLERS)]
        callers = [_Caller(pod.port, f"{seed}-{n}", each, rows) for n, each in enumerate(share)]
        with program.threads(CALLERS) as pool:
            list(pool.map(_Caller.run, callers))
        for caller in callers:
            outcome.sent += caller.outcome.sent
            outcome.seen += caller.outcome.seen
            outcome.kinds += caller.outcome.kinds
            outcome.acknowledged_rows += caller.outcome.acknowledged_rows
            outcome.torn += caller.outcome.torn
        outcome.counted = wire.statuses(ask(f"{pod.url}/metrics").text)
    outcome.unhandled = pod.log.read_text("utf-8").count("unhandled exception")
    with psycopg.connect(database_url) as connection:
        counted = connection.execute(
            "SELECT count(*) FROM reading WHERE measured_at >= %s AND measured_at < %s",
            (FIRST, LAST),
        ).fetchone()
    outcome.stored_rows = int(counted[0]) if counted else 0
    return outcome
