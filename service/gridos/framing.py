"""How much of a stream of bytes is one HTTP/1.1 request (RFC 9112), and no more than that.

It only says when a request is whole, so that a thread need not wait for the rest. What the request
means, and whether it is one, is for the server's parser, which reads the same bytes again: where
the two do not agree, the parser meets an end and refuses.
"""

from __future__ import annotations

import re

# gunicorn's limits allow more, a hundred headers of 8190 bytes each, than any caller needs.
MAX_HEAD_BYTES = 32768
# The application reads a body piece by piece, and the last piece goes beyond the limit.
PIECE_BYTES = 65536
_MAX_LINE_BYTES = 4096
_FRAMING = re.compile(
    rb"\r\n(content-length|transfer-encoding|expect)[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE
)
_SIZE = re.compile(rb"[0-9a-fA-F]{1,16}[ \t]*(?:;.*)?")


class Message:
    """The bytes of one request so far.

    Args:
        most: The largest body that is taken. Of a larger one nothing is waited for, and of a
            chunked one a piece more, by which the application finds out.
    """

    __slots__ = ("_at", "_body_at", "_is_chunked", "_length", "_most", "_received", "asks", "data")

    def __init__(self, most: int) -> None:
        self.data = bytearray()
        # Whether the other side wants to be asked for the body.
        self.asks = False
        self._most = most
        self._body_at = -1
        self._length = 0
        self._is_chunked = False
        # Of a chunked body: where the next chunk begins, and how much came before.
        self._at = 0
        self._received = 0

    @property
    def has_head(self) -> bool:
        """Whether all of the head is there, so that somebody can be answered."""
        return self._body_at >= 0

    def add(self, piece: bytes) -> bool:
        """Takes what has arrived; True if there is nothing to be waited for any more."""
        searched = max(0, len(self.data) - 3)
        self.data += piece
        if self._body_at < 0:
            end = self.data.find(b"\r\n\r\n", searched)
            if end < 0:
                return len(self.data) > MAX_HEAD_BYTES
            self._body_at = self._at = end + 4
            self._read_head(end)
        if self.asks or self._length > self._most:
            return True
        if self._is_chunked:
            return self._is_last_chunk_there()
        return len(self.data) - self._body_at >= self._length

    def _read_head(self, end: int) -> None:
        for name, value in _FRAMING.findall(self.data, 0, end):
            kind = name.lower()
            if kind == b"content-length":
                self._length = int(value) if value.isdigit() and len(value) < 20 else 0  # noqa: PLR2004 — of 64 bits
            elif kind == b"expect":
                self.asks = value.strip().lower() == b"100-continue"
            else:
                self._is_chunked = b"chunked" in value.lower()

    def _is_last_chunk_there(self) -> bool:
        enough = self._most + PIECE_BYTES
        while self._received <= enough:
            end = self.data.find(b"\r\n", self._at)
            if end < 0:
                return len(self.data) - self._at > _MAX_LINE_BYTES
            line = bytes(self.data[self._at : end])
            if not _SIZE.fullmatch(line):
                return True
            size = int(line.partition(b";")[0], 16)
            if not size:
                # Then trailers, if any, and an empty line.
                is_there = self.data.find(b"\r\n\r\n", end) >= 0
                return is_there or len(self.data) - end > MAX_HEAD_BYTES
            after = end + 2 + size + 2
            if len(self.data) < after:
                return self._received + len(self.data) - end - 2 > enough
            self._received += size
            self._at = after
        return True
