"""A pod has connected, asked and answered before users are sent to it, and counted nothing."""

from contextlib import ExitStack

import psycopg
import pytest
from gridos import create_app, faults, probes
from gridos.config import Settings
from gridos.storage import pool

from canary.runtime.waiting import wait_until


@pytest.fixture
def ready(opened):
    """Connects an application and waits until it is ready."""
    with ExitStack() as stack:

        def start(database_url, **settings):
            app = stack.enter_context(opened(database_url, **settings))
            assert wait_until(lambda: probes.check_readiness(app)[1] == 200, 60)
            return app

        yield start


def test_a_ready_pod_has_prepared_what_most_users_ask_for(ready, seeded):
    app = ready(seeded)
    kept = app.extensions["pool"]
    prepared = []
    with ExitStack() as leases:
        # A pool that was asked before its first connection was there may have grown to two.
        for _ in range(kept.get_stats()["pool_size"]):
            lent = leases.enter_context(kept.connection())
            prepared += lent.execute("SELECT statement FROM pg_prepared_statements").fetchall()
    assert any("feeder" in row["statement"] for row in prepared)
    assert any("reading" in row["statement"] for row in prepared)


def test_the_warm_up_is_counted_as_nobodys_request_and_meets_no_fault(ready, seeded):
    app = ready(seeded, faults=faults.parse("errors=100%,latency=1h"))
    assert sum(app.extensions["tally"].sum().counts.values()) == 0
    assert app.test_client().get("/readyz").status_code == 200


def test_a_pod_without_a_schema_is_ready_all_the_same(ready, fresh):
    with fresh() as url:
        app = ready(url)
        assert app.extensions["availability"].fault is None
        pool.close_pool(app)


def test_a_pod_that_began_without_its_database_warms_up_when_it_comes(ready, seeded):
    app = create_app(Settings(seeded))
    availability, warmed = app.extensions["availability"], []
    availability.warm = lambda: warmed.append(availability.fault)
    availability._settle(pool.fault_of(psycopg.OperationalError("refused")))  # noqa: SLF001
    assert not warmed
    availability._settle(None)  # noqa: SLF001
    availability._settle(None)  # noqa: SLF001
    assert [fault.is_silent for fault in warmed] == [False]
