"""Our response beside gunicorn's: the same bytes, and the same refusals, for whatever comes."""

import json
import re
import socket
import sys

import pytest
from gridos.responses import Response
from gunicorn.config import Config
from gunicorn.http import get_parser, wsgi

from canary.runtime import processes
from canary.runtime.waiting import wait_until

ADDRESS = ("127.0.0.1", 1)
HTML = ("Content-Type", "text/html; charset=utf-8")


def answer(kind, request, status, headers, parts):
    """What the other side reads, or the error; without its date, which is of another second."""
    client, server = socket.socketpair()
    with client, server:
        client.sendall(request)
        parsed = next(get_parser(Config(), server, ADDRESS))
        response, _ = wsgi.create(parsed, server, ADDRESS, ADDRESS, Config(), kind)
        try:
            response.start_response(status, list(headers))
            for part in parts:
                response.write(part)
            response.close()
        except Exception as refused:  # noqa: BLE001 — compared as well
            return type(refused)
        server.shutdown(socket.SHUT_WR)
        text = b"".join(iter(lambda: client.recv(65536), b""))
        plain, dates = re.subn(rb"\r\nDate: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", b"", text)
        assert dates == 1
        return plain, response.should_close(), response.sent


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize(
    ("status", "headers", "parts"),
    [
        ("200 OK", [HTML, ("Content-Length", "5")], [b"hello"]),
        ("200 OK", [HTML, ("Content-Length", "3")], [b"hello"]),
        ("200 OK", [HTML, ("Content-Length", "9")], [b"hel", b"", b"lo"]),
        ("200 OK", [HTML], [b"hel", b"", b"lo"]),
        ("200 OK", [HTML, ("Content-Length", "0")], []),
        ("200 OK", [], []),
        ("204 NO CONTENT", [("Content-Length", "0")], []),
        ("304 NOT MODIFIED", [("ETag", '"x"'), ("Content-Length", "5")], [b"hello"]),
        ("200 OK", [("Content-Type", " spaced\t"), ("X-Request-ID", "")], [b"a"]),
        ("200 OK", [("Content-Length", " 1 ")], [b"a"]),
        ("200 OK", [("Content-Length", "one")], [b"a"]),
        ("200 OK", [("Content-Length", "-1")], [b"a"]),
        ("200 OK", [("content-length", "1"), ("X-Other", "b\u00e4h")], [b"a"]),
        ("200 OK", [("Connection", "close"), ("Upgrade", "websocket")], [b"a"]),
        ("200 OK", [("Location", "a\r\nSet-Cookie: b")], [b"a"]),
        ("200 OK", [("Vary", "a\x7f")], [b"a"]),
        ("200 OK", [("Vary", "\u2028")], [b"a"]),
        ("200 OK", [("Vary", 1)], [b"a"]),
        ("200 OK", [("Bad Name", "a")], [b"a"]),
        ("200 OK", [HTML], ["text"]),
    ],
)
def test_it_is_byte_for_byte_gunicorns(method, version, status, headers, parts):
    request = f"{method} / HTTP/{version}\r\nHost: x\r\n\r\n".encode()
    ours, theirs = (answer(k, request, status, headers, parts) for k in (Response, wsgi.Response))
    assert ours == theirs


APPLICATION = """
from flask import Response
from acceptance.bench import apps

app = apps.metrics


@app.get("/breaks/<int:parts>")
def breaks(parts):
    def body():
        yield from [b"part"] * parts
        raise RuntimeError("on its way")

    return Response(body())
"""


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """Of the service's worker under gunicorn, with an application whose bodies break."""
    folder, port = tmp_path_factory.mktemp("breaking"), processes.free_port()
    (folder / "breaking.py").write_text(APPLICATION)
    command = [sys.executable, "-m", "gunicorn", "-k", "gridos.worker.Worker", "--threads", "2"]
    command += ["--bind", f"127.0.0.1:{port}", "--pythonpath", str(folder), "breaking:app"]
    child = processes.start("gunicorn", command, folder / "log")
    try:
        up = wait_until(lambda: exchange(port, "/hello")[:12] == b"HTTP/1.1 200", timeout_s=60)
        assert up, child.tail()
        yield port
    finally:
        child.stop(grace_s=10)


def exchange(port, path):
    """All that comes until the other side ends."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            if path == "/hello":
                return connection.recv(65536)
            return b"".join(iter(lambda: connection.recv(65536), b""))
    except OSError:
        return b""


def test_a_response_that_breaks_on_its_way_ends_without_an_end_and_nothing_follows_it(port):
    head, _, body = exchange(port, "/breaks/2").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert body == b"4\r\npart\r\n4\r\npart\r\n"
    assert exchange(port, "/hello").endswith(b"hello\n")


def test_a_response_that_breaks_before_its_first_byte_is_a_500(port):
    head, _, body = exchange(port, "/breaks/0").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 500")
    assert b"Connection: close" in head
    assert json.loads(body)["type"] == "urn:gridos:problem:internal-error"
    assert exchange(port, "/hello").endswith(b"hello\n")
