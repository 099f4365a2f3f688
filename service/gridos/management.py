"""The management port: probes and metrics, answered whatever the threads of the service do.

A thread and an event loop of its own, in the worker's process. Connections are few, short and
bounded: whoever says nothing, or does not read, is cut off in a second and keeps nobody waiting.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from urllib.parse import parse_qs

from flask import Flask

from gridos import probes
from gridos.config import ConfigurationError, Settings

log = logging.getLogger(__name__)
# A kubelet gives up after a second by default.
MAX_S = 1.0
MAX_CONNECTIONS = 64
MAX_HEAD_BYTES = 8192
BACKLOG = 256

Page = Callable[[Mapping[str, str], str], tuple[int, str, bytes]]


def bind(settings: Settings) -> socket.socket | None:
    """The port's socket, which waits to be served; None where there is to be none.

    Raises:
        ConfigurationError: if the port cannot be had.
    """
    port = settings.management_port
    if not port:
        return None
    try:
        return socket.create_server((settings.host, port), backlog=BACKLOG)
    except OSError as failed:
        raise ConfigurationError(
            f"port {port} on {settings.host} cannot be listened on: {failed.strerror} — set"
            " GRIDOS_MANAGEMENT_PORT to a free one, or to 0 for none"
        ) from None


def serve(app: Flask, listener: socket.socket | None) -> None:
    """Answers on the port, in the background, until the process ends."""
    if listener is not None:
        server = _Server(app, listener)
        threading.Thread(target=server.run, name="management", daemon=True).start()


class _Server:
    def __init__(self, app: Flask, listener: socket.socket) -> None:
        self._listener = listener
        self._writers: dict[asyncio.StreamWriter, None] = {}
        metrics = app.extensions["metrics"]

        def scrape(headers: Mapping[str, str], query: str) -> tuple[int, str, bytes]:
            names = parse_qs(query).get("name[]")
            text, content_type = metrics.generate_metrics(headers.get("accept"), names)
            return 200, content_type, text

        self._pages: Mapping[str, Page] = {
            "/livez": lambda *_: _as_json(*probes.check_life(app)),
            "/readyz": lambda *_: _as_json(*probes.check_readiness(app)),
            "/metrics": scrape,
        }

    def run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(
            self._meet, sock=self._listener, limit=MAX_HEAD_BYTES, backlog=BACKLOG
        )
        await server.serve_forever()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        while len(self._writers) >= MAX_CONNECTIONS:
            oldest = next(iter(self._writers))
            del self._writers[oldest]
            oldest.transport.abort()
        self._writers[writer] = None
        # What was handed over is sent, so that closing waits for nobody.
        writer.transport.set_write_buffer_limits(0)
        try:
            async with asyncio.timeout(MAX_S):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer(head))
                await writer.drain()
            writer.close()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            writer.transport.abort()
        finally:
            self._writers.pop(writer, None)

    def _answer(self, head: bytes) -> bytes:
        line, *lines = head.decode("latin-1").split("\r\n")
        method, _, rest = line.partition(" ")
        path, _, query = rest.partition(" ")[0].partition("?")
        page = self._pages.get(path)
        if page is None:
            status, kind, body = _as_json(
                {"status": "unknown", "paths": " ".join(self._pages)}, 404
            )
        elif method not in ("GET", "HEAD"):
            status, kind, body = _as_json({"status": "only GET is taken here"}, 405)
        else:
            named = (each.partition(":") for each in lines)
            headers = {name.lower(): value.strip() for name, _, value in named}
            try:
                status, kind, body = page(headers, query)
            except Exception:
                log.exception("management page failed", extra={"path": path})
                status, kind, body = _as_json({"status": "failed, see the log"}, 500)
        start = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
        )
        return start.encode("latin-1") + (b"" if method == "HEAD" else body)


def _as_json(answer: Mapping[str, str], status: int) -> tuple[int, str, bytes]:
    return status, "application/json", json.dumps(answer).encode()
