"""The service on a real database: in process for speed, and as its own server for the truth."""

import os
import secrets
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from gridos import create_app
from gridos.config import Settings
from gridos.storage import pool

from canary.runtime import processes
from canary.runtime.waiting import wait_until

PROGRAM = str(Path(sys.executable).parent / "gridos")
KEY = "a-key"


@pytest.fixture(scope="session")
def fresh(database_url: str):
    """Makes databases of their own, with nothing in them; `with fresh() as url`."""

    @contextmanager
    def make(encoding: str = "UTF8") -> Iterator[str]:
        name = f"fresh_{secrets.token_hex(4)}"
        with psycopg.connect(database_url, autocommit=True) as server:
            server.execute(
                f"CREATE DATABASE {name} TEMPLATE template0"
                f" ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'"
            )
            try:
                yield psycopg.conninfo.make_conninfo(database_url, dbname=name)
            finally:
                server.execute(f"DROP DATABASE {name} WITH (FORCE)")

    return make


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


class Server:
    """A `gridos serve` of its own: asked over HTTP, its log kept."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self.port = int(environment["PORT"])
        self.management_port = int(environment["GRIDOS_MANAGEMENT_PORT"])
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen([PROGRAM, "serve"], env=environment, stdout=output)

    def ask(self, path, method="GET", body=None, headers=None, port=None):
        """(status, text, headers) of one request; status 0 where there was no answer."""
        url = f"http://127.0.0.1:{port or self.port}{path}"
        request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode(), answer.headers
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode(), refused.headers
        except OSError:
            return 0, "", {}

    def probe(self, path):
        """(status, text) of the management port."""
        status, text, _ = self.ask(path, port=self.management_port)
        return status, text

    def metric(self, name):
        """The value of a metric without labels, or None where there was no answer."""
        lines = self.probe("/metrics")[1].splitlines()
        return next((float(x.split()[1]) for x in lines if x.startswith(f"{name} ")), None)

    def ready(self) -> bool:
        """Whether it says that it is ready."""
        return self.ask("/readyz")[0] == 200


@pytest.fixture(scope="session")
def serve(seeded: str, tmp_path_factory):
    """Starts servers on ports of their own; `with serve(GRIDOS_FAULTS=…) as server`."""

    @contextmanager
    def start(*, wait: bool = True, **variables: str) -> Iterator[Server]:
        environment = {
            "PATH": os.environ["PATH"],
            "GRIDOS_DATABASE_URL": seeded,
            "GRIDOS_API_KEYS": KEY,
            "GRIDOS_POD": "pod-1",
            "PORT": str(processes.free_port()),
            "GRIDOS_MANAGEMENT_PORT": str(processes.free_port()),
            **variables,
        }
        server = Server(environment, tmp_path_factory.mktemp("server") / "log")
        try:
            assert not wait or wait_until(server.ready, timeout_s=30), server.log.read_text()
            yield server
        finally:
            server.process.terminate()
            server.process.wait(40)

    return start
