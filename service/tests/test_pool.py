"""The pool in an outage: it gives up in time, and is back when the database is."""

import threading

import pytest
from gridos import create_app, schema, seed
from gridos.config import Settings
from gridos.storage.pool import THREADS, close_pool, open_pool
from proofs import postgres
from rehearsal.waiting import wait_until


@pytest.fixture
def database():
    """A PostgreSQL of the test's own, which may be killed."""
    with postgres.running() as running:
        schema.migrate(running.url)
        seed.seed(running.url)
        yield running


def test_the_pool_connects_again_after_an_outage_that_requests_went_on_asking_through(database):
    """Each request that gives up leaves its place in the pool's queue to be served first."""
    app = create_app(Settings(database.url))
    # Shorter than in service, so that requests give up soon, and so does the pool itself.
    pool = app.extensions["pool"]
    pool.timeout, pool.reconnect_timeout = 0.05, 0.1
    open_pool(app)
    answers = []
    stopped = threading.Event()

    def ask():
        client = app.test_client()
        while not stopped.wait(0.01):
            answers.append(client.get("/v1/feeders").status_code)

    callers = [threading.Thread(target=ask) for _ in range(THREADS)]
    for caller in callers:
        caller.start()
    try:
        assert wait_until(lambda: 200 in answers, timeout_s=30)
        database.kill()
        assert wait_until(lambda: answers.count(503) > 10 * THREADS, timeout_s=60)
        assert wait_until(lambda: pool.get_stats()["pool_size"] == 0, timeout_s=60)
        database.start()
        answers.clear()
        assert wait_until(lambda: answers.count(200) > 10 * THREADS, timeout_s=60)
    finally:
        stopped.set()
        for caller in callers:
            caller.join()
        close_pool(app)
    assert set(answers) <= {200, 503}
