"""The run's own PostgreSQL, for any user, and the refusal of a database that holds anything."""

import os
import pwd
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import psutil
import psycopg
import pytest

from canary.runtime import database, processes
from canary.runtime.waiting import wait_until
from canary.tests.machine import lives

CANARY = Path(sys.executable).parent / "canary"
TABLES = "SELECT array_agg(relname::text) FROM pg_class WHERE relkind = 'r' AND oid >= 16384"


@pytest.fixture
def held(database_url):
    """The URL of a database that holds a table of somebody's."""
    with psycopg.connect(database_url, autocommit=True) as server:
        server.execute("CREATE DATABASE held")
        url = psycopg.conninfo.make_conninfo(database_url, dbname="held")
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE theirs (a int)")
        yield url
        server.execute("DROP DATABASE held WITH (FORCE)")


def ask(url, query):
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchone()


def serve(root, **variables):
    # In a folder of its own, with a short path, it meets nothing that other tests left behind.
    with tempfile.TemporaryDirectory() as own:
        return subprocess.run(
            [CANARY, "serve", "--port", str(processes.free_port())],
            cwd=root,
            env={**os.environ, **variables, "TMPDIR": own},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


def test_a_database_that_holds_a_table_is_refused_with_the_remedy_and_left_as_it_is(root, held):
    done = serve(root, REHEARSE_DATABASE_URL=held)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    for word in ("the database held on", "REHEARSE_DATABASE_URL", "contains 1 table", "empty"):
        assert word in done.stderr
    assert ask(held, TABLES) == (["theirs"],)


@pytest.mark.parametrize("url", ["nonsense", "postgresql://127.0.0.1:1/none"])
def test_a_database_that_cannot_be_used_is_one_line(root, url):
    done = serve(root, REHEARSE_DATABASE_URL=url)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "cannot be used" in done.stderr
    assert "unset REHEARSE_DATABASE_URL" in done.stderr


def test_an_empty_database_of_the_callers_is_used(database_url, monkeypatch):
    with psycopg.connect(database_url, autocommit=True) as server:
        server.execute("CREATE DATABASE empty")
        url = psycopg.conninfo.make_conninfo(database_url, dbname="empty")
        monkeypatch.setenv("REHEARSE_DATABASE_URL", url)
        with database.running() as used:
            assert used == url
        server.execute("DROP DATABASE empty")


def test_the_services_own_variable_is_never_read(monkeypatch):
    monkeypatch.delenv("REHEARSE_DATABASE_URL", raising=False)
    monkeypatch.setenv("GRIDOS_DATABASE_URL", "postgresql://production/gridos")
    with database.running() as url:
        assert "production" not in url


def test_two_servers_at_once_know_nothing_of_each_other():
    with ExitStack() as stack:
        servers = [stack.enter_context(database.server()) for _ in range(2)]
        for number, server in enumerate(servers):
            with psycopg.connect(server.url) as connection:
                connection.execute(f"CREATE TABLE only{number} (a int)")
        assert ask(servers[0].url, TABLES) == (["only0"],)


def test_the_first_two_servers_of_a_machine_may_start_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def answer(_):
        with database.server() as server:
            return ask(server.url, "SHOW server_encoding")

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(answer, range(2))) == [("UTF8",)] * 2
    (template,) = (tmp_path / "cache" / "canary").iterdir()
    assert template.name.startswith("postgresql-")


def test_a_cache_that_cannot_be_written_is_no_reason_not_to_start(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc")
    with database.server() as server:
        assert ask(server.url, "SELECT 1") == (1,)


def test_it_listens_on_no_port_and_ends_with_every_session():
    with database.server() as server:
        data = psycopg.conninfo.conninfo_to_dict(server.url)["host"]
        postmaster = psutil.Process(int((Path(data) / "postmaster.pid").read_text().split()[0]))
        assert ask(server.url, "SHOW listen_addresses") == ("",)
        session = psycopg.connect(server.url)
        family = [postmaster, *postmaster.children(recursive=True)]
    session.close()
    # A session that outlives its server for a moment is for another process to bury.
    assert not any(map(lives, family))


def test_a_suspended_server_ends_in_order():
    with database.server() as server:
        data = Path(psycopg.conninfo.conninfo_to_dict(server.url)["host"])
        server.freeze()
        server.stop()
        assert "database system is shut down" in (data.parent / "log").read_text()


def test_what_was_committed_is_there_after_the_server_was_killed():
    with database.server() as server:
        with psycopg.connect(server.url) as connection:
            connection.execute("CREATE TABLE kept (a int)")
        server.kill()
        server.start()
        assert ask(server.url, TABLES) == (["kept"],)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has another user to run it as")
def test_as_root_it_runs_as_nobody_even_where_nobody_cannot_reach_the_package(
    tmp_path, monkeypatch
):
    package = database.copy_installation(tmp_path / "closed")
    (tmp_path / "closed").chmod(0o700)
    monkeypatch.setattr(database, "installation", lambda: package)
    accounts = Path("/etc/passwd").read_text()
    with database.server() as server, psycopg.connect(server.url) as connection:
        (pid,) = connection.execute("SELECT pg_backend_pid()").fetchone()
        assert psutil.Process(pid).uids().effective == pwd.getpwnam("nobody").pw_uid
    assert Path("/etc/passwd").read_text() == accounts


def test_a_server_that_cannot_start_says_why_in_one_line():
    with (
        pytest.raises(database.MachineError, match=r"PostgreSQL did not start: .*no_such") as said,
        database.server({"no_such_setting": "1"}),
    ):
        pass
    assert "\n" not in str(said.value)


def test_its_processes_end_when_the_program_that_started_it_is_killed():
    owner = (
        "from canary.runtime import database\nimport time\n"
        "with database.server() as s: print(s.url, flush=True); time.sleep(120)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", owner], stdout=subprocess.PIPE, text=True
    ) as program:
        url = program.stdout.readline().strip()
        folder = Path(psycopg.conninfo.conninfo_to_dict(url)["host"]).parent
        family = psutil.Process(program.pid).children(recursive=True)
        program.kill()
    assert len(family) > 3
    assert wait_until(lambda: not any(map(lives, family)), timeout_s=60)
    assert wait_until(lambda: not folder.exists(), timeout_s=60)
