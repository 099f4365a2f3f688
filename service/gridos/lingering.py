"""Closing a connection on which a body is still arriving.

Closed at once, the kernel would answer what arrives with a reset, and a reset takes away the answer
that the other side has not read yet. So the sending side ends first, and what still arrives is
thrown away until the other side has ended too, within bounds of time, size and number. One thread
does it for all of them: none of those that answer requests waits for a caller that is refused.
"""

from __future__ import annotations

import contextlib
import queue
import selectors
import socket
import threading
import time
from dataclasses import dataclass

MAX_S = 5.0
MAX_BYTES = 16 << 20
# Above, a connection is closed as it is: many refused callers cost answers, never descriptors.
MAX_HELD = 256
_PIECE = 65536
_POLL_EVERY_S = 0.1


@dataclass
class _Held:
    """Until when a connection is kept, and how much more is read of it."""

    until: float
    left: int = MAX_BYTES


class Lingerer:
    """Connections that end, and the thread that sees them off."""

    def __init__(self) -> None:
        self._coming: queue.SimpleQueue[socket.socket] = queue.SimpleQueue()
        self._held: dict[socket.socket, _Held] = {}
        self._thread: threading.Thread | None = None

    def close(self, connection: socket.socket) -> None:
        """Ends a connection that is nobody else's any more; returns at once."""
        try:
            connection.setblocking(False)
            connection.shutdown(socket.SHUT_WR)
            ended = not connection.recv(_PIECE)
        except BlockingIOError:
            ended = False
        except OSError:
            ended = True
        if ended or self._coming.qsize() + len(self._held) >= MAX_HELD:
            connection.close()
            return
        self._coming.put(connection)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="lingering", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            while True:
                self._take_over(selector)
                for key, _ in selector.select(_POLL_EVERY_S):
                    self._drain(selector, key.fileobj)  # type: ignore[arg-type]
                now = time.monotonic()
                for connection in [c for c, held in self._held.items() if held.until < now]:
                    self._end(selector, connection)

    def _take_over(self, selector: selectors.BaseSelector) -> None:
        """Waits for one if there is none."""
        with contextlib.suppress(queue.Empty):
            while True:
                connection = self._coming.get(block=not self._held)
                self._held[connection] = _Held(time.monotonic() + MAX_S)
                selector.register(connection, selectors.EVENT_READ)

    def _drain(self, selector: selectors.BaseSelector, connection: socket.socket) -> None:
        held = self._held[connection]
        try:
            size = len(connection.recv(_PIECE))
        except BlockingIOError:
            return
        except OSError:
            size = 0
        held.left -= size
        if not size or held.left <= 0:
            self._end(selector, connection)

    def _end(self, selector: selectors.BaseSelector, connection: socket.socket) -> None:
        del self._held[connection]
        selector.unregister(connection)
        connection.close()


lingerer = Lingerer()
