"""The files of a git revision, in a folder for as long as they are read."""

import os
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from canary.errors import UsageError
from canary.runtime import processes

TIMEOUT_S = 60.0


@contextmanager
def files(revision: str, paths: Sequence[str]) -> Iterator[tuple[Path, list[str]]]:
    """The folder that stands for the current one, and those of the paths that it has.

    Raises:
        UsageError: if there is no such revision, or a path is outside of the repository.
    """
    commit = _git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").strip()
    if not commit:
        remedy = "write one with canary lint -o json > FILE, or name a commit"
        raise UsageError(f"{revision} is neither a file of findings nor a commit here", remedy)
    prefix = _git("rev-parse", "--show-prefix").strip()
    with tempfile.TemporaryDirectory(prefix="canary-") as scratch:
        archive = Path(scratch, "files.zip")
        top = Path(_git("rev-parse", "--show-toplevel").strip())
        _git("-C", str(top), "archive", "--format=zip", f"--output={archive}", commit)
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(scratch)
        archive.unlink()
        here = Path(scratch, prefix)
        relative = [os.path.relpath(path) for path in paths]
        if "-" in paths or any(path.startswith("..") for path in relative):
            raise UsageError(
                "a git baseline compares only files in this folder", "name paths below it"
            )
        yield here, [str(here / path) for path in relative if (here / path).exists()]


def _git(*arguments: str) -> str:
    try:
        done = processes.run(["git", *arguments], capture_output=True, text=True, timeout=TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as failed:
        raise UsageError(f"git cannot be run: {failed}", "install it, or give a file") from None
    return str(done.stdout) if done.returncode == 0 else ""
