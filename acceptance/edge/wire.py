"""HTTP as it goes over the wire: requests as values, and what came back."""

import http.client
import io
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

# The firewall reads every value of the largest batch: seconds, and more on a busy machine.
TIMEOUT_S = 300
HOST = "gridos.example.com"


@dataclass(frozen=True)
class Request:
    """One request: `target` is encoded, and `raw` is all of it as it stands, instead of the others.

    Host, Content-Length and a browser's usual headers are added.
    """

    method: str = "GET"
    target: str = "/"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    raw: bytes | None = None


def post(
    api_key: str,
    body: bytes,
    content_type: str,
    more: Mapping[str, str] | None = None,
    path: str = "/v1/readings",
) -> Request:
    """One that writes, with a key."""
    headers = {"Content-Type": content_type, "X-API-Key": api_key, **(more or {})}
    return Request("POST", path, headers, body)


@dataclass(frozen=True)
class Answer:
    """What came back; status 0 when the connection was closed without an answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def send(port: int, request: Request, probe: tuple[str, str] | None = None) -> Answer:
    """Sends a request to a loopback port; by the header `probe` the firewall's log is searched."""
    if request.raw is not None:
        return _send_raw(port, request.raw)
    headers = {"Host": HOST, "Accept": "*/*", "User-Agent": "gridos-client/1.0", **request.headers}
    if probe is not None:
        headers[probe[0]] = probe[1]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request(request.method, request.target, body=request.body, headers=headers)
        answer = connection.getresponse()
        return Answer(answer.status, dict(answer.getheaders()), answer.read())
    except (http.client.HTTPException, OSError):
        return Answer(0, {}, b"")
    finally:
        connection.close()


def _send_raw(port: int, raw: bytes) -> Answer:
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as connection:
        connection.sendall(raw)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    line, _, rest = received.partition(b"\r\n")
    status = re.match(rb"HTTP/1\.[01] (\d{3})", line)
    if status is None:
        return Answer(0, {}, received)
    answer = io.BytesIO(rest)
    headers = dict(http.client.parse_headers(answer).items())
    return Answer(int(status[1]), headers, answer.read())
