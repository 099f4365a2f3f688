"""Fixtures that both halves of the repository need: real things, started once a session."""

import fcntl
import secrets
import signal
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from gridos import schema, seed

from canary.runtime import database

ROOT = Path(__file__).parent

# What `nohup` and a shell's background ignore, every child would ignore too, and tests send it.
for _number in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.SIG_DFL)


@pytest.fixture(scope="session")
def database_url() -> Iterator[str]:
    """A database of this session's own, on a server that is given or on one of its own too."""
    name = f"tests_{secrets.token_hex(4)}"
    with database.running() as url, psycopg.connect(url, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
        try:
            yield psycopg.conninfo.make_conninfo(url, dbname=name)
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def seeded(database_url: str) -> str:
    """The URL of the same database, migrated and seeded."""
    schema.migrate(database_url)
    seed.seed(database_url)
    return database_url


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Keeps the other worker's tests from running beside one that is marked `alone`."""
    if not hasattr(item.config, "workerinput"):
        return (yield)
    factory = item.config._tmp_path_factory  # type: ignore[attr-defined]  # noqa: SLF001 — a hook has no fixtures
    with _machine(factory.getbasetemp().parent, alone=item.get_closest_marker("alone") is not None):
        return (yield)


@contextmanager
def _machine(shared: Path, *, alone: bool) -> Iterator[None]:
    """Holds the machine, with others or alone; `gate` lets who waits to be alone go first."""
    with (shared / "gate").open("w") as gate, (shared / "machine").open("w") as machine:
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(machine, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(machine, fcntl.LOCK_UN)  # or a forked child would hold it on
