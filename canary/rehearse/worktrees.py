"""Git references → checkouts with an environment of their own, cached by commit and by content.

Each reference gets a worktree and a virtual environment as its image would be built: its own
locked requirements with hashes, its own package on top. Two commits that ship the same service
share an environment. Nothing of the caller's checkout is touched: `.` is the commit that `git
stash create` makes of it, without stashing anything.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from canary.errors import MachineError, UsageError
from canary.runtime import packages, processes

# What decides how an environment comes out: the code, its requirements, its build.
INGREDIENTS = ("service", "requirements/service.txt", "pyproject.toml")
# An environment takes about 100 MB; the ones used longest ago go first.
KEPT = 8
BUILD_TIMEOUT_S = 600.0
WORKTREE = "."
# A commit needs an author; this one is never pushed.
WHO = ("-c", "user.name=rehearse", "-c", "user.email=rehearse@localhost")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Reference:
    """A commit, and what the caller called it."""

    name: str
    commit: str
    title: str


@dataclass(frozen=True)
class Checkout:
    """A reference that can be run: its files, and the programs of its environment."""

    reference: Reference
    folder: Path
    programs: Path


def resolve(repository: Path, name: str) -> Reference:
    """The commit that a branch, tag, commit or `.` (this checkout, changes included) stands for.

    Raises:
        UsageError: if git knows no such thing, or this is no repository.
    """
    if not name or name.startswith("-") or not name.isprintable():
        raise UsageError(f"{name!r} is not a git reference", "name a branch, a tag or a commit")
    if name == WORKTREE:
        changed = _git(repository, *WHO, "stash", "create")
        commit = changed or _git(repository, "rev-parse", "HEAD")
        return Reference(name, commit, "the working tree")
    # A pull request's runner has fetched branches only as those of its origin.
    for known_as in (f"{name}^{{commit}}", f"origin/{name}^{{commit}}"):
        if commit := _ask(repository, "rev-parse", "--verify", "--quiet", known_as):
            title = _git(repository, "log", "-1", "--format=%s", commit)
            return Reference(name[:8] if commit.startswith(name) else name, commit, title)
    _git(repository, "rev-parse", "HEAD")
    raise UsageError(
        f"git knows no branch, tag or commit {name!r}", "fetch it first, or see: git branch --all"
    )


def check_out(repository: Path, reference: Reference, cache: Path, say: Say) -> Checkout:
    """The reference's files and environment, made on first use and found again later.

    Args:
        repository: Any folder of the repository.
        reference: What to check out.
        cache: Where worktrees and environments are kept.
        say: Is told what takes long.

    Raises:
        UsageError: if the commit holds no service that could be installed.
        MachineError: if git or uv fails, with the last lines of what they said.
    """
    cache = cache.resolve()
    cache.mkdir(parents=True, exist_ok=True)
    folder = _worktree(repository, reference, cache / "trees" / reference.commit[:12])
    key = _key(repository, reference)
    with _locked(cache / f"{key}.lock"):
        environment = cache / "environments" / key
        if not (environment / "ready").is_file():
            say(f"building {reference.name} ({reference.commit[:8]}: {reference.title}), once")
            _build(folder, environment, cache / f"{key}.log", say)
        (environment / "ready").touch()
    _forget_old(repository, cache)
    return Checkout(reference, folder, environment / "bin")


def _worktree(repository: Path, reference: Reference, folder: Path) -> Path:
    """A detached worktree at the commit; one whose folder was deleted by hand is made anew."""
    if not (folder / ".git").exists():
        _git(repository, "worktree", "prune")
        _git(repository, "worktree", "add", "--detach", "--force", str(folder), reference.commit)
    folder.touch()
    return folder


def _key(repository: Path, reference: Reference) -> str:
    """Equal for two commits that install the same; the Python that runs them is part of it."""
    parts = [sys.version]
    for path in INGREDIENTS:
        found = _ask(repository, "rev-parse", f"{reference.commit}:{path}")
        if not found:
            raise UsageError(
                f"{reference.name} has no {path}", "name a reference that holds the service"
            )
        parts.append(found)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _build(tree: Path, environment: Path, log: Path, say: Say) -> None:
    """An environment as the image has it; whatever a broken attempt left is removed first."""
    shutil.rmtree(environment, ignore_errors=True)
    wheels = environment / "wheels"
    lock = tree / "requirements/service.txt"
    # Our own uv and setuptools do the work: an image carries no build tools either.
    into = ("pip", "install", "--quiet", "--python", str(environment / "bin/python"))
    build = ("build", "--quiet", "--wheel", "--no-build-isolation", "--python", sys.executable)
    log.unlink(missing_ok=True)
    _run(("venv", "--quiet", "--no-project", "--python", sys.executable, str(environment)), log)
    say(f"installing its {lock.read_text(encoding='utf-8').count('==')} locked packages")
    _run((*into, *packages.LOCKED, "-r", str(lock)), log)
    say("installing its service")
    _run((*build, "--out-dir", str(wheels), str(tree)), log)
    _run((*into, "--no-deps", *map(str, wheels.glob("*.whl"))), log)


def _run(arguments: Sequence[str], log: Path) -> None:
    with log.open("ab") as output:
        try:
            done = processes.run(
                packages.command(*arguments),
                stdout=output,
                stderr=output,
                check=False,
                timeout=BUILD_TIMEOUT_S,
                env=packages.environment(),
            )
        except subprocess.TimeoutExpired:
            raise MachineError(
                f"an environment was not built within {BUILD_TIMEOUT_S:.0f} s", f"see {log}"
            ) from None
    if done.returncode != 0:
        said = " / ".join(log.read_text(errors="replace").strip().splitlines()[-2:])
        raise MachineError(f"an environment could not be built: {said}", f"see {log}")


def _forget_old(repository: Path, cache: Path) -> None:
    """Keeps the newest of each kind; an environment or a worktree is made again when needed."""
    environments = [f.parent for f in (cache / "environments").glob("*/ready")]
    by_use = sorted(environments, key=lambda e: (e / "ready").stat().st_mtime)
    for environment in by_use[:-KEPT]:
        shutil.rmtree(environment, ignore_errors=True)
    trees = sorted((cache / "trees").iterdir(), key=lambda tree: tree.stat().st_mtime)
    for tree in trees[:-KEPT]:
        _ask(repository, "worktree", "remove", "--force", str(tree))


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Two rehearsals that want the same environment build it once."""
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _git(repository: Path, *arguments: str) -> str:
    done = _git_run(repository, arguments)
    if done.returncode != 0:
        said = " ".join(done.stderr.split())
        raise UsageError(f"git failed: {said}", "run it inside the repository")
    return done.stdout.strip()


def _ask(repository: Path, *arguments: str) -> str:
    """What git answers, or nothing where it refuses."""
    done = _git_run(repository, arguments)
    return done.stdout.strip() if done.returncode == 0 else ""


def _git_run(repository: Path, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    command = ["git", "-C", str(repository), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    except FileNotFoundError:
        raise MachineError("git is not installed", "install git") from None
