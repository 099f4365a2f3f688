"""gunicorn's gthread worker, with what it lacks on the way between connection and application.

A limit to how long a request may take to arrive (`deadlines`), bodies that nobody read
(`arrivals`), connections that end while something arrives (`lingering`), and answers to what is no
request at all (`rejections`).
"""

from __future__ import annotations

from typing import Any

from gunicorn.workers.gthread import ThreadWorker

from gridos.arrivals import Arrival, has_body, settling
from gridos.deadlines import watcher
from gridos.lingering import lingerer
from gridos.rejections import Rejecter


class Worker(ThreadWorker):  # type: ignore[misc]
    """Watches each connection from the first byte of a request until it is answered."""

    wsgi: Any

    def load_wsgi(self) -> None:
        """Takes the application, once it is made."""
        super().load_wsgi()
        self._rejecter = Rejecter(self.wsgi)
        self.wsgi = settling(self.wsgi)

    def handle(self, conn: Any) -> Any:
        """Runs in one of the worker's threads."""
        watcher.begin(conn.sock)
        try:
            return super().handle(conn)
        finally:
            watcher.end(conn.sock)

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Answers one request."""
        if has_body(req):
            req.body = Arrival(req, conn)
        return super().handle_request(req, conn)

    def finish_request(self, conn: Any, fs: Any) -> None:
        """Runs in the thread that accepts, which no caller may hold up."""
        if fs.cancelled() or fs.exception() is not None or fs.result():
            super().finish_request(conn, fs)
        else:
            self.nr_conns -= 1
            lingerer.close(conn.sock)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answers what the application never saw, or could not answer."""
        del req
        self._rejecter.answer(client, addr, exc)
