"""The commands in the code blocks of the pages, and what some of them say that they need.

A comment that begins with `needs` marks the command of its line, or, as the first line of a block,
the whole block.
"""

import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from acceptance.calling import quietly

ROOT = Path(__file__).parents[1]
# What commands may need that is not at hand everywhere, and what a block that needs it calls.
NEEDS = {
    "Azure": r"\b(az|terraform|psql) ",
    "GitHub": r"\bgh ",
    "Docker": r"\b(docker|kind) ",
    "a registry": r"\bcosign |ci/test-image|terraform -chdir=\S+ providers lock",
    "a cluster": r"\bkubectl |TARGET=cluster",
}
TIMEOUT_S = 900
_BLOCK = re.compile(r"^( *)```sh\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
_COMMENT = re.compile(r"(?:^|\s+)# *(.*)")
_NEEDS = re.compile(r"needs\b", re.IGNORECASE)


def blocks(page: str) -> Iterator[str]:
    """The code blocks of a page that are for a shell."""
    for _, block in _BLOCK.findall((ROOT / page).read_text(encoding="utf-8")):
        yield block


def marked(block: str) -> Iterator[tuple[str, str]]:
    """(command, what it says that it needs) of a block, in order."""
    above = ""
    for number, line in enumerate(block.replace("\\\n", " ").splitlines()):
        comment = _COMMENT.search(line)
        mark = comment[1] if comment and _NEEDS.match(comment[1]) else ""
        command = _COMMENT.sub("", line).strip()
        if number == 0 and not command:
            above = mark
        if command:
            yield command, mark or above


def commands(page: str, need: str = "") -> list[str]:
    """The commands of a page that need something, or else those that need nothing of the kind."""
    found = [pair for block in blocks(page) for pair in marked(block)]
    return [command for command, mark in found if (need in mark if need else not mark)]


def entered(line: str, folder: Path) -> Path:
    """The folder in which a person is after a command."""
    return folder / line.removeprefix("cd ") if line.startswith("cd ") else folder


def typed(
    line: str, folder: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Runs a command as a person who is in a folder types it."""
    return quietly("bash", "-c", line, cwd=folder, env=environment, timeout=TIMEOUT_S)
