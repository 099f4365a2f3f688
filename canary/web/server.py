"""A small web server on loopback, for one person: keys, headers, forms and events, no pages.

Whoever has the key that the program printed may read, by a cookie that no other site can make the
browser send. What changes something is a form of our own page: same origin, and with its token.
"""

import contextlib
import hmac
import mimetypes
import secrets
import threading
import urllib.parse
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Self

from canary.errors import MachineError, UsageError
from canary.runtime import processes

HOST = "127.0.0.1"
HTML, EVENTS = "text/html; charset=utf-8", "text/event-stream"
MAX_FORM, MAX_CONNECTIONS = 10_000, 32
IDLE_TIMEOUT_S = 60.0
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # Without any referrer a browser names no origin with its forms either.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
NO_MORE: Mapping[str, str] = {}

Events = Generator[str, None, None]


@dataclass(frozen=True)
class Request:
    """What was asked: a path, and the fields of its query or form, each given once."""

    path: str
    fields: Mapping[str, str]
    posted: bool


@dataclass(frozen=True)
class Response:
    """What is answered; `events` are sent as they come, instead of a body."""

    body: bytes = b""
    type: str = HTML
    status: HTTPStatus = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)
    events: Events | None = None


class Refused(Exception):
    """A request that is not answered as asked, with the status and the reason."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def see_other(place: str, headers: Mapping[str, str] = NO_MORE) -> Response:
    """Sends the browser elsewhere."""
    return Response(status=HTTPStatus.SEE_OTHER, headers={"Location": place, **headers})


Answer = Callable[[Request], Response]


class Server(ThreadingHTTPServer):
    """A context manager: entered, it answers; `refuse` makes the page of a refusal."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(
        self, answer: Answer, refuse: Callable[[HTTPStatus, str], bytes], port: int | None = None
    ) -> None:
        self.answer, self.refuse = answer, refuse
        # Only in the address that the program prints, and only in our own pages.
        self.key, self.token = secrets.token_urlsafe(16), secrets.token_urlsafe(16)
        self.free = threading.BoundedSemaphore(MAX_CONNECTIONS)
        if port and not processes.port_is_free(port):
            remedy = "choose another with --port"
            raise UsageError(f"port {port} on {HOST} is occupied", remedy)
        super().__init__((HOST, port or 0), _Handler)
        self.port = int(self.server_address[1])
        self._thread = threading.Thread(target=self.serve_forever, args=(0.2,), daemon=True)

    @property
    def origin(self) -> str:
        """The address of its pages."""
        return f"http://{HOST}:{self.port}"

    @property
    def url(self) -> str:
        """What a person opens."""
        return f"{self.origin}/?key={self.key}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Says nothing of a browser that left: what fails in our own code is answered with 500."""


class _Handler(BaseHTTPRequestHandler):
    server: Server
    server_version, sys_version = "canary", ""
    protocol_version = "HTTP/1.1"
    timeout = IDLE_TIMEOUT_S

    def log_message(self, *_: object) -> None:
        """Says nothing: the terminal shows the rehearsal."""

    def do_GET(self) -> None:
        if not self.server.free.acquire(blocking=False):
            self.close_connection = True
            self._send(self._refusal(HTTPStatus.SERVICE_UNAVAILABLE, "too many pages are open"))
            return
        try:
            response = self._response()
            if response.events is not None:
                self._stream(response.events)
            else:
                self._send(response)
        finally:
            self.server.free.release()

    do_POST = do_GET  # noqa: N815 — as http.server calls it

    def _response(self) -> Response:
        try:
            posted = self.command == "POST"
            split = urllib.parse.urlsplit(self.path)
            given = self._form() if posted else split.query
            fields = dict(urllib.parse.parse_qsl(given))
            if enter := self._admit(split.path, fields, posted=posted):
                return enter
            if split.path.startswith("/static/") and not posted:
                return _static(split.path.removeprefix("/static/"))
            return self.server.answer(Request(split.path, fields, posted))
        except Refused as refused:
            return self._refusal(refused.status, str(refused))
        except MachineError as failed:
            return self._refusal(HTTPStatus.INTERNAL_SERVER_ERROR, str(failed))
        except UsageError as wrong:
            return self._refusal(HTTPStatus.BAD_REQUEST, str(wrong))
        except Exception as failed:  # noqa: BLE001 — a page that fails must not end a rehearsal
            words = f"the page itself failed: {type(failed).__name__}: {failed}"
            return self._refusal(HTTPStatus.INTERNAL_SERVER_ERROR, words)

    def _form(self) -> str:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MAX_FORM:
            self.close_connection = True
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the form is too long")
        return self.rfile.read(int(length)).decode("utf-8", "replace")

    def _admit(self, path: str, fields: dict[str, str], *, posted: bool) -> Response | None:
        """Refuses whoever is not let in; answers whoever comes with the key.

        Raises:
            Refused: for another site's request, or one without the cookie or the token.
        """
        if self.headers.get("Host") != f"{HOST}:{self.server.port}":
            # Another name for this machine: a page elsewhere may have resolved it to us.
            raise Refused(HTTPStatus.MISDIRECTED_REQUEST, f"open {self.server.origin}")
        name = f"canary-{self.server.port}"
        if not posted and path == "/" and _same(fields.pop("key", ""), self.server.key):
            cookie = f"{name}={self.server.key}; HttpOnly; SameSite=Strict; Path=/"
            return see_other("/", {"Set-Cookie": cookie})
        if not _same(self._cookie(name), self.server.key):
            remedy = "open the address that the program printed: it contains the key"
            raise Refused(HTTPStatus.FORBIDDEN, remedy)
        if posted:
            own = self.headers.get("Origin") == self.server.origin
            if not (own and _same(fields.pop("token", ""), self.server.token)):
                raise Refused(HTTPStatus.FORBIDDEN, "only a form of this page may do that")
        return None

    def _cookie(self, name: str) -> str:
        with contextlib.suppress(CookieError, KeyError):
            return SimpleCookie(self.headers.get("Cookie", ""))[name].value
        return ""

    def _refusal(self, status: HTTPStatus, reason: str) -> Response:
        return Response(self.server.refuse(status, reason), status=status)

    def _send(self, response: Response) -> None:
        self._head(response.status, response.type, response.headers)
        self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        self.wfile.write(response.body)

    def _stream(self, events: Events) -> None:
        """Sends each event as it comes; ends when the events do, or the browser leaves."""
        self.close_connection = True
        self._head(HTTPStatus.OK, EVENTS, {"Connection": "close"})
        self.end_headers()
        with contextlib.closing(events):
            for event in events:
                try:
                    self.wfile.write(event.encode())
                    self.wfile.flush()
                except OSError:
                    return

    def _head(self, status: HTTPStatus, type_: str, more: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": type_, **HEADERS, **more}.items():
            self.send_header(name, value)


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())


@cache
def _static(name: str) -> Response:
    """A file of the folder `static`, and of no other.

    Raises:
        Refused: if there is none.
    """
    for file in resources.files("canary.web").joinpath("static").iterdir():
        if file.name == name:
            type_ = mimetypes.guess_type(name)[0] or "text/plain"
            return Response(file.read_bytes(), f"{type_}; charset=utf-8")
    raise Refused(HTTPStatus.NOT_FOUND, "there is no such file")
