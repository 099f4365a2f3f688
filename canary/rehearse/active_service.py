"""The active Service of a blueGreen as Prometheus finds it: its pods are others from the switch on.

Prometheus takes up new targets every 5 s and no faster, at a scale of 6 half a minute of a gate's
window. So every pod is a target of this Service from the start, through an address here that
answers for those that it selects.
"""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TIMEOUT_S = 10.0


def server(port: int, answer: Callable[[str], tuple[int, str, bytes]]) -> ThreadingHTTPServer:
    """A server on loopback that answers scrapes: with status, type and body, by their path."""

    class Handler(BaseHTTPRequestHandler):
        """Answers a scrape."""

        def do_GET(self) -> None:
            """Sends what the answer is."""
            status, kind, body = answer(self.path)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    made = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    made.daemon_threads = True
    return made


class ActiveService:
    """One server on loopback: `/PORT/PATH` is a pod's own PATH, while it is selected."""

    def __init__(self) -> None:
        self._selected: frozenset[int] = frozenset()
        self._server = server(0, self._ask)
        self.port = self._server.server_port

    def start(self) -> None:
        """Begins to answer, for nobody yet."""
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def select(self, ports: Iterable[int]) -> None:
        """Answers for the pods with these ports, and for no others."""
        self._selected = frozenset(ports)

    def path(self, port: int, path: str) -> str:
        """Where a pod's own path is found."""
        return f"/{port}{path}"

    def _ask(self, path: str) -> tuple[int, str, bytes]:
        """Status, type and body of what a pod answers."""
        port, _, rest = path.removeprefix("/").partition("/")
        if not port.isdecimal() or int(port) not in self._selected:
            return 503, "text/plain", b"not selected\n"
        try:
            url = f"http://127.0.0.1:{port}/{rest}"
            with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
                kind = answer.headers.get("Content-Type", "text/plain")
                return answer.status, kind, answer.read()
        except OSError as gone:
            return 503, "text/plain", f"{gone}\n".encode()

    def stop(self) -> None:
        """Ends it."""
        self._server.shutdown()
        self._server.server_close()
