"""What pods need beside them is up before they start, and gone afterwards."""

import sys
import urllib.request
from types import SimpleNamespace

import pytest

from canary.errors import MachineError, UsageError
from canary.rehearse import services
from canary.rehearse.config import Service
from canary.runtime import processes

SERVE = [sys.executable, "-m", "http.server", "--bind", "{host}", "{port}"]


@pytest.fixture
def build(tmp_path):
    """A release whose programs are those of this machine."""
    return SimpleNamespace(folder=tmp_path, command=list)


def test_a_command_stands_for_its_url_once_its_check_passes_and_ends_with_the_run(build, tmp_path):
    (tmp_path / "asked").touch()
    check = [
        sys.executable,
        "-c",
        "import urllib.request as u; u.urlopen('http://{host}:{port}/asked')",
    ]
    wanted = {"catalogue": Service(command=SERVE, url="http://{host}:{port}/asked", ready=check)}
    with services.running(wanted, build, tmp_path / "logs") as urls:
        url = urls["catalogue"]
        assert urllib.request.urlopen(url).status == 200
    assert processes.port_is_free(int(url.split(":")[2].split("/")[0]))


def test_a_command_without_a_check_is_ready_once_something_listens(build, tmp_path):
    with services.running({"it": Service(command=SERVE)}, build, tmp_path / "logs") as urls:
        host, port = urls["it"].split(":")
        assert (host, processes.port_is_free(int(port))) == ("127.0.0.1", False)


def test_a_service_that_ends_before_it_is_ready_is_named_with_its_last_words(build, tmp_path):
    dies = Service(command=[sys.executable, "-c", "raise SystemExit('no licence')"])
    with (
        pytest.raises(MachineError, match="service it did not become ready: no licence"),
        services.running({"it": dies}, build, tmp_path / "logs"),
    ):
        pass


def test_a_redis_that_is_not_installed_is_named_with_what_installs_it(build, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with (
        pytest.raises(UsageError, match="redis-server is not installed — apt-get install"),
        services.running({"cache": "redis"}, build, tmp_path / "logs"),
    ):
        pass
