"""A client's socket that never makes a thread wait.

What the client does not take at once is kept and sent later by the server's loop. What it has not
sent is not waited for: the thread meets the end of the stream, unless the client waits to be asked.
"""

from __future__ import annotations

import socket
from time import monotonic  # No time at all would mean: do not wait.

_PIECE = 262_144
# As long as a request line may be.
_HEAD = 8190
_MIN_S = 0.001


class PatientSocket(socket.socket):
    """A connected socket, taken over from `plain`."""

    def __init__(self, plain: socket.socket) -> None:
        super().__init__(plain.family, plain.type, plain.proto, plain.detach())
        self.unsent = bytearray()
        self._arrived, self._at = b"", 0
        # Until when a body may arrive that the client was asked for; none was by default.
        self.waits_until = 0.0
        self.is_late = False
        # Whether more was wanted of a request than there was.
        self.is_cut = False

    def recv_now(self, size: int) -> bytes:
        """What has arrived.

        Raises:
            BlockingIOError: if nothing has.
        """
        return super().recv(size, socket.MSG_DONTWAIT)

    def give(self, arrived: bytes) -> None:
        """What whoever reads from here is to find."""
        self._arrived, self._at = arrived, 0

    def head(self) -> bytes:
        """The first bytes of what was given, read or not."""
        return self._arrived[:_HEAD]

    def take_back(self) -> bytes:
        """What was given and not read."""
        left, self._arrived = self._arrived[self._at :], b""
        return left

    def recv(self, size: int, flags: int = 0) -> bytes:
        """What was given; then more of a body that the client was asked for, or the end."""
        # In pieces, as a socket has it: the server's parser copies what it holds with each chunk.
        piece = self._arrived[self._at : self._at + size]
        self._at += len(piece)
        if piece:
            return piece
        piece = self._wait_for(size, flags) if self.waits_until else b""
        self.is_cut = self.is_cut or not piece
        return piece

    def _wait_for(self, size: int, flags: int) -> bytes:
        self.settimeout(max(_MIN_S, self.waits_until - monotonic()))
        try:
            return super().recv(size, flags)
        except TimeoutError:
            self.is_late = True
            return b""
        finally:
            self.settimeout(None)

    def sendall(self, data: bytes, flags: int = 0) -> None:  # type: ignore[override]
        """Sends what the client takes, and keeps the rest."""
        del flags
        if not self.unsent:
            try:
                sent = self.send(data, socket.MSG_DONTWAIT)
            except BlockingIOError:
                sent = 0
            if sent == len(data):
                return
            data = memoryview(data)[sent:]  # type: ignore[assignment]
        self.unsent += data

    def plain(self) -> socket.socket:
        """An ordinary socket in this one's place, which is done with."""
        return socket.socket(self.family, self.type, self.proto, self.detach())

    def send_rest(self) -> bool:
        """Sends more of what was kept; True if nothing is left.

        Raises:
            OSError: if the client is gone.
        """
        while self.unsent:
            try:
                sent = self.send(memoryview(self.unsent)[:_PIECE], socket.MSG_DONTWAIT)
            except BlockingIOError:
                return False
            del self.unsent[:sent]
        return True
