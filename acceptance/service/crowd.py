"""Clients that say nothing, send slowly or do not read, by the hundred, beside ordinary ones."""

import socket
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from acceptance.client import ask
from acceptance.service.threads import Beside
from acceptance.services import KEY, WRITABLE, Service

TRICKLE_S = 0.5
# So little that answers pile up at the other side.
RECEIVE_BYTES = 4096
# More than the kernel holds for a client that does not read.
PIPELINED = 60


class Kind(NamedTuple):
    """What such a client says first, and whether it goes on byte by byte."""

    text: str = ""
    trickles: bool = False


SILENT = Kind()
SLOW_HEAD = Kind("GET /v1/feeders HTTP/1.1\r\nHost: ", trickles=True)
_POST = (
    "POST /v1/readings HTTP/1.1\r\nHost: x\r\nX-API-Key: {}\r\nContent-Type: application/json\r\n"
)
LARGE = "GET /v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
UNREAD = Kind(LARGE * PIPELINED)


def slow_body(key: str = KEY, framing: str = "Content-Length: 100000") -> Kind:
    """A batch of a client that may send one, and takes its time."""
    return Kind(f"{_POST.format(key)}{framing}\r\n\r\n{{", trickles=True)


class Crowd(Beside):
    """Connections that go on being what they are until the end; a new one for each cut off."""

    def __init__(self, port: int) -> None:
        super().__init__(self._go_on)
        self._port = port
        self._all: list[tuple[Kind, socket.socket]] = []
        self._lock = threading.Lock()

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        for _kind, client in self._all:
            client.close()

    def add(self, count: int, kind: Kind) -> None:
        """So many more of a kind."""
        added = [(kind, self._connect(kind)) for _ in range(count)]
        with self._lock:
            self._all += added

    def _connect(self, kind: Kind) -> socket.socket:
        client = socket.socket()
        try:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
            client.connect(("127.0.0.1", self._port))
            client.sendall(kind.text.encode())
        except OSError:
            client.close()
            raise
        return client

    def _go_on(self) -> None:
        while not self._over.wait(TRICKLE_S):
            with self._lock:
                self._all = [
                    (kind, self._trickle(kind, client) if kind.trickles else client)
                    for kind, client in self._all
                ]

    def _trickle(self, kind: Kind, client: socket.socket) -> socket.socket:
        try:
            client.sendall(b"a")
        except OSError:
            client.close()
            with suppress(ConnectionError):  # the server is being stopped, or is gone
                return self._connect(kind)
        return client


@dataclass
class Outcome:
    """What ordinary callers and probes met beside the crowd."""

    connections: int
    requests: Counter[int] = field(default_factory=Counter)
    live: Counter[int] = field(default_factory=Counter)


def run(folder: Path, database_url: str, each: int, unread: int, seconds: float) -> Outcome:
    """A crowd: `each` of three kinds, and `unread` that do not read; and ordinary callers."""
    outcome = Outcome(3 * each + unread)
    with Service(folder, {**WRITABLE, "GRIDOS_DATABASE_URL": database_url}) as pod:
        pod.start().await_ready()
        with Crowd(pod.port) as crowd:
            for kind in (SILENT, SLOW_HEAD, slow_body()):
                crowd.add(each, kind)
            crowd.add(unread, UNREAD)
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                outcome.requests[ask(f"{pod.url}/v1/feeders", timeout_s=5).status] += 1
                outcome.live[ask(f"{pod.management}/livez", timeout_s=1).status] += 1
                time.sleep(0.02)
    return outcome
