"""The commands of the front page and the tutorial, typed line by line into a fresh clone."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from acceptance.git import git
from canary.runtime import processes

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 900
_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)


def lines(page):
    """The commands of a page in order, but for those that are CI's own jobs."""
    for block in _BLOCK.findall((ROOT / page).read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            if line.strip() and not re.match(r"make (test|lint)\b", line):
                yield line


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone as a newcomer has it, with what the front page takes for granted: names of theirs."""
    folder = tmp_path_factory.mktemp("newcomer") / "gridos"
    git(ROOT, "clone", "--quiet", str(ROOT), str(folder))
    git(folder, "switch", "--quiet", "-C", "main")
    git(folder, "branch", "my-branch")
    shutil.copytree(ROOT / "canary/tests/rehearse/shop", folder / "my")
    return folder


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """That of a person with a virtual environment and uv."""
    venv = tmp_path_factory.mktemp("venv") / "venv"
    processes.run([sys.executable, "-m", "venv", str(venv)], check=True)
    path = os.pathsep.join([str(venv / "bin"), os.environ["PATH"], str(ROOT / ".venv/bin")])
    return {**os.environ, "PATH": path}


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md"])
def test_every_command_of_a_page_does_what_it_says(page, clone, environment, measured):
    for line in lines(page):
        done = processes.run(
            ["bash", "-c", line], cwd=clone, env=environment, capture_output=True, text=True,
            timeout=TIMEOUT_S,
        )  # fmt: skip
        measured(f"{page}: {line}", f"exit {done.returncode}")
        said = done.stdout + done.stderr
        assert "Traceback" not in said, said
        # make turns every exit code but 0 into 2, and a faulty release must not be promoted.
        assert done.returncode == (2 if "FAULT=" in line else 0), said
    assert subprocess.run(["git", "-C", clone, "diff", "--quiet"], check=False).returncode == 0
