"""PostgreSQL: the pool, and one statement for each thing the API does."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from flask import Flask, current_app
from psycopg import Connection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool

from gridos.config import Settings
from gridos.domain.grid import Reading

# One connection for each of gunicorn's threads: more could never be used at once.
THREADS = 4
# Below a client's patience: a request gives up on the pool, a statement or a lock before its
# caller gives up on the request.
POOL_TIMEOUT_S = 2.0
OPTIONS = (
    "-c statement_timeout=2000 -c lock_timeout=500 -c idle_in_transaction_session_timeout=5000"
)
READY_TIMEOUT_S = 0.2


def init_app(app: Flask) -> None:
    """Makes the pool, closed: it must be opened after gunicorn's fork (`open_pool`)."""
    settings: Settings = app.extensions["settings"]
    app.extensions["pool"] = ConnectionPool(
        settings.database_url,
        min_size=1,
        max_size=THREADS,
        timeout=POOL_TIMEOUT_S,
        max_waiting=2 * THREADS,
        max_lifetime=1800,
        check=ConnectionPool.check_connection,
        kwargs={
            "row_factory": dict_row,
            "autocommit": True,
            "options": OPTIONS,
            "connect_timeout": 3,
            "application_name": f"gridos {settings.pod}".strip(),
            # Every statement is prepared the first time it is used on a connection.
            "prepare_threshold": 0,
        },
        open=False,
    )


def open_pool(app: Flask) -> None:
    """Starts connecting, without waiting: readiness says when it worked."""
    app.extensions["pool"].open(wait=False)


def close_pool(app: Flask) -> None:
    """Closes every connection."""
    app.extensions["pool"].close()


def ping() -> None:
    """Asks the database for a sign of life.

    Raises:
        PoolTimeout, OperationalError: if there is none within 200 ms.
    """
    with _pool().connection(timeout=READY_TIMEOUT_S) as connection:
        connection.execute("SELECT 1")


def list_feeders() -> list[dict[str, Any]]:
    """Every feeder with its number of buses, in order of their ids."""
    with _connection() as connection:
        return connection.execute(
            """
            SELECT f.id, f.name, f.rated_kva, f.nominal_kv, count(b.id) AS buses
            FROM feeder f LEFT JOIN bus b ON b.feeder_id = f.id
            GROUP BY f.id ORDER BY f.id
            """
        ).fetchall()


def get_feeder(feeder_id: str) -> dict[str, Any] | None:
    """One feeder, or None."""
    with _connection() as connection:
        return connection.execute(
            """
            SELECT f.id, f.name, f.rated_kva, f.nominal_kv,
                   (SELECT count(*) FROM bus b WHERE b.feeder_id = f.id) AS buses
            FROM feeder f WHERE f.id = %s
            """,
            (feeder_id,),
        ).fetchone()


def latest_loads(feeder_id: str) -> list[dict[str, Any]]:
    """The latest reading of each bus of a feeder; empty if there is no such feeder.

    A bus that never reported has nulls. `rated_kva` repeats the feeder's rating in each row.
    """
    with _connection() as connection:
        return connection.execute(
            """
            SELECT f.rated_kva, b.id AS bus_id, r.measured_at, r.kw, r.kvar
            FROM feeder f
            JOIN bus b ON b.feeder_id = f.id
            LEFT JOIN LATERAL (
                SELECT measured_at, kw, kvar FROM reading
                WHERE bus_id = b.id ORDER BY measured_at DESC LIMIT 1
            ) r ON true
            WHERE f.id = %s ORDER BY b.number
            """,
            (feeder_id,),
        ).fetchall()


def unknown_buses(bus_ids: Sequence[str]) -> set[str]:
    """Those of the ids that no bus has."""
    with _connection() as connection:
        rows = connection.execute(
            """
            SELECT wanted.id FROM unnest(%s::text[]) AS wanted (id)
            WHERE NOT EXISTS (SELECT FROM bus WHERE bus.id = wanted.id)
            """,
            (list(bus_ids),),
        ).fetchall()
    return {row["id"] for row in rows}


def add_readings(readings: Sequence[Reading]) -> int:
    """Stores a batch whole or not at all; returns how many of its readings were new.

    A reading is the same as one already stored if bus and time are: sending twice stores once.
    """
    columns = (
        [r.bus_id for r in readings],
        [r.measured_at for r in readings],
        [r.kw for r in readings],
        [r.kvar for r in readings],
    )
    with _connection() as connection:
        return connection.execute(
            """
            INSERT INTO reading (bus_id, measured_at, kw, kvar)
            SELECT * FROM unnest(%s::text[], %s::timestamptz[], %s::float8[], %s::float8[])
            ON CONFLICT (bus_id, measured_at) DO NOTHING
            """,
            columns,
        ).rowcount


def _pool() -> ConnectionPool[Connection[DictRow]]:
    pool: ConnectionPool[Connection[DictRow]] = current_app.extensions["pool"]
    return pool


def _connection() -> AbstractContextManager[Connection[DictRow]]:
    return _pool().connection()
