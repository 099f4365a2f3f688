"""gunicorn's response, with less work: a checked head, a date a second, and one write.

gunicorn checks each header by two regular expressions, formats the date anew for each response and
sends the head and the body by themselves. What it makes of a response is the same here; a test
compares the two.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from time import time
from typing import Any

from gunicorn import util
from gunicorn.http import wsgi

# Names that are sound and that gunicorn passes on as they are.
_PLAIN = frozenset(
    {
        "Allow",
        "Cache-Control",
        "Content-Encoding",
        "Content-Type",
        "ETag",
        "Location",
        "Retry-After",
        "Vary",
        "WWW-Authenticate",
        "X-Request-ID",
        "traceparent",
    }
)


# Made once a second.
_date = lru_cache(maxsize=1)(util.http_date)


class Response(wsgi.Response):  # type: ignore[misc]
    """The head and what follows it, as they are sent."""

    headers_sent: bool
    _head = b""

    def process_headers(self, headers: Iterable[tuple[Any, Any]]) -> None:
        """Takes the application's headers."""
        taken = self.headers
        for header in headers:
            name, value = header
            if name in _PLAIN and _is_sound(value):
                taken.append(header)
            elif name == "Content-Length" and _is_sound(value) and value.isdigit():
                self.response_length = int(value)
                taken.append(header)
            else:
                super().process_headers([header])

    def default_headers(self) -> list[str]:
        """What the server says by itself."""
        if self.upgrade:
            return super().default_headers()  # type: ignore[no-any-return]
        major, minor = self.req.version
        lines = [
            f"HTTP/{major}.{minor} {self.status}\r\nServer: {self.version}\r\n"
            f"Date: {_date(int(time()))}\r\n"
            f"Connection: {'close' if self.should_close() else 'keep-alive'}\r\n"
        ]
        if self.chunked:
            lines.append("Transfer-Encoding: chunked\r\n")
        return lines

    def send_headers(self) -> None:
        """Has the head ready; it goes with the first part of the body."""
        if not self.headers_sent:
            lines = self.default_headers()
            lines += [f"{name}: {value}\r\n" for name, value in self.headers]
            lines.append("\r\n")
            self._head = "".join(lines).encode("latin-1")
            self.headers_sent = True

    def close(self) -> None:
        """Sends what is left."""
        self.send_headers()
        end = b"0\r\n\r\n" if self.chunked else b""
        if self._head or end:
            self._send(end)

    def _emit_body(self, data: bytes) -> None:
        self._send(b"%X\r\n%b\r\n" % (len(data), data) if self.chunked else data)

    def _send(self, data: bytes) -> None:
        head, self._head = self._head, b""
        self.sock.sendall(head + data if head else data)


def _is_sound(value: Any) -> bool:
    """Whether a header's value is one that gunicorn neither refuses nor changes."""
    return (
        isinstance(value, str)
        and value.isascii()
        and value.isprintable()
        and value == value.strip(" ")
    )
