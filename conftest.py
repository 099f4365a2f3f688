"""Fixtures that both halves of the repository need: real things, started once a session."""

import os
import secrets
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import psycopg
import pytest
from gridos import schema, seed

from acceptance.services import Service
from canary.runtime import database

ROOT = Path(__file__).parent
# How much a worker gives way, with all that it starts, once it has run what must not wait.
BEHIND = 10

# What `nohup` and a shell's background ignore, every child would ignore too, and tests send it.
for _number in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.SIG_DFL)


@contextmanager
def _database(url: str, options: str = "") -> Iterator[str]:
    """A database of a server, until the block is left."""
    name = f"tests_{secrets.token_hex(4)}"
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name} {options}")
        try:
            yield psycopg.conninfo.make_conninfo(url, dbname=name)
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def database_url() -> Iterator[str]:
    """A database of this session's own, on a server that is given or on one of its own too."""
    with database.running() as url, _database(url) as own:
        yield own


@pytest.fixture(scope="session")
def seeded(database_url: str) -> str:
    """The URL of the same database, migrated and seeded."""
    schema.migrate(database_url)
    seed.seed(database_url)
    return database_url


@pytest.fixture(scope="session")
def fresh(database_url: str) -> Callable[..., AbstractContextManager[str]]:
    """Makes databases of their own, with nothing in them, for a `with`."""

    def make(encoding: str = "UTF8") -> AbstractContextManager[str]:
        plain = f"TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'"
        return _database(database_url, plain)

    return make


@pytest.fixture(scope="session")
def serve(
    seeded: str, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., AbstractContextManager[Service]]:
    """Starts the service on ports of its own, with these variables, for a `with`."""

    @contextmanager
    def start(
        *, wait: bool = True, prefix: Sequence[str] = (), **variables: str
    ) -> Iterator[Service]:
        given = {"GRIDOS_DATABASE_URL": seeded, **variables}
        with Service(tmp_path_factory.mktemp("service"), given, prefix=prefix) as service:
            service.start()
            if wait:
                service.await_ready()
            yield service

    return start


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts what others give way to before them."""
    items.sort(key=lambda item: item.get_closest_marker("first") is None)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Lets the other worker's tests go before this one if they measure and it does not."""
    if hasattr(item.config, "workerinput") and not item.get_closest_marker("first"):
        os.nice(max(0, BEHIND - os.nice(0)))
