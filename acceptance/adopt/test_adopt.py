"""A clone that was adopted is whole: its release is promoted, its tests and its static checks pass."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from acceptance.git import git
from canary.runtime import processes

NAME = "parcels"
# What may still say where it came from.
SOURCES = {"CHANGELOG.md", "docs/measurements.md"}
LEFT = re.compile(r"(?i)gridos|feeder|ieee33|power.?grid|@example/grid")


def make(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Make as a person calls it, whatever called this test."""
    inherited = {n: v for n, v in os.environ.items() if not n.startswith(("MAKE", "MFLAGS"))}
    return processes.run(
        ["make", *words], cwd=folder, env=inherited, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def clone(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adopted clone of what is committed here."""
    folder = tmp_path_factory.mktemp("adopt") / NAME
    git(root, "clone", "--quiet", str(root), str(folder))
    done = make(folder, "adopt", f"NAME={NAME}")
    assert done.returncode == 0, said(done)
    git(folder, "commit", "--quiet", "--message", "Adopt it")
    return folder


def said(done: subprocess.CompletedProcess[str]) -> str:
    """The end of what a program said."""
    return (done.stdout + done.stderr)[-6000:]


def test_nothing_of_the_grid_is_left(clone: Path) -> None:
    found = [
        f"{path}: {word}"
        for path in git(clone, "ls-files").splitlines()
        if path not in SOURCES and not (clone / path).is_symlink()
        for word in LEFT.findall(path + (clone / path).read_bytes().decode(errors="ignore"))
    ]
    assert found == []


def test_a_second_time_is_refused_by_one_line(clone: Path) -> None:
    done = make(clone, "adopt", f"NAME={NAME}")
    assert done.returncode == 2
    first, *_ = done.stderr.splitlines()
    assert first.startswith(f"adopt: this clone is {NAME.capitalize()} already")


def test_its_static_checks_pass(clone: Path) -> None:
    done = make(clone, "lint")
    assert done.returncode == 0, said(done)


def test_its_quick_tests_pass(clone: Path) -> None:
    done = make(clone, "test")
    assert done.returncode == 0, said(done)


def test_a_healthy_release_of_it_is_promoted(clone: Path) -> None:
    done = make(clone, "rehearse")
    assert done.returncode == 0, said(done)
    assert "Promoted" in done.stdout


def test_a_faulty_release_of_it_is_rolled_back(clone: Path) -> None:
    done = make(clone, "rehearse", "FAULT=errors=5%")
    assert "Rolled back" in done.stdout, said(done)
