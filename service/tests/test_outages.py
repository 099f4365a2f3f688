"""What is the matter with the database: what users, probes and metrics see of it, and its end."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import psycopg
import pytest
from gridos import schema, seed
from gridos.storage import availability
from psycopg import conninfo, errors

from canary.runtime import database as postgres
from canary.runtime.waiting import wait_until

READING = {"bus_id": "ieee33-2", "measured_at": "2026-05-01T00:00:00Z", "kw": 1, "kvar": 1}
HEADERS = {"X-API-Key": "a-key", "Content-Type": "application/json"}
# More than any server answers at once.
CALLERS = 12


@pytest.fixture(scope="module")
def database():
    """A PostgreSQL of these tests' own, which may be made to fail."""
    with postgres.server({"max_connections": "24"}) as running:
        schema.migrate(running.url)
        seed.seed(running.url)
        yield running


@pytest.fixture(scope="module")
def server(serve, database):
    """A pod on that database, which each test leaves as it found it."""
    with serve(GRIDOS_DATABASE_URL=database.url) as server:
        yield server


@pytest.fixture
def run(database):
    """Runs statements as the database's owner."""

    def run(*statements):
        with psycopg.connect(database.url, autocommit=True) as owner:
            for statement in statements:
                owner.execute(statement)

    return run


def write(server):
    body = json.dumps({"readings": [READING]}).encode()
    return server.ask("/v1/readings", "POST", body, HEADERS)


def read(server):
    return server.ask("/v1/feeders")


def is_back(server):
    return (
        read(server)[0] == 200
        and write(server)[0] == 201
        and server.metric("gridos_db_up") == 1
        and server.probe("/readyz")[0] == 200
    )


def assert_later(answer):
    status, text, headers = answer
    assert status == 503, text
    assert headers["Retry-After"] == "5"


@pytest.mark.parametrize("kind", ["gunicorn", "granian"])
def test_while_the_database_hangs_callers_are_told_to_come_back_and_no_pod_leaves(
    serve, database, kind
):
    with serve(GRIDOS_DATABASE_URL=database.url, GRIDOS_SERVER=kind) as server:
        with frozen(database), ThreadPoolExecutor(CALLERS) as callers:
            answers = [callers.submit(read, server) for _ in range(CALLERS)]
            while not all(answer.done() for answer in answers):
                assert server.probe("/livez")[0] == 200
                assert server.probe("/readyz")[0] == 200
            for answer in answers:
                assert_later(answer.result())
            assert wait_until(lambda: server.metric("gridos_db_up") == 0, timeout_s=60)
            assert "does not answer" in server.probe("/readyz")[1]
            assert_later(read(server))
        assert wait_until(lambda: is_back(server), timeout_s=60)


@contextmanager
def frozen(database):
    database.freeze()
    try:
        yield
    finally:
        database.thaw()


def test_while_the_database_is_read_only_reads_go_on_and_writes_are_told_to_come_back(server, run):
    run("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
    try:
        assert wait_until(lambda: write(server)[0] == 503, timeout_s=60)
        assert_later(write(server))
        assert wait_until(lambda: server.metric("gridos_db_up") == 0, timeout_s=60)
        status, text = server.probe("/readyz")
        assert (status, "read-only" in text) == (200, True)
        assert read(server)[0] == 200
    finally:
        run(
            "SET default_transaction_read_only = off",
            "ALTER SYSTEM RESET default_transaction_read_only",
            "SELECT pg_reload_conf()",
        )
    assert wait_until(lambda: is_back(server), timeout_s=60)


def test_sessions_that_began_read_only_do_not_outlive_its_end(serve, database, run):
    own = "ALTER DATABASE postgres {} default_transaction_read_only"
    run(own.format("SET") + " = on")
    try:
        with serve(GRIDOS_DATABASE_URL=database.url) as server:
            assert wait_until(lambda: write(server)[0] == 503, timeout_s=60)
            run("SET default_transaction_read_only = off", own.format("RESET"))
            assert wait_until(lambda: is_back(server), timeout_s=60)
            assert {write(server)[0] for _ in range(CALLERS)} == {201}
    finally:
        run("SET default_transaction_read_only = off", own.format("RESET"))


def test_while_tables_are_locked_every_caller_is_answered_and_no_pod_leaves(server, database):
    with psycopg.connect(database.url) as owner, ThreadPoolExecutor(CALLERS) as callers:
        owner.execute("LOCK TABLE feeder, bus IN ACCESS EXCLUSIVE MODE")
        answers = [callers.submit(read, server) for _ in range(CALLERS)]
        while not all(answer.done() for answer in answers):
            assert server.probe("/livez")[0] == 200
            assert server.probe("/readyz") == (200, '{"status": "ready", "database": "available"}')
        assert {answer.result().status for answer in answers} == {503}
        owner.rollback()
        assert wait_until(lambda: is_back(server), timeout_s=60)


def test_without_a_connection_to_spare_a_pod_goes_on_with_those_it_has_and_a_new_one_waits(
    serve, server, database
):
    with exhausted(database) as held:
        assert read(server)[0] == 200
        with serve(wait=False, GRIDOS_DATABASE_URL=database.url) as late:
            assert wait_until(lambda: "to spare" in late.probe("/readyz")[1], timeout_s=60)
            assert late.probe("/readyz")[0] == 503
            assert late.probe("/livez")[0] == 200
            assert_later(read(late))
            assert server.probe("/readyz")[0] == 200
            for connection in held:
                connection.close()
            assert wait_until(lambda: is_back(late), timeout_s=60)


@contextmanager
def exhausted(database):
    held = []
    try:
        with suppress(psycopg.OperationalError):
            while True:
                held.append(psycopg.connect(database.url))
        yield held
    finally:
        for connection in held:
            connection.close()


def test_a_pod_whose_login_is_refused_leaves_and_comes_back(serve, database, run):
    run("CREATE ROLE app LOGIN SUPERUSER")
    url = conninfo.make_conninfo(database.url, user="app")
    with serve(GRIDOS_DATABASE_URL=url) as server:
        run(
            "ALTER ROLE app NOLOGIN",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'",
        )
        assert wait_until(lambda: server.probe("/readyz")[0] == 503, timeout_s=60)
        assert "refuses this pod's login" in server.probe("/readyz")[1]
        assert wait_until(lambda: read(server)[0] == 503, timeout_s=60)
        assert server.metric("gridos_db_up") == 0
        assert server.probe("/livez")[0] == 200
        run("ALTER ROLE app LOGIN")
        assert wait_until(lambda: is_back(server), timeout_s=60)


def test_sessions_that_are_ended_are_replaced_before_anybody_notices(server, run):
    for _ in range(3):
        run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        assert wait_until(lambda: is_back(server), timeout_s=60)
    assert server.probe("/readyz")[0] == 200


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (errors.ReadOnlySqlTransaction(), availability.READ_ONLY),
        (errors.DiskFull(), availability.FULL),
        (errors.TooManyConnections(), availability.CROWDED),
        (errors.InvalidPassword(), availability.LOCKED_OUT),
        (errors.AdminShutdown(), availability.RESTARTING),
        (errors.CannotConnectNow(), availability.RESTARTING),
        (errors.ConnectionFailure(), availability.SILENT),
        (psycopg.OperationalError("password authentication failed"), availability.LOCKED_OUT),
        (psycopg.OperationalError("server closed the connection"), availability.SILENT),
        # About one statement, and not about the database.
        (errors.QueryCanceled(), None),
        (errors.LockNotAvailable(), None),
        (errors.UniqueViolation(), None),
        (psycopg.ProgrammingError("can't adapt"), None),
    ],
)
def test_an_error_tells_of_the_database_or_of_the_statement_alone(error, fault):
    assert availability.fault_of(error) is fault
