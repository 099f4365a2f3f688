"""Set-up: a real pip, a real uv and an index on the loopback, with packages of a few lines each."""

import base64
import functools
import hashlib
import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import zipfile
from pathlib import Path

import pytest
import uv


class Index(http.server.ThreadingHTTPServer):
    """Python packages over HTTP; it can hold its answer about one back."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
        self.folder, self.asked = folder, []
        self.held_back, self.reached, self.go_on = "", threading.Event(), threading.Event()

    def publish(self, name: str, version: str, files: dict[str, str] | None = None) -> str:
        """Adds a wheel; the line of a lock that pins it."""
        info = f"{name}-{version}.dist-info"
        inside = files or {f"{name}.py": f"VERSION = {version!r}\n"}
        inside[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        inside[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        records = [f"{path},sha256={_digest(text)},{len(text)}\n" for path, text in inside.items()]
        inside[f"{info}/RECORD"] = "".join([*records, f"{info}/RECORD,,\n"])
        file = self.folder / f"simple/{name}/{name}-{version}-py3-none-any.whl"
        file.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(file, "w") as wheel:
            for path, text in inside.items():
                entry = zipfile.ZipInfo(path)
                entry.external_attr = (0o100755 if "/scripts/" in path else 0o100644) << 16
                wheel.writestr(entry, text)
        return f"{name}=={version} --hash=sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}\n"


def _digest(text):
    read = hashlib.sha256(text.encode()).digest()
    return base64.urlsafe_b64encode(read).decode().rstrip("=")


class Handler(http.server.SimpleHTTPRequestHandler):
    """A package's page is the list of its folder."""

    def do_GET(self):
        name = self.path.strip("/").rpartition("/")[2]
        self.server.asked.append((name, self.headers["User-Agent"].split("/")[0]))
        if name == self.server.held_back:
            self.server.reached.set()
            self.server.go_on.wait(60)
        super().do_GET()

    def log_message(self, *_):
        pass


class Checkout:
    """A folder with the set-up, its locks and its index."""

    def __init__(self, root: Path, folder: Path, index: Index) -> None:
        self.folder, self.index, self.venv = folder, index, folder / ".venv"
        for part in ("ci", "requirements"):
            (folder / part).mkdir(parents=True)
        shutil.copy2(root / "ci/install.py", folder / "ci")
        script = f'#!/bin/sh\nexec "{uv.find_uv_bin()}" "$@"\n'
        self.lock("uv", index.publish("uv", "1", {"uv-1.data/scripts/uv": script}))
        self.alpha = index.publish("alpha", "1.0")
        self.lock("rehearse", self.alpha)
        self.lock("dev", self.alpha, index.publish("beta", "1.0"))
        pip = folder / "pip.conf"
        pip.write_text(f"[global]\nindex-url = http://127.0.0.1:{index.server_port}/simple\n")
        # Nothing of the caller's, whose settings of pip and uv are for other occasions.
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PIP_CONFIG_FILE": str(pip),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "UV_HTTP_RETRIES": "0",
        }

    def lock(self, name: str, *lines: str) -> None:
        (self.folder / f"requirements/{name}.txt").write_text("".join(lines))

    def start(self, wanted: str, python: str = sys.executable, **variables: str):
        return subprocess.Popen(
            [python, "ci/install.py", wanted], cwd=self.folder, text=True,
            env=self.environment | variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def set_up(self, wanted: str, *how: str, **variables: str) -> tuple[int, list[str]]:
        """(exit code, what it said)."""
        with self.start(wanted, *how, **variables) as started:
            output, errors = started.communicate(timeout=60)
        return started.returncode, [*output.splitlines(), *errors.splitlines()]

    def holds(self) -> set[str]:
        (packages,) = self.venv.glob("lib/python*/site-packages")
        return {path.name.removesuffix(".dist-info") for path in packages.glob("*.dist-info")}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """An empty index on the loopback."""
    with Index(tmp_path_factory.mktemp("wheels")) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def made(root, tmp_path_factory, served):
    """A checkout that was never set up."""
    return Checkout(root, tmp_path_factory.mktemp("checkout"), served)


@pytest.fixture
def checkout(made):
    """A checkout that is set up for rehearsals, or for more by another test before."""
    made.lock("rehearse", made.alpha)
    assert made.set_up("rehearse")[0] == 0
    return made


@pytest.fixture
def index(served):
    """The index, which has been asked for nothing yet."""
    served.asked.clear()
    served.reached.clear()
    served.go_on.clear()
    yield served
    served.held_back = ""
    served.go_on.set()


@pytest.fixture
def another_python(tmp_path):
    """Makes a Python beside the one that runs this, of the same version, without some modules."""

    def make(*without: str) -> str:
        version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        binary = tmp_path / "another/bin" / version
        modules = tmp_path / "another/lib" / version
        modules.mkdir(parents=True)
        binary.parent.mkdir()
        shutil.copy2(os.path.realpath(sys.executable), binary)
        for entry in Path(sysconfig.get_path("stdlib")).iterdir():
            if entry.name not in without:
                (modules / entry.name).symlink_to(entry)
        return str(binary)

    return make


def test_what_is_asked_for_is_installed_and_no_more_and_the_index_that_pip_has_is_uvs_too(
    made, served
):
    code, said = made.set_up("rehearse")
    assert (code, said[:-1]) == (0, [
        "setup: fetching uv from its wheel",
        "setup: installing the 1 packages of requirements/rehearse.txt into .venv",
    ])  # fmt: skip
    assert said[-1].startswith("setup: .venv is ready after ")
    assert made.holds() == {"alpha-1.0"}
    assert {("uv", "pip"), ("alpha", "uv")} <= set(served.asked)
    kept = made.venv / "index.json"
    assert json.loads(kept.read_text())["UV_DEFAULT_INDEX"].endswith(
        f":{served.server_port}/simple"
    )
    # An address may hold a password.
    assert kept.stat().st_mode & 0o777 == 0o600


def test_an_unchanged_venv_costs_nothing(checkout, index):
    written = (checkout.venv / "installed").stat().st_mtime_ns
    assert checkout.set_up("rehearse") == (0, [])
    assert index.asked == []
    assert (checkout.venv / "installed").stat().st_mtime_ns == written


def test_a_lock_that_changed_brings_the_venv_up_to_date_without_beginning_anew(checkout, index):
    checkout.lock("rehearse", checkout.alpha, index.publish("gone", "1.0"))
    assert checkout.set_up("rehearse")[0] == 0
    assert checkout.holds() == {"alpha-1.0", "gone-1.0"}
    checkout.lock("rehearse", index.publish("alpha", "2.0"))
    assert checkout.set_up("rehearse")[0] == 0
    assert checkout.holds() == {"alpha-2.0"}
    assert "uv" not in dict(index.asked)


# pip fetches the one, uv the other.
@pytest.mark.parametrize("package", ["uv", "alpha"])
def test_one_that_is_killed_leaves_nothing_that_the_next_trips_over(checkout, index, package):
    (checkout.venv / "installed").unlink()
    shutil.rmtree(checkout.folder / "cache")
    index.held_back = package
    with checkout.start("rehearse") as killed:
        assert index.reached.wait(60)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert not (checkout.venv / "installed").exists()
        with checkout.start("rehearse") as following:
            # What the killed one started is still at work in .venv, and is not disturbed.
            assert following.stderr.readline() == (
                "setup: another one is at work on .venv, waiting for it\n"
            )
            index.go_on.set()
            assert "setup: .venv is ready after " in following.communicate(timeout=60)[1]
    assert following.returncode == 0
    assert checkout.holds() == {"alpha-1.0"}


def test_one_that_is_interrupted_says_so_and_counts_as_unfinished(checkout, index):
    checkout.lock("rehearse", index.publish("alpha", "3.0"))
    index.held_back = "alpha"
    with checkout.start("rehearse") as interrupted:
        assert index.reached.wait(60)
        # Not to uv, as a terminal would too: set-up waits for what it started.
        interrupted.send_signal(signal.SIGINT)
        index.go_on.set()
        said = interrupted.communicate(timeout=60)[1]
    assert interrupted.returncode == 130
    assert said.splitlines()[-1].startswith("setup: interrupted; the next run begins anew")
    assert not (checkout.venv / "installed").exists()


def test_a_package_of_another_hash_is_refused_and_the_next_run_begins_anew(checkout, index):
    index.publish("forged", "1.0")
    checkout.lock("rehearse", f"forged==1.0 --hash=sha256:{'0' * 64}\n")
    code, said = checkout.set_up("rehearse")
    assert code == 4
    assert "uv ended with 1, for the reason above" in said[-1]
    assert not (checkout.venv / "installed").exists()
    checkout.lock("rehearse", checkout.alpha)
    code, said = checkout.set_up("rehearse")
    assert (code, said[0]) == (0, "setup: fetching uv from its wheel")
    assert checkout.holds() == {"alpha-1.0"}


def test_another_python_that_is_named_rebuilds_and_without_a_name_the_one_there_will_do(
    checkout, another_python
):
    python = another_python()
    assert checkout.set_up("rehearse", python) == (0, [])
    code, said = checkout.set_up("rehearse", python, PYTHON=python)
    assert (code, said[0]) == (0, "setup: fetching uv from its wheel")
    assert os.path.realpath(checkout.venv / "bin/python") == os.path.realpath(python)
    assert checkout.holds() == {"alpha-1.0"}
    assert checkout.set_up("rehearse", python, PYTHON=python) == (0, [])


def test_a_python_without_pip_and_ensurepip_is_one_line_with_the_remedy(checkout, another_python):
    (checkout.venv / "installed").unlink()
    python = another_python("site-packages", "ensurepip")
    assert checkout.set_up("rehearse", python) == (4, [
        "setup: fetching uv from its wheel",
        "setup: neither pip nor venv is here: sudo apt-get install python3-venv",
    ])  # fmt: skip


def test_a_venv_grows_to_what_the_tests_need_and_never_shrinks(checkout):
    for wanted in ("dev", "rehearse"):
        assert checkout.set_up(wanted)[0] == 0
        assert checkout.holds() == {"alpha-1.0", "beta-1.0"}


def test_the_code_of_the_checkout_runs_from_its_folders_by_the_programs_of_the_venv(checkout):
    (checkout.folder / "canary").mkdir(exist_ok=True)
    (checkout.folder / "loadtest/loadtesting").mkdir(parents=True, exist_ok=True)
    start = (
        "def start(program, module, remedy):\n    __import__(module)\n    print(program, module)\n"
    )
    (checkout.folder / "canary/start.py").write_text(start)
    (checkout.folder / "loadtest/loadtesting/cli.py").write_text("")
    done = subprocess.run(
        [checkout.venv / "bin/loadtest"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "loadtest loadtesting.cli\n"
