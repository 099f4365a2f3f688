"""Connections whose statements end in time, whatever becomes of the server.

The server's own `statement_timeout` is the first line; it is of no use where the server hangs, is
stopped, or cannot be reached any more.
"""

from __future__ import annotations

import contextlib
import math
from time import monotonic
from typing import Any, TypeVar

import psycopg
from psycopg import Connection, errors
from psycopg.rows import DictRow

# How long the order to cancel may take before the connection is dropped all the same.
CANCEL_S = 0.5
INTERVAL_S = 0.1

Result = TypeVar("Result")


class DeadlinePassed(psycopg.OperationalError):
    """The server did not answer in time; its connection is closed."""


class DeadlineConnection(Connection[DictRow]):
    """Gives up on a statement at `deadline`, a time of the monotonic clock."""

    deadline = math.inf
    # When it was last known to work.
    proved_at = -math.inf

    def wait(self, gen: Any, interval: float = INTERVAL_S, timeout: float | None = None) -> Any:
        """As psycopg's, which every statement, COPY and commit goes through.

        Raises:
            DeadlinePassed: if the deadline comes first.
        """
        if timeout is None and self.deadline != math.inf:
            timeout = max(0.0, self.deadline - monotonic())
        try:
            return super().wait(gen, interval, timeout)
        except errors._WaitTimeout:  # noqa: SLF001 — its only name
            self._give_up()
            raise DeadlinePassed("the server did not answer in time") from None

    def _give_up(self) -> None:
        """Cancels what the server may still be doing, and drops the connection."""
        with contextlib.suppress(psycopg.Error):
            self.cancel_safe(timeout=CANCEL_S)
        self.close()
