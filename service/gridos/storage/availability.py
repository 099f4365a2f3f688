"""Whether the database can be used: asked every second by a connection of its own.

Requests need not find out for themselves. While the database does not answer they are refused at
once, so that nobody's threads wait for it; and when it does again, that is known within a second.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

import psycopg
from psycopg import errors

from gridos.storage.deadlined import DeadlineConnection, DeadlinePassed

log = logging.getLogger(__name__)
EVERY_S = 1.0
# A sign of life takes a millisecond; statements of requests have their own, longer deadline.
ANSWER_S = 1.0


@dataclass(frozen=True)
class Fault:
    """Why the database cannot be used as it should.

    `is_silent`: no request need try. `bars`: no new connection is to be had, but one that is open
    may work. `is_own`: it is this pod that cannot use it, and others may.
    """

    text: str
    is_silent: bool = False
    bars: bool = False
    is_own: bool = False


UNKNOWN = Fault("the database was not asked yet")
SILENT = Fault("the database does not answer", is_silent=True)
RESTARTING = Fault("the database is starting or stopping", is_silent=True)
READ_ONLY = Fault("the database is read-only")
FULL = Fault("the database has no room left")
CROWDED = Fault("the database has no connection to spare", bars=True)
LOCKED_OUT = Fault("the database refuses this pod's login", bars=True, is_own=True)

# By SQLSTATE or its class (postgresql.org, "Error Codes").
_BY_CODE = {
    "08": SILENT,
    "25006": READ_ONLY,
    "25P03": SILENT,
    "28": LOCKED_OUT,
    "3D000": LOCKED_OUT,
    "53100": FULL,
    "53300": CROWDED,
    "57P01": RESTARTING,
    "57P02": RESTARTING,
    "57P03": RESTARTING,
    "57P05": RESTARTING,
    "58": FULL,
}
# What libpq reports of a refused connection comes without a code.
_BY_WORDS = {
    "authentication failed": LOCKED_OUT,
    "too many clients": CROWDED,
    "remaining connection slots": CROWDED,
    "too many connections": CROWDED,
    "is not permitted to log in": LOCKED_OUT,
    "the database system is": RESTARTING,
    "session is read-only": READ_ONLY,
}


def fault_of(error: psycopg.Error) -> Fault | None:
    """What an error says of the database as a whole; None if it is only about the statement."""
    code = error.sqlstate
    if code is not None:
        return _BY_CODE.get(code) or _BY_CODE.get(code[:2])
    if not isinstance(error, psycopg.OperationalError):
        return None
    text = str(error)
    return next((fault for words, fault in _BY_WORDS.items() if words in text), SILENT)


class Availability:
    """What is known of the database, and the thread that asks.

    Args:
        connect: Opens a connection for the thread's own use.
        renew: Called when the database can be used again.
    """

    def __init__(
        self, connect: Callable[[], DeadlineConnection], renew: Callable[[], None]
    ) -> None:
        self.fault: Fault | None = UNKNOWN
        # Called once, when the database is reached for the first time and before that is said.
        self.warm: Callable[[], None] = lambda: None
        self._was_reached = False
        self._connect = connect
        self._renew = renew
        self._own: DeadlineConnection | None = None
        self._due = threading.Event()
        self._stopped = False
        self._thread: threading.Thread | None = None

    @property
    def refusal(self) -> str:
        """Why no traffic is wanted: it was never there for this pod, or it shuts out this one."""
        fault = self.fault
        if fault is not None and (fault.is_own or not self._was_reached):
            return fault.text
        return ""

    def watch(self) -> None:
        """Starts asking."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="availability", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Stops asking."""
        self._stopped = True
        self._due.set()

    def doubt(self) -> None:
        """A request met a fault: asks now, and not when it is time."""
        self._due.set()

    def _run(self) -> None:
        while not self._stopped:
            self._settle(self._ask())
            self._due.wait(EVERY_S)
            self._due.clear()
        self._drop()

    def _ask(self) -> Fault | None:
        kept = self._own is not None
        try:
            return self._ask_once()
        except DeadlinePassed:
            return SILENT
        except psycopg.Error as failed:
            # That a connection which was idle is gone says nothing: the server may be new.
            if not kept:
                return fault_of(failed) or SILENT
        try:
            return self._ask_once()
        except psycopg.Error as failed:
            return fault_of(failed) or SILENT

    def _ask_once(self) -> Fault | None:
        try:
            if self._own is None:
                self._own = self._connect()
            self._own.deadline = monotonic() + ANSWER_S
            row = self._own.execute("SHOW transaction_read_only").fetchone()
        except psycopg.Error:
            self._drop()
            raise
        if row is not None and row["transaction_read_only"] == "off":
            return None
        # A session keeps what it began with; only a new one sees the end of it.
        self._drop()
        return READ_ONLY

    def _settle(self, fault: Fault | None) -> None:
        if not self._was_reached and fault in (None, READ_ONLY):
            # What was wrong before would have requests refused.
            self.fault = UNKNOWN
            self.warm()
        before, self.fault = self.fault, fault
        was_reached = self._was_reached
        self._was_reached = was_reached or fault in (None, READ_ONLY)
        if fault is None:
            if was_reached and before is not None:
                log.warning("database available again")
                # Its other connections may be dead, or read-only for as long as they live.
                self._renew()
        elif fault != before:
            log.warning("database unavailable", extra={"cause": fault.text})

    def _drop(self) -> None:
        if self._own is not None:
            self._own.close()
            self._own = None


# Of these two psycopg says that the service is at fault: they are not among its OperationalErrors.
UNAVAILABLE = (errors.ReadOnlySqlTransaction, errors.IdleInTransactionSessionTimeout)
