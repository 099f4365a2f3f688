"""An outage of what stable and candidate share: the database is suspended for a while, once.

Connections stay and new ones are taken, and nothing answers, as when a server hangs or a network is
cut. The times are the clock's own: a rehearsal's time scale compresses steps, and no outage.
"""

import os

from canary.errors import UsageError
from canary.faults import Fault
from canary.runtime import database
from canary.runtime.database import Server

# The kind of its events.
WORLD = "world"


class Outage:
    """One outage of one server; `tick` carries it out."""

    def __init__(self, fault: Fault, server: Server) -> None:
        self._server = server
        self._lasts_s = fault.value
        self._begins_at = fault.at_s
        self._ends_at: float | None = None
        self._is_over = False

    def tick(self, now_s: float) -> str:
        """Begins or ends the outage if it is time; what happened, or nothing.

        Args:
            now_s: Seconds of the release.
        """
        if self._is_over or now_s < self._begins_at:
            return ""
        if self._ends_at is None:
            self._ends_at = now_s + self._lasts_s
            self._server.freeze()
            return f"database suspended for {self._lasts_s:g} s, for stable and canary alike"
        if now_s < self._ends_at:
            return ""
        self._server.thaw()
        self._is_over = True
        return "database resumed"


def check_own() -> None:
    """Refuses an outage of a server that is not the run's own.

    Raises:
        UsageError: if one was given.
    """
    if os.environ.get(database.URL_VARIABLE):
        raise UsageError(
            f"database-down cannot suspend the server that {database.URL_VARIABLE} names",
            f"unset {database.URL_VARIABLE}",
        )
