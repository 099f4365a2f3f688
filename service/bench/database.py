"""Ingest against raw COPY of the same rows, and a month's series as the table grows.

Raw COPY is psycopg's binary COPY of tuples that are there already, into the same table. Each round
sends each method new rows, in shuffled order; ratios are medians of pairs.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import psycopg
from gridos import create_app
from gridos.config import Settings
from gridos.domain.batch import Reading
from gridos.storage import pool
from gridos.storage import readings as stored
from proofs.pods import KEY

FIRST = datetime(2027, 1, 1, tzinfo=UTC)
COPY = "COPY reading (bus_id, measured_at, kw, kvar) FROM STDIN (FORMAT binary)"
TYPES = ["text", "timestamptz", "float8", "float8"]
BUSES = 33
GROW = """
INSERT INTO reading
SELECT 'ieee33-' || b, t, 60 + 20 * sin(b + extract(epoch FROM t)), 30
FROM generate_series(TIMESTAMPTZ '2026-01-01Z' - %s * INTERVAL '1 minute',
                     TIMESTAMPTZ '2026-01-01Z', '1 minute') t,
     generate_series(1, 33) b
ON CONFLICT DO NOTHING
"""

Row = tuple[str, datetime, float, float]


def ingest(url: str, size: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of each method in each round: copy, arrays, staged, and http end to end."""
    times: dict[str, list[float]] = {}
    random, fresh = Random(33), _batches(size)  # noqa: S311 — repeatable on purpose
    settings = Settings(
        url, api_keys=KEY, key_requests_per_second=1_000_000, max_body_bytes=1 << 24
    )
    app = create_app(settings)
    pool.open_pool(app)
    client = app.test_client()
    with psycopg.connect(url, autocommit=True) as connection:
        methods = _methods(connection, client)
        for _ in range(rounds):
            for name in random.sample(list(methods), len(methods)):
                prepare, run = methods[name]
                prepared = prepare(next(fresh))
                began = time.perf_counter()
                run(prepared)
                times.setdefault(name, []).append(time.perf_counter() - began)
    pool.close_pool(app)
    return times


def _methods(
    connection: psycopg.Connection[Any], client: Any
) -> dict[str, tuple[Callable[[list[Row]], Any], Callable[[Any], None]]]:
    def copy(rows: list[Row]) -> None:
        with connection.cursor() as cursor, cursor.copy(COPY) as copying:
            copying.set_types(TYPES)
            for row in rows:
                copying.write_row(row)

    def post(body: bytes) -> None:
        headers = {"X-API-Key": KEY, "Content-Type": "application/json"}
        answer = client.post("/v1/readings", data=body, headers=headers)
        assert answer.status_code == 201, answer.text

    return {
        "copy": (list, copy),
        "arrays": (
            _readings,
            lambda batch: _exactly(stored.store_arrays(connection, batch), batch),
        ),
        "staged": (
            _readings,
            lambda batch: _exactly(stored.store_staged(connection, batch), batch),
        ),
        "http": (_body, post),
    }


def _exactly(stored_rows: int, batch: list[Reading]) -> None:
    assert stored_rows == len(batch)


def _readings(rows: list[Row]) -> list[Reading]:
    return [Reading(*row) for row in rows]


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


def grow(url: str, rows: int) -> None:
    """Fills the table to so many rows: a reading a minute of 33 buses, back from a fixed time."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        connection.execute(GROW, (rows // BUSES,))
        connection.execute("ANALYZE reading")


def month(url: str, repeats: int = 5) -> tuple[float, int, int, int]:
    """(median seconds, bytes, packed bytes, rows) of December in 15 min buckets over HTTP."""
    app = create_app(Settings(url))
    pool.open_pool(app)
    client = app.test_client()
    path = (
        "/v1/feeders/ieee33/readings?bucket=15m&limit=100000"
        "&start=2025-12-01T00:00:00Z&end=2026-01-01T00:00:00Z"
    )
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        answer = client.get(path)
        times.append(time.perf_counter() - began)
        assert answer.status_code == 200, answer.text
    packed = client.get(path, headers={"Accept-Encoding": "gzip"})
    rows = len(answer.get_json()["rows"])
    pool.close_pool(app)
    return statistics.median(times[1:]), len(answer.data), len(packed.data), rows
