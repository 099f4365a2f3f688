"""How long a request may take to arrive.

gunicorn's threads read with no limit of time: four callers that send a byte now and then would hold
every thread. One watcher closes the reading side of a connection whose request has not arrived in
time; the thread that reads it then meets the end of the stream and goes on.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

LONGEST_ARRIVAL_S = 10.0
_LOOK_EVERY_S = 0.5


class Watcher:
    """Sockets that are being read, and since when."""

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._since: dict[socket.socket, float] = {}
        self._expired: set[socket.socket] = set()
        self._thread: threading.Thread | None = None

    def begin(self, connection: socket.socket) -> None:
        """A request is awaited on this connection from now on."""
        self._since[connection] = time.monotonic()
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="deadlines", daemon=True)
            self._thread.start()

    def end(self, connection: socket.socket) -> None:
        """It has been dealt with."""
        self._since.pop(connection, None)
        self._expired.discard(connection)

    def has_passed(self, connection: socket.socket) -> bool:
        """Whether the connection was cut off."""
        return connection in self._expired

    def _watch(self) -> None:
        while True:
            time.sleep(_LOOK_EVERY_S)
            self._cut(time.monotonic() - self._longest_s)

    def _cut(self, before: float) -> None:
        for connection, since in list(self._since.items()):
            if since < before and connection not in self._expired:
                self._expired.add(connection)
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RD)


watcher = Watcher(LONGEST_ARRIVAL_S)


def has_passed(environ: Mapping[str, Any]) -> bool:
    """Whether the request's connection was cut off because it was too slow."""
    connection = environ.get("gunicorn.socket")
    return connection is not None and watcher.has_passed(connection)
