"""What goes wrong outside of the release: each has its own words and its own exit code."""

import signal
import ssl
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import trustme

from acceptance.load.fast_server import answering
from acceptance.load.runs import loadtest

# A rate that no core can send.
TOO_MUCH = "8000 for 5s"


def assert_ends(code, words, *arguments):
    ended, said, _ = loadtest("run", *arguments)
    print(next((line for line in said.splitlines() if words in line), said.strip()[-100:]))
    assert (ended, words in said) == (code, True), said


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("http://grid.invalid", "no such host name"),
        ("http://127.0.0.1:9", "refuses connections"),
    ],
)
def test_a_host_that_is_none_is_an_input_that_cannot_be_used(host, words):
    assert_ends(2, words, "smoke", "--host", host)


def test_an_expired_certificate_is_an_input_that_cannot_be_used():
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    long_ago = datetime(2020, 1, 2, tzinfo=UTC)
    authority.issue_cert("127.0.0.1", not_after=long_ago).configure_cert(context)
    with (
        authority.cert_pem.tempfile() as file,
        ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server,
    ):
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host = f"https://127.0.0.1:{server.server_port}"
        assert_ends(2, "certificate has expired", "smoke", "--host", host, "--ca-file", file)
        server.shutdown()


def test_without_a_prometheus_there_is_no_verdict_on_cpu(serve):
    with serve() as service:
        arguments = ("cpu-good", "--host", service.url, "--seconds", "9")
        assert_ends(3, "name one with --prometheus", *arguments)


def test_a_generator_without_cpu_gives_no_verdict():
    with answering() as host:
        assert_ends(3, "out of CPU", "smoke", "--host", host, "--shape", TOO_MUCH)


def test_a_service_that_is_killed_in_the_middle_fails(serve):
    with serve() as service:
        threading.Timer(8, service.signal, (signal.SIGKILL,)).start()
        arguments = ("smoke", "--host", service.url, "--rate", "80", "--seconds", "30")
        assert_ends(1, "target-gone", *arguments)
