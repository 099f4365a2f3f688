"""The pool in an outage: nobody queues for it in vain, and it is back when the database is."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from time import monotonic

import psycopg
import pytest
from gridos import schema, seed
from gridos.storage import pool
from gridos.storage.availability import CROWDED, SILENT
from gridos.storage.pool import THREADS
from psycopg_pool import PoolTimeout

from canary.runtime import database as postgres
from canary.runtime import processes
from canary.runtime.waiting import wait_until


@pytest.fixture
def database():
    """A PostgreSQL of the test's own, which may be killed."""
    with postgres.server() as running:
        schema.migrate(running.url)
        seed.seed(running.url)
        yield running


def test_the_pool_connects_again_after_an_outage_that_requests_went_on_asking_through(
    database, opened
):
    """Each request that gives up leaves its place in the pool's queue to be served first."""
    answers = []
    stopped = threading.Event()

    def ask(app):
        client = app.test_client()
        while not stopped.wait(0.01):
            answers.append(client.get("/v1/feeders").status_code)

    with opened(database.url) as app, ThreadPoolExecutor() as callers:
        # Shorter than in service, so that requests give up soon, and so does the pool itself.
        connections = app.extensions["pool"]
        connections.timeout, connections.reconnect_timeout = 0.05, 0.1
        try:
            for _ in range(connections.max_size):
                callers.submit(ask, app)
            assert wait_until(lambda: 200 in answers, timeout_s=60)
            database.kill()
            assert wait_until(lambda: answers.count(503) > 10 * connections.max_size, timeout_s=60)
            assert wait_until(lambda: app.extensions["availability"].fault is SILENT, timeout_s=60)
            database.start()
            answers.clear()
            assert wait_until(lambda: answers.count(200) > 10 * connections.max_size, timeout_s=60)
        finally:
            stopped.set()
    assert set(answers) <= {200, 503}


@pytest.mark.parametrize("idle", [True, False])
def test_connections_that_were_cut_off_fail_no_more_requests_than_the_one_that_finds_out(
    fresh, opened, monkeypatch, idle
):
    """A server's idle timeout, a pooler's restart or a network's does it, to all at once."""
    if idle:
        monkeypatch.setattr(pool, "PROOF_S", -1.0)
    with fresh() as url:
        schema.migrate(url)
        with opened(url) as app:
            connections = app.extensions["pool"]
            with ExitStack() as lent:
                for _ in range(connections.max_size):
                    lent.enter_context(pool.Lease(connections, monotonic() + 60))
            with psycopg.connect(url, autocommit=True) as other:
                other.execute(
                    "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            client = app.test_client()
            answers = [client.get("/v1/feeders").status_code for _ in range(8)]
    assert answers == [200 if idle else 503, *[200] * 7]


@pytest.fixture
def away(opened):
    """A service whose database refuses connections, and knows it."""
    with opened(f"postgresql://gridos@127.0.0.1:{processes.free_port()}/gridos") as app:
        assert wait_until(lambda: app.extensions["availability"].fault is SILENT, timeout_s=60)
        yield app


def test_requests_are_refused_and_not_queued_while_the_database_is_away(away):
    connections = away.extensions["pool"]
    queued = connections.get_stats().get("requests_queued")
    for _ in range(50):
        with pytest.raises(PoolTimeout, match="does not answer"):
            connections.getconn()
    stats = connections.get_stats()
    assert stats.get("requests_queued") == queued
    assert stats["requests_errors"] >= 50


def test_a_request_is_answered_503_while_the_database_is_away(away):
    answer = away.test_client().get("/v1/feeders")
    assert answer.status_code == 503
    assert "Retry-After" in answer.headers


@pytest.mark.parametrize("server", THREADS)
def test_a_pod_is_ready_while_all_its_threads_hold_connections(seeded, opened, server):
    with opened(seeded, server=server) as app, ExitStack() as held:
        client = app.test_client()
        assert wait_until(lambda: client.get("/readyz").status_code == 200, timeout_s=60)
        for _ in range(THREADS[server]):
            held.enter_context(app.extensions["pool"].connection())
        assert wait_until(lambda: client.get("/readyz").status_code == 200, timeout_s=60)


def test_a_connection_is_waited_for_where_there_are_some_although_no_new_one_is_to_be_had(app):
    connections = app.extensions["pool"]
    with connections.connection():
        app.extensions["availability"].fault = CROWDED
        with connections.connection() as second:
            assert second.execute("SELECT 1 AS one").fetchone() == {"one": 1}
