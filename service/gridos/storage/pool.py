"""The connections: how many, how long anything may take, and what a login is made of."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from typing import Any, Self

import psycopg
from flask import Flask, current_app
from psycopg import Connection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from gridos.config import Settings
from gridos.secretsource import Secrets

# How many requests each server answers at once, and how many connections a pool has: with fewer,
# a probe would wait behind slow queries and call a pod unready that is only busy; more could never
# be used at once. More of gunicorn's threads raise the tail latency before they raise the
# throughput; granian answered about a seventh more with eight than with four, and no more with
# sixteen.
THREADS = {"gunicorn": 4, "granian": 8}
# Below a client's patience: a request gives up on the pool, a statement or a lock before its
# caller gives up on the request.
POOL_TIMEOUT_S = 2.0
CONNECT_TIMEOUT_S = 3
# Whatever the URL or the environment says: a database in SQL_ASCII (initdb's choice where there is
# no locale) would otherwise answer with bytes in place of text.
ENCODING = "UTF8"
OPTIONS = (
    "-c statement_timeout=2000 -c lock_timeout=500 -c idle_in_transaction_session_timeout=5000"
)
READY_TIMEOUT_S = 0.2
# While connecting fails, one request in so long waits for the pool, which then tries again.
RETRY_S = 2.0


class Attempts:
    """What became of the last attempt to connect (None before the first), and who may wait."""

    def __init__(self) -> None:
        self.succeeded: bool | None = None
        self._next_s = 0.0

    def refuses(self, now_s: float) -> bool:
        """Whether a request need not wait, because connecting fails and it was tried just now.

        If every request waited, each pod's threads would soon all be waiting, and nobody would
        answer its probes and its scrapes: it would be restarted for what ails the database.
        """
        if self.succeeded is not False or now_s >= self._next_s:
            self._next_s = now_s + RETRY_S
            return False
        return True


class Pool(ConnectionPool[Connection[DictRow]]):
    """A pool that counts the connections in use and refuses where waiting is in vain."""

    def __init__(self, attempts: Attempts, *arguments: Any, **options: Any) -> None:
        self._attempts = attempts
        self._busy: set[int] = set()
        super().__init__(*arguments, **options)

    @property
    def busy(self) -> int:
        """Connections that are lent out."""
        return len(self._busy)

    def getconn(self, timeout: float | None = None) -> Connection[DictRow]:
        """Lends one.

        Raises:
            PoolTimeout: if none is free in time, or at once while the database cannot be reached.
        """
        if not (self._pool or self._busy) and self._attempts.refuses(time.monotonic()):
            self._stats[self._REQUESTS_ERRORS] += 1
            raise PoolTimeout("the database cannot be reached")
        lent = super().getconn(timeout)
        self._busy.add(id(lent))
        return lent

    def putconn(self, conn: Connection[DictRow]) -> None:
        """Takes it back."""
        self._busy.discard(id(conn))
        super().putconn(conn)


def init_app(app: Flask) -> None:
    """Makes the pool, closed: it must be opened after gunicorn's fork (`open_pool`)."""
    settings: Settings = app.extensions["settings"]
    secrets: Secrets = app.extensions["secrets"]
    attempts = app.extensions["attempts"] = Attempts()

    def conninfo() -> str:
        try:
            return secrets.conninfo()
        except psycopg.OperationalError:
            attempts.succeeded = False
            raise

    app.extensions["pool"] = Pool(
        attempts,
        # Asked for each connection, so that a rotated password or a fresh token is the next's.
        conninfo,
        connection_class=_watched(attempts, secrets),
        min_size=1,
        max_size=THREADS[settings.server],
        # No max_waiting: who gave up stays in the pool's queue until a connection comes, and a full
        # queue refuses before it connects, so that an outage would never end. Threads bound it.
        timeout=POOL_TIMEOUT_S,
        max_lifetime=1800,
        # The pool's own backoff doubles up to this; a database that is back is used soon after.
        reconnect_timeout=5,
        check=ConnectionPool.check_connection,
        kwargs={
            "row_factory": dict_row,
            "autocommit": True,
            "options": OPTIONS,
            "connect_timeout": CONNECT_TIMEOUT_S,
            "client_encoding": ENCODING,
            "application_name": f"gridos {settings.pod}".strip(),
            # Every statement is prepared the first time it is used on a connection.
            "prepare_threshold": 0,
        },
        open=False,
    )


def connect(database_url: str) -> Connection[Any]:
    """A connection beside the pool's, which commits by itself, for a command.

    Raises:
        psycopg.OperationalError: if the database cannot be reached.
    """
    return psycopg.connect(
        database_url, autocommit=True, connect_timeout=5, client_encoding=ENCODING
    )


def open_pool(app: Flask) -> None:
    """Starts connecting, without waiting: readiness says when it worked."""
    app.extensions["secrets"].watch()
    app.extensions["pool"].open(wait=False)


def close_pool(app: Flask) -> None:
    """Closes every connection."""
    app.extensions["secrets"].close()
    app.extensions["pool"].close()


def connection() -> AbstractContextManager[Connection[DictRow]]:
    """A connection of the current application's, for one request.

    Raises:
        PoolTimeout, TooManyRequests, OperationalError: if the database cannot be had in time.
    """
    pool: Pool = current_app.extensions["pool"]
    return pool.connection()


def ping() -> None:
    """Asks the database for a sign of life.

    Raises:
        PoolTimeout, OperationalError: if there is none within 200 ms.
    """
    pool: Pool = current_app.extensions["pool"]
    with pool.connection(timeout=READY_TIMEOUT_S) as connected:
        connected.execute("SELECT 1")


def _watched(attempts: Attempts, secrets: Secrets) -> type[Connection[DictRow]]:
    """Connections that note whether connecting worked, and re-read a password once refused."""

    class WatchedConnection(Connection[DictRow]):
        @classmethod
        def connect(cls, conninfo: str = "", **options: Any) -> Self:
            try:
                connected = cls._connect(conninfo, options)
            except psycopg.OperationalError:
                attempts.succeeded = False
                raise
            attempts.succeeded = True
            return connected

        @classmethod
        def _connect(cls, conninfo: str, options: dict[str, Any]) -> Self:
            try:
                return super().connect(conninfo, **options)
            except psycopg.OperationalError as refused:
                if not _is_password_refusal(refused) or not secrets.renew():
                    raise
            return super().connect(secrets.conninfo(), **options)

    return WatchedConnection


def _is_password_refusal(error: psycopg.OperationalError) -> bool:
    """Libpq reports a refused login without its SQLSTATE (28P01, 28000), by message alone."""
    if error.sqlstate is not None:
        return error.sqlstate.startswith("28")
    return "authentication failed" in str(error)
