"""The service in this process, on a real database; `serve` starts it as its own server."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from gridos import create_app
from gridos.config import Settings
from gridos.storage import pool

from acceptance.services import KEY, Service


@pytest.fixture
def opened() -> Callable[..., AbstractContextManager[Flask]]:
    """Connects applications with these settings, for a `with`."""

    @contextmanager
    def connect(database_url: str, **settings) -> Iterator[Flask]:
        app = create_app(Settings(database_url, **settings))
        pool.open_pool(app)
        try:
            yield app
        finally:
            pool.close_pool(app)

    return connect


@pytest.fixture
def app(seeded: str, opened):
    """The application, connected."""
    keys = f"other-key,{KEY}:readings+networks"
    with opened(seeded, api_keys=keys, pod="pod-1", version="1.2.3") as app:
        yield app


@pytest.fixture
def unconnected():
    """An application that has no database."""
    return create_app(Settings("postgresql://127.0.0.1:1/x"))


@pytest.fixture(scope="module")
def server(serve) -> Iterator[Service]:
    """A server of a file's own, whose key may write."""
    with serve(GRIDOS_VERSION="1.2.3", GRIDOS_API_KEYS=f"{KEY}:readings+networks") as server:
        yield server


@pytest.fixture
def hurried(tmp_path) -> str:
    """Where a server finds that a body and an answer are waited for a second, and not 10 and 30."""
    text = (
        "from gridos import deadlines\n\ndeadlines.MAX_ARRIVAL_S = deadlines.MAX_ANSWER_S = 1.0\n"
    )
    (tmp_path / "sitecustomize.py").write_text(text)
    return str(tmp_path)


@pytest.fixture
def client(app):
    """A caller with no key."""
    return app.test_client()


@pytest.fixture
def metric() -> Callable[[FlaskClient, str], float]:
    """The value of a series of an application's."""

    def value(client: FlaskClient, series: str) -> float:
        lines = client.get("/metrics").text.splitlines()
        return next(float(x.split()[-1]) for x in lines if x.startswith(f"{series} "))

    return value


@pytest.fixture
def rows(seeded: str) -> Callable[[], int]:
    """How many readings are stored now."""

    def count() -> int:
        with psycopg.connect(seeded) as connection:
            (number,) = connection.execute("SELECT count(*) FROM reading").fetchone()
        return number

    return count
