"""Fixtures that both halves of the repository need: real things, started once a session."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from rehearsal import database

ROOT = Path(__file__).parent


@pytest.fixture(scope="session")
def database_url() -> Iterator[str]:
    """A real PostgreSQL: REHEARSE_DATABASE_URL, or one of this session's own."""
    with database.running() as url:
        yield url


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT
