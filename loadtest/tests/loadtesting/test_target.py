"""What cannot be reached says why, in one line and with code 2."""

import socket
import ssl
import threading
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import trustme
from loadtesting import cli, target
from loadtesting.target import Unreachable


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@contextmanager
def serving(context=None):
    """The port of a server, which speaks TLS if a context is given."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture
def https(tmp_path):
    """Serves HTTPS with a certificate that is valid until a year, beside its authority's."""

    def start(year):
        authority = trustme.CA()
        authority.cert_pem.write_to_path(tmp_path / "authority.pem")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        until = datetime(year, 1, 2, tzinfo=UTC)
        authority.issue_cert("127.0.0.1", not_after=until).configure_cert(context)
        port = stack.enter_context(serving(context))
        return f"https://127.0.0.1:{port}", tmp_path / "authority.pem"

    with ExitStack() as stack:
        yield start


def test_a_trusted_certificate_is_accepted(https):
    url, authority = https(2099)
    assert target.reach(url, "/", authority) == 200


@pytest.mark.parametrize(
    ("until", "trusted", "said"),
    [
        (2020, True, "certificate is not valid: certificate has expired"),
        (2099, False, "--ca-file"),
    ],
)
def test_a_certificate_that_is_expired_or_of_an_unknown_authority_is_named(
    https, until, trusted, said
):
    url, authority = https(until)
    with pytest.raises(Unreachable, match=said):
        target.reach(url, "/", authority if trusted else None)


CASES = [
    ("http://no-such-host.invalid", "no such host name"),
    ("http://127.0.0.1:9", "refuses connections"),
    ("ftp://127.0.0.1", "is not a base URL"),
    ("127.0.0.1:8000", "is not a base URL"),
]


@pytest.mark.parametrize(("host", "words"), CASES)
def test_each_wrong_host_has_its_own_words_and_code_2(root, monkeypatch, capsys, host, words):
    monkeypatch.chdir(root)
    assert cli.main(["run", "smoke", "--host", host]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_plain_http_asked_for_as_https_is_named():
    with serving() as port, pytest.raises(Unreachable, match="does not speak TLS"):
        target.reach(f"https://127.0.0.1:{port}", "/")


def test_a_port_that_hangs_up_is_named():
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def hang_up():
            listening.accept()[0].close()

        threading.Thread(target=hang_up, daemon=True).start()
        with pytest.raises(Unreachable, match="is it up"):
            target.reach(f"http://127.0.0.1:{listening.getsockname()[1]}", "/")
