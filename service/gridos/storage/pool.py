"""The connections: how many, how long anything may take, and what a login is made of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from time import monotonic
from types import TracebackType
from typing import Any, Self

import psycopg
from flask import Flask, current_app, g
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool, PoolTimeout

from gridos.config import Settings
from gridos.secretsource import Secrets
from gridos.storage.availability import LOCKED_OUT, Availability, fault_of
from gridos.storage.deadlined import DeadlineConnection

# How many requests each server answers at once, and how many connections a pool has: more could
# never be used at once. More of gunicorn's threads raise the tail latency before they raise the
# throughput; granian answered about a seventh more with eight than with four, and no more with
# sixteen.
THREADS = {"gunicorn": 4, "granian": 8}
# Below a client's patience, and a gateway's 30 s: a request gives up on the pool, a lock, a
# statement, and on the database altogether, before its caller gives up on the request.
POOL_TIMEOUT_S = 1.0
REQUEST_S = 5.0
# libpq takes less than 2 s for 2 s.
CONNECT_TIMEOUT_S = 2
# A connection that worked so lately is not asked whether it works.
PROOF_S = 1.0
CHECK_S = 1.0
# Whatever the URL or the environment says: a database in SQL_ASCII (initdb's choice where there is
# no locale) would otherwise answer with bytes in place of text.
ENCODING = "UTF8"
# What statements and their reading rest on is said too, whatever the database's or the role's
# defaults are: a date in another style cannot be read, and a stricter isolation refuses writers.
OPTIONS = (
    "-c statement_timeout=2000 -c lock_timeout=500 -c idle_in_transaction_session_timeout=5000"
    " -c idle_session_timeout=0 -c default_transaction_isolation=read\\ committed"
    " -c datestyle=ISO -c timezone=UTC -c extra_float_digits=1 -c exit_on_error=off"
)
# What is sent and not acknowledged for 3 s, or silent for 9 s, is a dead connection: the kernel's
# own patience is a quarter of an hour, or two hours.
NETWORK = {
    "tcp_user_timeout": 3000,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 2,
}


class Pool(ConnectionPool[DeadlineConnection]):
    """A pool that counts the connections in use and refuses where waiting is in vain."""

    availability: Availability

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._busy: set[int] = set()
        self._doubted_at = -math.inf
        super().__init__(*arguments, **options)

    @property
    def busy(self) -> int:
        """Connections that are lent out."""
        return len(self._busy)

    def getconn(self, timeout: float | None = None) -> DeadlineConnection:
        """Lends one.

        Raises:
            PoolTimeout: if none that works is free in time, or at once while the database cannot be
                used.
        """
        fault = self.availability.fault
        has_none = not (self._pool or self._busy)
        if fault is not None and (fault.is_silent or (fault.bars and has_none)):
            self._stats[self._REQUESTS_ERRORS] += 1
            raise PoolTimeout(fault.text)
        until = monotonic() + (self.timeout if timeout is None else timeout)
        # All that were idle may be dead: the pool's own check waits a second before the next one.
        for _ in range(self.max_size + 1):
            lent = super().getconn(until - monotonic())
            self._busy.add(id(lent))
            if self._works(lent):
                return lent
            self.putconn(lent)
        raise PoolTimeout("no connection works")

    def putconn(self, conn: DeadlineConnection) -> None:
        """Takes it back."""
        self._busy.discard(id(conn))
        super().putconn(conn)

    def doubt(self) -> None:
        """One broke: the others are asked whether they work, and the database at once."""
        self._doubted_at = monotonic()
        self.availability.doubt()

    def _works(self, conn: DeadlineConnection) -> bool:
        """Asks one that was idle for long, or may have broken with another; closes it if not."""
        now = monotonic()
        if now - conn.proved_at <= PROOF_S and conn.proved_at > self._doubted_at:
            return True
        conn.deadline = now + CHECK_S
        try:
            self.check_connection(conn)
        except psycopg.Error:
            conn.close()
            return False
        conn.proved_at = now
        return True


class Lease:
    """A connection for one request: its deadline is the request's, and a broken one is dropped."""

    def __init__(self, pool: Pool, deadline: float) -> None:
        self._pool = pool
        self._deadline = deadline

    def __enter__(self) -> DeadlineConnection:
        left_s = self._deadline - monotonic()
        if left_s <= 0:
            raise PoolTimeout("the request's time with the database is over")
        lent = self._lent = self._pool.getconn(min(self._pool.timeout, left_s))
        lent.deadline = self._deadline
        return lent

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        lent = self._lent
        if error is None:
            lent.proved_at = monotonic()
        elif isinstance(error, psycopg.Error) and fault_of(error) is not None:
            lent.close()
            self._pool.doubt()
        # What an error left half done is rolled back by the pool.
        self._pool.putconn(lent)


def init_app(app: Flask) -> None:
    """Makes the pool, closed: it must be opened after gunicorn's fork (`open_pool`)."""
    settings: Settings = app.extensions["settings"]
    secrets: Secrets = app.extensions["secrets"]
    kind = _renewing(secrets)
    options: dict[str, Any] = {
        "row_factory": dict_row,
        "autocommit": True,
        "options": OPTIONS,
        "connect_timeout": CONNECT_TIMEOUT_S,
        "client_encoding": ENCODING,
        "application_name": f"gridos {settings.pod}".strip(),
        # Every statement is prepared the first time it is used on a connection.
        "prepare_threshold": 0,
        **NETWORK,
    }
    pool = app.extensions["pool"] = Pool(
        # Asked for each connection, so that a rotated password or a fresh token is the next's.
        secrets.conninfo,
        connection_class=kind,
        min_size=1,
        max_size=THREADS[settings.server],
        # No max_waiting: who gave up stays in the pool's queue until a connection comes, and a full
        # queue refuses before it connects, so that an outage would never end. Threads bound it.
        timeout=POOL_TIMEOUT_S,
        max_lifetime=1800,
        # The pool's own backoff doubles up to this; a database that is back is used soon after.
        reconnect_timeout=5,
        kwargs=options,
        open=False,
    )
    pool.availability = app.extensions["availability"] = Availability(
        lambda: kind.connect(secrets.conninfo(), **options), pool.drain
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
    app.extensions["availability"].watch()


def close_pool(app: Flask) -> None:
    """Closes every connection."""
    app.extensions["availability"].close()
    app.extensions["secrets"].close()
    app.extensions["pool"].close()


def connection(limit_s: float = REQUEST_S) -> Lease:
    """A connection of the current application's, for a part of the current request.

    Args:
        limit_s: For all that the request does with the database, from its first part on.

    Raises:
        PoolTimeout, TooManyRequests, OperationalError: on entry or in use, if the database cannot
            be had in time.
    """
    began: float | None = g.get("database_asked_at")
    if began is None:
        began = g.database_asked_at = monotonic()
    return Lease(current_app.extensions["pool"], began + limit_s)


def fetch(statement: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[dict[str, Any]]:
    """The rows of one statement; as `connection`, for it alone."""
    with connection() as connected:
        return connected.execute(statement, values).fetchall()


def _renewing(secrets: Secrets) -> type[DeadlineConnection]:
    """Connections that read the secrets again when a login was refused."""

    class RenewingConnection(DeadlineConnection):
        @classmethod
        def connect(cls, conninfo: str = "", **options: Any) -> Self:
            try:
                return cls._connect(conninfo, options)
            except psycopg.OperationalError as refused:
                if fault_of(refused) is not LOCKED_OUT or not secrets.renew():
                    raise
            return cls._connect(secrets.conninfo(), options)

        @classmethod
        def _connect(cls, conninfo: str, options: dict[str, Any]) -> Self:
            return super().connect(conninfo, **{**options, **_primary(conninfo)})

    return RenewingConnection


def _primary(conninfo: str) -> dict[str, str]:
    """Of several servers, the one that takes writes, unless the URL says which.

    Of a single one nothing is demanded: while it is read-only, reads are still answered.
    """
    named = conninfo_to_dict(conninfo)
    is_several = "," in str(named.get("host", "")) or "," in str(named.get("hostaddr", ""))
    if is_several and "target_session_attrs" not in named:
        return {"target_session_attrs": "read-write"}
    return {}
