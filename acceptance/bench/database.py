"""Ingest against raw COPY of the same rows, and a month's series as the table grows.

Raw COPY is psycopg sending a text block that is there already, into the same table. Each round
sends each method new rows, in shuffled order; ratios are medians of pairs.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import psycopg
from flask.testing import FlaskClient
from gridos import create_app
from gridos.config import Settings
from gridos.domain.batch import Reading
from gridos.storage import pool
from gridos.storage import readings as stored

from acceptance.bench.throughput import cpu_s
from acceptance.services import KEY, WRITABLE, Service

FIRST = datetime(2003, 1, 1, tzinfo=UTC)
COPY = "COPY reading (bus_id, measured_at, kw, kvar) FROM STDIN"
BUSES = 33
HEADERS = {"X-API-Key": KEY, "Content-Type": "application/json"}
WARM_UP = 3
# A month of a bus at 15 min is at most so many rows.
MAX_ROWS = 100_000
MONTH = (
    f"/v1/feeders/ieee33/readings?bucket=15m&limit={MAX_ROWS}"
    "&start=2025-12-01T00:00:00Z&end=2026-01-01T00:00:00Z"
)

Row = tuple[str, datetime, float, float]
# What is made beforehand of a batch, and what is timed.
Method = tuple[Callable[[list[Row]], Any], Callable[[Any], None]]


def ingest(
    folder: Path, url: str, size: int, rounds: int, *, served: bool
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Seconds of each method in each round, and CPU-seconds of those of the database layer.

    The second are this process's and the backend's, however busy the machine is with other things.
    `served` adds a server of its own to the first.
    """
    times: dict[str, list[float]] = {}
    costs: dict[str, list[float]] = {}
    random, fresh = Random(33), _batches(size)
    with (
        psycopg.connect(url, autocommit=True, prepare_threshold=0) as connection,
        _client(url) as client,
        _served(folder, url, wanted=served) as over_http,
    ):
        storing = _storing(connection)
        methods = {**storing, "client": (_body, _posting(client)), **over_http}

        def spent_s() -> float:
            return time.process_time() + cpu_s(connection.info.backend_pid)

        for _ in range(rounds):
            for name in random.sample(list(methods), len(methods)):
                prepare, run = methods[name]
                prepared = prepare(next(fresh))
                before, began = spent_s(), time.perf_counter()
                run(prepared)
                times.setdefault(name, []).append(time.perf_counter() - began)
                if name in storing:
                    costs.setdefault(name, []).append(spent_s() - before)
    return times, costs


def _storing(connection: psycopg.Connection[Any]) -> dict[str, Method]:
    """The database layer by itself, and what it is measured by."""

    def copy(block: bytes) -> None:
        with connection.cursor() as cursor, cursor.copy(COPY) as copying:
            copying.write(block)

    def send(share: float) -> Method:
        """So much of a batch, the earliest of it, is stored before."""

        def send_before(rows: list[Row]) -> list[Reading]:
            batch = _readings(rows)
            before = batch[: round(len(batch) * share)]
            _exactly(stored.store(connection, before).stored, len(before))
            return batch

        def store(batch: list[Reading]) -> None:
            done = stored.store(connection, batch)
            _exactly(done.duplicates, round(len(batch) * share))
            _exactly(done.stored + done.duplicates, len(batch))

        return send_before if share else _readings, store

    return {
        "copy": (_block, copy),
        "append": send(0),
        "resent": send(1),
        "half resent": send(0.5),
        "a tenth resent": send(0.1),
    }


def _posting(client: FlaskClient) -> Callable[[bytes], None]:
    def post(body: bytes) -> None:
        answer = client.post("/v1/readings", data=body, headers=HEADERS)
        assert answer.status_code == 201, answer.text

    return post


@contextmanager
def _served(folder: Path, url: str, *, wanted: bool) -> Iterator[dict[str, Method]]:
    """A real server on a real socket, with one connection that is kept."""
    if not wanted:
        yield {}
        return
    with Service(folder, {**WRITABLE, "GRIDOS_DATABASE_URL": url}) as service:
        service.start().await_ready()
        connection = http.client.HTTPConnection("127.0.0.1", service.port)

        def post(body: bytes) -> None:
            connection.request("POST", "/v1/readings", body, HEADERS)
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status == 201, text

        yield {"served": (_body, post)}
        connection.close()


def _exactly(stored_rows: int, expected: int) -> None:
    assert stored_rows == expected, (stored_rows, expected)


def _readings(rows: list[Row]) -> list[Reading]:
    return [Reading(*row) for row in rows]


def _block(rows: list[Row]) -> bytes:
    return "".join(
        f"{bus}\t{at.isoformat()}\t{kw}\t{kvar}\n" for bus, at, kw, kvar in rows
    ).encode()


def _body(rows: list[Row]) -> bytes:
    named = [
        {"bus_id": bus, "measured_at": at.isoformat(), "kw": kw, "kvar": kvar}
        for bus, at, kw, kvar in rows
    ]
    return json.dumps({"readings": named}).encode()


def _batches(size: int) -> Iterator[list[Row]]:
    # Each size has readings of its own: a row's number is a bus and a time.
    number = size * 1_000_000
    while True:
        yield [
            (f"ieee33-{row % BUSES + 1}", FIRST + timedelta(seconds=row // BUSES), 61.5, 29.5)
            for row in range(number, number + size)
        ]
        number += BUSES * (size // BUSES + 1)


# Filling a table is not what is measured, so it need not survive a power cut.
QUICKLY = ("fsync = off", "full_page_writes = off", "max_wal_size = '8GB'", "autovacuum = off")
FEEDERS = """
INSERT INTO feeder (id, name, nominal_kv, rated_kva)
SELECT 'g' || f, 'Grown ' || f, 12.66, 5000 FROM generate_series(2, %(feeders)s) f
ON CONFLICT DO NOTHING
"""
GROWN_BUSES = """
INSERT INTO bus (id, feeder_id, number, nominal_kw, nominal_kvar)
SELECT 'g' || f || '-' || b, 'g' || f, b, 60, 30
FROM generate_series(2, %(feeders)s) f, generate_series(1, 33) b
ON CONFLICT DO NOTHING
"""
MONTHLY = Path(__file__).with_name("grow.sql").read_text("utf-8")


def grow(url: str, feeders: int) -> int:
    """Fills February to December 2025 with a reading each 15 min of so many feeders' 33 buses.

    Returns the number of rows of the table: 1.06 million a feeder.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        for setting in QUICKLY:
            connection.execute(f"ALTER SYSTEM SET {setting}")
        connection.execute("SELECT pg_reload_conf()")
        for setting in ("timezone = 'UTC'", "maintenance_work_mem = '1GB'", "work_mem = '1GB'"):
            connection.execute(f"SET {setting}")
        connection.execute(FEEDERS, {"feeders": feeders})
        connection.execute(GROWN_BUSES, {"feeders": feeders})
        for month in range(2, 13):
            _fill(connection, month, feeders)
        connection.execute("ALTER SYSTEM RESET ALL")
        connection.execute("SELECT pg_reload_conf()")
        connection.execute("ANALYZE; CHECKPOINT")
        (rows,) = connection.execute("SELECT count(*) FROM reading").fetchone() or (0,)
    return int(rows)


def _fill(connection: psycopg.Connection[Any], month: int, feeders: int) -> None:
    table = f"reading_2025_{month:02}"
    first = f"2025-{month:02}-01"
    following = f"2025-{month + 1:02}-01" if month < 12 else "2026-01-01"
    # In the transaction that makes the table, so that nothing of it is written to the log.
    with connection.transaction():
        for statement in (
            f"DROP TABLE IF EXISTS {table}",
            f"CREATE TABLE {table} (LIKE reading)",
            MONTHLY.format(table=table, first=first, next=following, feeders=feeders),
            f"ALTER TABLE {table} ADD PRIMARY KEY (bus_id, measured_at)",
            f"ALTER TABLE reading ATTACH PARTITION {table}"
            f" FOR VALUES FROM ('{first}') TO ('{following}')",
        ):
            connection.execute(statement)


@dataclass
class Month:
    """December in 15 min buckets over HTTP, of a table of so many rows; `seconds` of each page."""

    table_rows: int
    seconds: list[float] = field(default_factory=list)
    plain: bytes = b""
    packed: bytes = b""


def months(folder: Path, tables: Mapping[str, int], repeats: int) -> list[Month]:
    """Asks for a month of each table, in turns; `tables` are numbers of rows by URL."""
    with ExitStack() as stack:
        asking = []
        for number, (url, rows) in enumerate(tables.items()):
            variables = {**WRITABLE, "GRIDOS_DATABASE_URL": url}
            service = stack.enter_context(Service(folder, variables, f"series-{number}"))
            service.start().await_ready()
            connection = http.client.HTTPConnection("127.0.0.1", service.port)
            stack.callback(connection.close)
            asking.append((connection, Month(rows)))
        for turn in range(WARM_UP + repeats):
            for connection, month in asking:
                began = time.perf_counter()
                status, month.plain = _get(connection, {})
                taken = time.perf_counter() - began
                # The first ones after filling meet a cold table, and may not be in time.
                if turn >= WARM_UP:
                    assert status == 200, month.plain
                    month.seconds.append(taken)
        for connection, month in asking:
            _, month.packed = _get(connection, {"Accept-Encoding": "gzip"})
    return [month for _, month in asking]


def _get(connection: http.client.HTTPConnection, headers: Mapping[str, str]) -> tuple[int, bytes]:
    connection.request("GET", MONTH, headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


@contextmanager
def _client(url: str) -> Iterator[FlaskClient]:
    """The application in this process, its access lines written to nowhere."""
    settings = Settings(
        url, api_keys=KEY, key_requests_per_second=1_000_000, max_body_bytes=1 << 24
    )
    with Path(os.devnull).open("w") as nowhere:
        with contextlib.redirect_stdout(nowhere):
            app = create_app(settings)
        pool.open_pool(app)
        try:
            yield app.test_client()
        finally:
            pool.close_pool(app)
