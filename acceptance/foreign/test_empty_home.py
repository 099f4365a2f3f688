"""From an empty home: the wheel alone, by each installer of its page, at another team's service.

The commands are run in a folder that is neither a checkout of ours nor the team's repository.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import uv

from acceptance.calling import quietly
from acceptance.documents import commands, entered, typed
from acceptance.foreign.test_foreign import TEAMS, branched
from acceptance.git import git
from acceptance.rehearsed import result
from canary.errors import MachineError
from canary.runtime import packages, processes

ROOT = Path(__file__).parents[2]
ORDERS = TEAMS[0]
# Of the caller's variables those that say where packages come from, and no one's settings.
KEPT = ("PIP_", "UV_", "GOPROXY", "GOFLAGS", "GOSUMDB", "SSL_CERT", "LANG")

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of canary-rehearsal, of what is in this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    without = shutil.ignore_patterns("tests", "__pycache__", "build", "*.egg-info")
    shutil.copytree(ROOT / "canary", folder / "canary", ignore=without)
    built = [uv.find_uv_bin(), "build", "--wheel", "--no-build-isolation", "--offline", "--quiet"]
    built += ["--python", sys.executable, "--out-dir", str(folder), str(folder / "canary")]
    processes.run(built, check=True, timeout=120)
    return next(folder.glob("*.whl"))


def at_home(home: Path) -> dict[str, str]:
    """What a person's environment holds, with an empty home and none of our programs."""
    home.mkdir()
    own = str(Path(sys.executable).parent)
    path = [p for p in os.environ["PATH"].split(":") if p != own and ".pyenv" not in p]
    path = [f"{home}/.local/bin", f"{home}/tools/bin", *path]
    given = {n: v for n, v in packages.environment().items() if n.startswith(KEPT)}
    return given | {"HOME": str(home), "PATH": ":".join(path)}


@pytest.fixture(params=["pip", "pipx", "uv"])
def run(request: pytest.FixtureRequest, wheel: Path, tmp_path: Path) -> Run:
    """Runs the installed program in an empty folder, with a home that holds its installation."""
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    elsewhere.mkdir()
    given = at_home(home)

    call = partial(quietly, cwd=elsewhere, env=given)

    def need(*command: str | Path) -> None:
        done = call(*command)
        assert done.returncode == 0, done.stdout + done.stderr

    python = home / "tools/bin/python"
    program = home / ".local/bin/canary"
    need(sys.executable, "-m", "venv", home / "tools")
    match request.param:
        case "pip":
            need(python, "-m", "pip", "install", "--quiet", wheel)
            program = home / "tools/bin/canary"
        case "pipx":
            need(python, "-m", "pip", "install", "--quiet", "pipx")
            need(python, "-m", "pipx", "install", "--quiet", "--python", sys.executable, wheel)
        case "uv":
            need(python, "-m", "pip", "install", "--quiet", "uv")
            need(python, "-m", "uv", "tool", "install", "--python", sys.executable, wheel)
    return lambda *arguments: call(program, *arguments)


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    """The team's repository without a rehearsal.yaml, and a branch with a faulty commit."""
    if shutil.which("go") is None:
        raise MachineError("go is not installed", "install it for orders")
    return branched(ORDERS, tmp_path / ORDERS.name, "rehearsal.yaml")


def test_gates_are_linted_and_measured_and_a_first_configuration_written_from_an_empty_home(
    run: Run, orders: Path
) -> None:
    manifests = str(orders / "manifests.yaml")
    codes = {}
    for command, *more in (
        ("lint", "--manifests", manifests),
        ("power", "--manifests", manifests, "--releases", "200"),
        ("design", "--manifests", manifests, "--detect", "errors=20%"),
        ("rehearse", "--explain", "--manifests", manifests),
        ("init", "--repository", str(orders)),
    ):
        done = run(command, *more)
        assert "Traceback" not in done.stderr, done.stderr
        codes[command] = done.returncode, done.stderr[-300:] if done.returncode > 1 else ""
    # What lint finds of the gate, and whether a design is needed, is their verdict.
    assert {name: code for name, code in codes.items() if code[0] > 1} == {}
    assert codes["init"][0] == codes["rehearse"][0] == codes["power"][0] == 0
    assert (orders / "rehearsal.yaml").is_file()


@pytest.mark.parametrize("run", ["pip"], indirect=True)
def test_a_commit_of_another_team_is_judged_from_an_empty_home_and_another_folder(
    run: Run, orders: Path, tmp_path: Path, measured: Callable[..., None]
) -> None:
    assert run("init", "--repository", str(orders)).returncode == 0
    done = run("rehearse", "--config", str(orders / "rehearsal.yaml"), "--candidate", "faulty")
    assert done.returncode == 1, done.stdout + done.stderr
    verdict = result(tmp_path / "elsewhere/out/rehearsals/latest")["verdict"]
    measured("orders, from an empty home", verdict["headline"])
    assert verdict["gate"]["name"] == ORDERS.gate
    assert git(orders, "status", "--short").split() == ["??", "locustfile.py", "??", "rehearsal.yaml"]  # fmt: skip


def test_the_commands_of_the_pages_lead_from_an_empty_home_to_a_verdict_on_a_commit(
    wheel: Path, orders: Path, tmp_path: Path, measured: Callable[..., None]
) -> None:
    (orders / "deploy").mkdir()
    git(orders, "mv", "manifests.yaml", "deploy")
    git(orders, "commit", "--quiet", "-m", "Move the manifests")
    given = at_home(tmp_path / "home")
    tools = f"'{sys.executable}' -m venv ~/tools && ~/tools/bin/pip install --quiet uv pipx"
    assert typed(tools, tmp_path, given).returncode == 0
    folder = tmp_path
    for place in (tmp_path, orders):
        shutil.copy(wheel, place)
    for page in ("docs/your-service.md", "docs/reference/in-ci.md"):
        for line in commands(page):
            done = typed(line, folder, given)
            measured(f"{page}: {line}", f"exit {done.returncode}")
            # The commit is faulty, and the gate asks for no minimum of requests.
            wanted = 1 if re.search(r"--candidate|canary lint", line) else 0
            said = done.stdout + done.stderr
            assert (done.returncode, "Traceback" in said) == (wanted, False), said
            folder = entered(line, folder)
            if line == "canary init":
                commit_and_branch(orders)


def commit_and_branch(orders: Path) -> None:
    """What the page says in words: the files of `canary init`, and then a branch."""
    git(orders, "add", "rehearsal.yaml", "locustfile.py")
    git(orders, "commit", "--quiet", "-m", "Rehearse")
    git(orders, "checkout", "--quiet", "-b", "my-branch")
    git(orders, "cherry-pick", "faulty")
    git(orders, "checkout", "--quiet", "main")
