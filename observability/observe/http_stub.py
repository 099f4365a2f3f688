"""Small HTTP servers on loopback ports, for what is scraped, delivered or looked at here."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from canary.runtime import processes

Handler = Callable[..., BaseHTTPRequestHandler]
Answer = Callable[[BaseHTTPRequestHandler], tuple[int, bytes]]
# How long a server that is to end may wait until it notices.
NOTICE_S = 0.05


class Server:
    """Answers from its construction until it is stopped."""

    def __init__(self, handler: Handler, port: int | None = None) -> None:
        self.port = processes.free_port() if port is None else port
        self._server = _Server(("127.0.0.1", self.port), handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(NOTICE_S,), daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Ends it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)


def answering(answer: Answer) -> type[BaseHTTPRequestHandler]:
    """A handler for a server: `answer` makes a status and a body of each request."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Answers a request of either kind."""
            status, body = answer(self)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 — as http.server calls it

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 — http.server's name
            """Says nothing."""

    return Handler


def sent(request: BaseHTTPRequestHandler) -> bytes:
    """The body of a request."""
    return request.rfile.read(int(request.headers["Content-Length"] or 0))


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing of a caller who has gone, such as a scrape that ran out of time."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)
