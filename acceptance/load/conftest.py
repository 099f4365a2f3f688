"""The service as the load test meets it, and a key that it may write with."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from acceptance.load.runs import CPU_LIMIT_CORES
from acceptance.services import KEY, WRITABLE, Service


@pytest.fixture(scope="session")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The key's."""
    file = tmp_path_factory.mktemp("key") / "key"
    file.write_text(KEY, encoding="utf-8")
    return str(file)


@pytest.fixture(scope="session")
def serve(
    serve: Callable[..., AbstractContextManager[Service]],
) -> Callable[..., AbstractContextManager[Service]]:
    """Starts the service with a pod's CPU limit, for a key that may write."""
    limit = str(round(CPU_LIMIT_CORES * 1000))
    given = {"GRIDOS_API_KEYS": WRITABLE["GRIDOS_API_KEYS"], "GRIDOS_CPU_LIMIT_MILLICORES": limit}
    return lambda **more: serve(**{**given, **more})
