"""HTTP by hand: requests that no client library would send, and answers as they came."""

import contextlib
import re
import select
import socket
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

NO_ANSWER = 0
PATIENCE_S = 20.0
_SAMPLE = re.compile(r"^http_requests_total\{([^}]*)\} (\S+)", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True)
class Answer:
    """One response: `headers` by their names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: str

    @property
    def keeps(self) -> bool:
        """Whether it says that the connection stays."""
        return self.headers.get("connection", "keep-alive").lower() != "close"


def head(method: str, path: str, headers: Mapping[str, str]) -> bytes:
    """A request up to its body."""
    lines = [f"{method} {path} HTTP/1.1", "Host: x"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def chunked(body: bytes, size: int) -> bytes:
    """A body in chunks of a size, and the last chunk."""
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def connect(port: int) -> socket.socket:
    """A connection to a server of this machine."""
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)


def send(connection: socket.socket, content: bytes) -> None:
    """Sends as much as is taken; stops when the other side answers or has gone."""
    view = memoryview(content)
    with contextlib.suppress(OSError):
        while view:
            readable, writable, _ = select.select([connection], [connection], [], PATIENCE_S)
            if readable or not writable:
                return
            view = view[connection.send(view[:65536]) :]


def finish(connection: socket.socket) -> None:
    """Ends the sending side."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)


def receive(connection: socket.socket, *, has_body: bool = True) -> Answer:
    """The next response; `NO_ANSWER` if the connection ends before it is complete."""
    with contextlib.suppress(OSError, ValueError), connection.makefile("rb", buffering=0) as stream:
        status = int(_line(stream).split(b" ")[1])
        headers = {}
        while line := _line(stream).rstrip(b"\r\n"):
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        body = b""
        if status >= 200 and has_body:
            body = _exactly(stream, int(headers.get("content-length", "0")))
        return Answer(status, headers, body.decode(errors="replace"))
    return Answer(NO_ANSWER, {}, "")


def exchange(port: int, content: bytes, *, ends: bool = False) -> tuple[int, str]:
    """(status, body) of what is answered to some bytes, after which the sending side may end."""
    with connect(port) as connection:
        send(connection, content)
        if ends:
            finish(connection)
        answer = receive(connection)
    return answer.status, answer.body


def is_closed(connection: socket.socket) -> bool:
    """Whether the other side ends the connection, now or soon."""
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def counted(exposition: str, **labels: str) -> int:
    """The sum of `http_requests_total` over the samples with these labels."""
    total = 0.0
    for found, value in _SAMPLE.findall(exposition):
        if labels.items() <= dict(_LABEL.findall(found)).items():
            total += float(value)
    return int(total)


def statuses(exposition: str) -> Counter[str]:
    """`http_requests_total` by status, those that there are none of left out."""
    found: Counter[str] = Counter()
    for labels, value in _SAMPLE.findall(exposition):
        found[dict(_LABEL.findall(labels))["status"]] += int(float(value))
    return +found


def _line(stream: object) -> bytes:
    """A line of the head, by single bytes, so that nothing of what follows is taken."""
    found = b""
    while not found.endswith(b"\n"):
        found += _exactly(stream, 1)
    return found


def _exactly(stream: object, size: int) -> bytes:
    content = b""
    while len(content) < size:
        piece = stream.read(size - len(content))  # type: ignore[attr-defined]
        if not piece:
            raise ValueError("the connection ended")
        content += piece
    return content
