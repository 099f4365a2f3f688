"""Whether each clone installs what it needs, as GitHub's runners do."""

import sys
from collections.abc import Iterator

import pytest

from acceptance.cluster import ROOT
from canary.runtime import processes


def pytest_addoption(parser: pytest.Parser) -> None:
    """What may be said to these tests."""
    text = "use this checkout's .venv, as a restored cache, instead of installing in each clone"
    parser.addoption("--cached", action="store_true", help=text)


@pytest.fixture(scope="session")
def cached(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Whether it is this checkout's .venv."""
    chosen = bool(request.config.getoption("cached"))
    yield chosen
    if chosen:  # the clones' set-ups have made it theirs, and they are gone
        processes.run([sys.executable, ROOT / "ci/install.py", "dev"], check=True)
