"""A clone that was adopted is whole: its release is promoted, its tests and its static checks pass.

The commands are those of docs/make-it-yours.md.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest

from acceptance import documents
from acceptance.calling import quietly
from acceptance.git import git

PAGE = documents.commands("docs/make-it-yours.md")
# The clone, and what is done with it.
BEGIN, THEN = PAGE[:4], PAGE[4:]
(NAME,) = re.findall(r"make adopt NAME=(\w+)", "\n".join(BEGIN))
# An area of its acceptance tests.
TIMEOUT_S = 7200
# What may still say where it came from.
SOURCES = {"CHANGELOG.md", "docs/measurements.md"}
LEFT = re.compile(r"(?i)gridos|feeder|ieee33|power.?grid|@example/grid")


def typed(command: str, folder: Path, **given: str) -> subprocess.CompletedProcess[str]:
    """A command as a person calls it, whatever called this test."""
    inherited = {n: v for n, v in os.environ.items() if not n.startswith(("MAKE", "MFLAGS"))}
    return quietly("bash", "-ec", command, cwd=folder, env=inherited | given, timeout=TIMEOUT_S)


@pytest.fixture(scope="module")
def clone(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adopted clone of what is committed here."""
    folder = tmp_path_factory.mktemp("adopt")
    who = {f"GIT_{who}_{what}": "ada@example.com" for who in ("AUTHOR", "COMMITTER")
           for what in ("NAME", "EMAIL")}  # fmt: skip
    done = typed("\n".join(BEGIN), folder, REPOSITORY=str(root), **who)
    assert done.returncode == 0, said(done)
    return folder / NAME


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
    done = typed(f"make adopt NAME={NAME}", clone)
    assert done.returncode == 2
    first, *_ = done.stderr.splitlines()
    assert first.startswith(f"adopt: this clone is {NAME.capitalize()} already")


@pytest.mark.parametrize("command", THEN)
def test_its_tests_and_checks_pass_and_its_releases_end_as_the_page_says(
    clone: Path, command: str
) -> None:
    done = typed(command, clone)
    assert done.returncode == (2 if "FAULT=" in command else 0), said(done)
    if "rehearse" in command:
        assert ("Rolled back" if "FAULT=" in command else "Promoted") in done.stdout
