"""The service in this process, on a real database; `serve` starts it as its own server."""

from collections.abc import Callable

import psycopg
import pytest
from gridos import create_app
from gridos.config import Settings
from gridos.storage import pool

from acceptance.services import KEY


@pytest.fixture
def app(seeded: str):
    """The application, connected."""
    app = create_app(
        Settings(
            seeded, api_keys=f"other-key,{KEY}:readings+networks", pod="pod-1", version="1.2.3"
        )
    )
    pool.open_pool(app)
    yield app
    pool.close_pool(app)


@pytest.fixture
def client(app):
    """A caller with no key."""
    return app.test_client()


@pytest.fixture
def rows(seeded: str) -> Callable[[], int]:
    """How many readings are stored now."""

    def count() -> int:
        with psycopg.connect(seeded) as connection:
            (number,) = connection.execute("SELECT count(*) FROM reading").fetchone()
        return number

    return count
