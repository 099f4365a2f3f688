"""The gateway: a real Envoy, balancing per request over endpoints that come and go."""

import threading
import urllib.request
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from canary.errors import UsageError
from canary.runtime import processes
from canary.runtime.gateway import Counts, Gateway
from canary.runtime.waiting import wait_until


@pytest.fixture
def backends():
    """Three servers that answer with their own port; the last one fails every request."""
    servers = []
    for status in (200, 200, 500):

        class Handler(BaseHTTPRequestHandler):
            answer = status

            def do_GET(self):
                body = str(self.server.server_port).encode()
                self.send_response(self.answer)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", processes.free_port()), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
    yield [server.server_port for server in servers]
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def gateway(tmp_path):
    gateway = Gateway(tmp_path / "gateway")
    gateway.start()
    yield gateway
    gateway.stop()


def route(gateway, ports):
    gateway.route(ports)
    assert wait_until(lambda: gateway.routed_ports() == set(ports), timeout_s=10)


def ask(gateway, times):
    answers = Counter()
    for _ in range(times):
        try:
            with urllib.request.urlopen(gateway.url, timeout=5) as answer:
                answers[answer.read().decode()] += 1
        except urllib.error.HTTPError as failed:
            answers[failed.read().decode() or failed.code] += 1
    return answers


def test_each_endpoint_gets_its_even_share_request_by_request(gateway, backends):
    route(gateway, backends)
    assert set(ask(gateway, 30).values()) == {10}


def test_an_endpoint_that_is_withdrawn_gets_nothing_more(gateway, backends):
    route(gateway, backends)
    ask(gateway, 9)
    route(gateway, backends[:1])
    assert ask(gateway, 10) == {str(backends[0]): 10}


def test_requests_and_failures_are_counted_by_endpoint_even_after_it_is_gone(gateway, backends):
    route(gateway, backends)
    ask(gateway, 30)
    before = gateway.counts()
    assert before[backends[0]] == Counts(10, 0)
    assert before[backends[2]] == Counts(10, 10)
    route(gateway, [])
    assert gateway.counts()[backends[2]] == Counts(10, 10)


def test_with_no_endpoint_users_get_a_503(gateway):
    assert ask(gateway, 1) == {"no healthy upstream": 1}


def test_an_occupied_port_is_said_in_one_line_with_the_remedy(tmp_path, backends):
    with pytest.raises(UsageError, match=r"is occupied — choose another with --port"):
        Gateway(tmp_path / "other", backends[0]).start()
