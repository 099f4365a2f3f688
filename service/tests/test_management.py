"""The management port: probes and metrics whatever else is the matter with the pod."""

import socket
import threading
import time
from contextlib import ExitStack

import pytest
from gridos.config import Settings
from gridos.lifecycle import MAX_REQUEST_S, Lifecycle
from gridos.management import bind
from gridos.tally import Tally

from canary.runtime.waiting import wait_until

PATHS = ("/livez", "/readyz", "/metrics")


@pytest.fixture(scope="module", params=["gunicorn", "granian"])
def server(serve, request):
    with serve(GRIDOS_SERVER=request.param) as server:
        yield server


@pytest.mark.parametrize("path", PATHS)
def test_probes_and_metrics_are_on_both_ports(server, path):
    assert server.probe(path)[0] == 200
    assert server.ask(path)[0] == 200


def test_nothing_else_is_on_it(server):
    assert server.probe("/v1/feeders")[0] == 404
    assert server.ask("/livez", "POST", b"", port=server.management_port)[0] == 405


def test_a_scrape_gets_what_it_asks_for(server):
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    _, text, headers = server.ask("/metrics", headers=accept, port=server.management_port)
    assert headers["Content-Type"].startswith("application/openmetrics-text")
    assert text.endswith("# EOF\n")
    _, text = server.probe("/metrics?name[]=gridos_db_up")
    assert text.splitlines()[-1] == "gridos_db_up 1.0"


def test_connections_that_say_nothing_keep_nobody_waiting(server):
    with ExitStack() as held:
        for _ in range(300):
            silent = socket.create_connection(("127.0.0.1", server.management_port))
            held.callback(silent.close)
        for path in PATHS:
            assert server.probe(path)[0] == 200
        # And none is kept.
        assert silent.recv(1) == b""


def test_it_answers_while_every_thread_is_at_a_request(serve):
    with serve(GRIDOS_FAULTS="latency=1m") as server:
        for _ in range(8):
            threading.Thread(target=server.ask, args=["/v1/feeders"], daemon=True).start()
        assert wait_until(lambda: server.metric("http_requests_in_flight") >= 4, timeout_s=60)
        assert [server.probe(path)[0] for path in PATHS] == [200] * 3
        server.process.kill()


def test_a_port_that_is_taken_is_said_before_anything_starts(serve):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with serve(wait=False, GRIDOS_MANAGEMENT_PORT=port) as server:
            assert server.process.wait(60) == 2


def test_no_port_is_none():
    assert bind(Settings(management_port=0)) is None


def test_a_process_is_stuck_when_every_thread_is_at_one_request_for_too_long():
    tally, lifecycle = Tally(), Lifecycle(0, threads=2)
    now = time.perf_counter()
    for thread, since in ((1, now - MAX_REQUEST_S - 1), (2, now), (3, None)):
        tally.shards[thread].since = since
    assert not lifecycle.failure(tally)
    tally.shards[2].since = now - MAX_REQUEST_S - 1
    assert "every thread" in lifecycle.failure(tally)


def test_a_request_is_a_threads_own_until_its_last_byte(app):
    tally = app.extensions["tally"]
    response = app.test_client().get("/v1/map", buffered=False)
    later = time.perf_counter() + 1
    assert tally.threads_at_it_since(later) == 1
    response.close()
    assert tally.threads_at_it_since(later) == 0
