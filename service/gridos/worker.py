"""gunicorn's gthread worker, with a limit to how long a request may take to arrive."""

from __future__ import annotations

from typing import Any

from gunicorn.workers.gthread import ThreadWorker

from gridos.deadlines import watcher


class Worker(ThreadWorker):  # type: ignore[misc]
    """Watches each connection from the first byte of a request until it is answered."""

    def handle(self, conn: Any) -> Any:
        """Runs in one of the worker's threads."""
        watcher.begin(conn.sock)
        try:
            return super().handle(conn)
        finally:
            watcher.end(conn.sock)
