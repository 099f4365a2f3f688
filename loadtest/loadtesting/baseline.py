"""A run kept for each branch and profile, to compare later ones with."""

import os
import shutil
import subprocess
from pathlib import Path

from canary.errors import UsageError
from loadtesting.result import Document, read, slug

# What a branch that has none of its own is compared with.
TRUNK = "main"


def branch() -> str:
    """The branch that is built: what GitHub says in a workflow, else what git says here."""
    named = os.environ.get("GITHUB_HEAD_REF") or os.environ.get("GITHUB_REF_NAME")
    if named:
        return named
    asked = subprocess.run(
        ["git", "branch", "--show-current"], capture_output=True, text=True, check=False, timeout=10
    )
    return asked.stdout.strip() or "detached"


def path(folder: Path, profile: str, of_branch: str) -> Path:
    """Where a branch's baseline of a profile is kept."""
    return folder / slug(of_branch) / f"{slug(profile)}.json"


def keep(result: Path, folder: Path, profile: str) -> Path:
    """Makes a run the baseline of this branch; returns where it is kept."""
    kept = path(folder, profile, branch())
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(result, kept)
    return kept


def find(folder: Path, profile: str) -> tuple[Document, Path]:
    """The baseline of this branch, else of the trunk.

    Raises:
        UsageError: if neither has one.
    """
    candidates = [path(folder, profile, name) for name in (branch(), TRUNK)]
    for candidate in candidates:
        if candidate.is_file():
            return read(candidate), candidate
    raise UsageError(
        f"no baseline of {profile} in {folder} for {branch()} or {TRUNK}",
        "keep one: loadtest run --keep-baseline",
    )
