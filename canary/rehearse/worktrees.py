"""Git references → worktrees outside of their repository, built once and found again later.

The repository is only read: the worktrees belong to a bare one in the cache that borrows its
objects, and `.` is the commit that `git stash create` makes of the checkout, with its objects in
the cache too.
"""

import fcntl
import hashlib
import os
import posixpath
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from canary.errors import MachineError, UsageError
from canary.rehearse.config import Build
from canary.runtime import packages, processes, scratch

# A virtual environment takes about 100 MB; what was used longest ago goes first.
KEPT = 8
BUILD_TIMEOUT_S = 600.0
WORKTREE = "."
# A commit needs an author; this one is never pushed.
WHO = ("-c", "user.name=rehearse", "-c", "user.email=rehearse@localhost")
NO_HOOKS = ("-c", "core.hooksPath=/dev/null")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
NOTHING_MORE: Mapping[str, str] = {}
# What git names beside a change, the function or class before it; or what the changed line begins.
_FUNCTION = re.compile(
    r"(?:@@.*@@ |[+-]\s*)(?:export )?(?:async )?"
    r"(?:def|class|func|func \([^)]*\)|function) (\w+)"
)

Say = Callable[[str], None]


@dataclass(frozen=True)
class Reference:
    """A commit, and what the caller called it."""

    name: str
    commit: str
    title: str

    def __str__(self) -> str:
        """As a person would name it."""
        return f"{self.name} ({self.commit[:8]}: {self.title})"


def root(folder: Path) -> Path | None:
    """The top of the repository that a folder is in, if it is in one."""
    found = _ask(folder, "rev-parse", "--show-toplevel")
    return Path(found) if found else None


class Repository:
    """A repository whose references are checked out and built in a cache.

    Args:
        folder: Any folder of the repository.
        cache: Where worktrees and builds are kept.
    """

    def __init__(self, folder: Path, cache: Path) -> None:
        self._folder, self._cache = folder, cache.absolute()

    def resolve(self, name: str) -> Reference:
        """The commit that a branch, tag, commit or `.` (the checkout and its changes) stands for.

        Raises:
            UsageError: if git knows no such thing, or this is no repository.
        """
        if not name or name.startswith("-") or not name.isprintable():
            raise UsageError(f"{name!r} is not a git reference", "name a branch, a tag or a commit")
        if name == WORKTREE:
            return Reference(name, self._changed(), "the working tree")
        # A pull request's runner has fetched branches only as those of its origin.
        for known_as in (f"{name}^{{commit}}", f"origin/{name}^{{commit}}"):
            if commit := _ask(self._folder, "rev-parse", "--verify", "--quiet", known_as):
                title = _git(self._folder, "log", "-1", "--format=%s", commit)
                return Reference(name[:8] if commit.startswith(name) else name, commit, title)
        _git(self._folder, "rev-parse", "HEAD")
        raise UsageError(
            f"git knows no branch, tag or commit {name!r}",
            "fetch it first, or see: git branch --all",
        )

    def check_out(self, reference: Reference) -> Path:
        """The reference's files; a worktree that was deleted by hand is made anew.

        Raises:
            UsageError: if git fails, with what it said.
        """
        tree = self._home(reference) / "tree"
        with self._locked("worktrees"):
            if not (tree / ".git").exists():
                git = (f"--git-dir={self._git}", *NO_HOOKS, "worktree")
                _git(self._cache, *git, "prune")
                _git(self._cache, *git, "add", "--detach", "--force", str(tree), reference.commit)
            tree.parent.touch()
        return tree

    def build(self, reference: Reference, within: str, build: Build, say: Say) -> Path:
        """The folder of what a reference's commands have built, made on first use.

        Args:
            reference: What was checked out.
            within: The folder of the repository where the commands run.
            build: The commands.
            say: Is told what takes long.

        Raises:
            UsageError: if the commit has none of the inputs.
            MachineError: if a command fails, with the last lines of what it said.
        """
        key = self._key(reference, within, build)
        base = self._cache / "builds" if build.inputs else self._home(reference)
        out = base / key
        with self._locked(key):
            if not (out / "ready").is_file():
                say(f"building {reference}, once")
                # Whatever a broken attempt left is removed first.
                shutil.rmtree(out, ignore_errors=True)
                out.mkdir(parents=True)
                log = self._cache / f"{key}.log"
                log.unlink(missing_ok=True)
                folder = self._home(reference) / "tree" / within
                for command in build.commands:
                    words = [
                        word.replace("{out}", str(out)).replace("{python}", sys.executable)
                        for word in command
                    ]
                    say(" ".join(command))
                    _run(words, folder, log)
            (out / "ready").touch()
        self._forget_old()
        return out

    @cached_property
    def _objects(self) -> str:
        """Where the repository keeps its objects."""
        common = _git(self._folder, "rev-parse", "--path-format=absolute", "--git-common-dir")
        return f"{common}/objects"

    @cached_property
    def _git(self) -> Path:
        """The bare repository in the cache."""
        folder = self._cache / "git"
        scratch.make_ignored(self._cache)
        _git(self._cache, "init", "--bare", "--quiet", str(folder))
        (folder / "objects/info/alternates").write_text(f"{self._objects}\n", encoding="utf-8")
        return folder

    def _changed(self) -> str:
        """The commit of the checkout with its changes: HEAD where there are none."""
        head = _git(self._folder, "rev-parse", "HEAD")
        index = _git(self._folder, "rev-parse", "--path-format=absolute", "--git-path", "index")
        copy = self._git / f"index-{os.getpid()}"
        try:
            # With its time, by which git knows the files that changed within the same second.
            shutil.copy2(index, copy)
            places = {
                "GIT_INDEX_FILE": str(copy),
                "GIT_OBJECT_DIRECTORY": str(self._git / "objects"),
                "GIT_ALTERNATE_OBJECT_DIRECTORIES": self._objects,
            }
            return _git(self._folder, *WHO, "stash", "create", more=places) or head
        finally:
            copy.unlink(missing_ok=True)

    def _home(self, reference: Reference) -> Path:
        return self._cache / "commits" / reference.commit[:12]

    def _key(self, reference: Reference, within: str, build: Build) -> str:
        """Equal for two commits that build the same; the Python that runs this is part of it."""
        parts = [sys.version, within, repr(build.commands)]
        for path in build.inputs:
            place = posixpath.normpath(posixpath.join(within, path))
            git = f"--git-dir={self._git}"
            found = _ask(self._cache, git, "rev-parse", f"{reference.commit}:{place}")
            if not found:
                raise UsageError(
                    f"{reference.name} has no {place}", "name a reference with the service"
                )
            parts.append(found)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]

    def _forget_old(self) -> None:
        """Keeps the newest of each kind; a build or a worktree is made again when needed."""
        builds = [ready.parent for ready in (self._cache / "builds").glob("*/ready")]
        builds.sort(key=lambda build: (build / "ready").stat().st_mtime)
        commits = sorted((self._cache / "commits").iterdir(), key=lambda it: it.stat().st_mtime)
        for old in (*builds[:-KEPT], *commits[:-KEPT]):
            shutil.rmtree(old, ignore_errors=True)

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        """Two rehearsals that want the same build it once."""
        scratch.make_ignored(self._cache)
        with (self._cache / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def changed(repository: Path, before: str, after: str) -> list[str]:
    """The files that differ between two commits, each with the functions that git finds there."""
    if not (before and after) or before == after:
        return []
    diff = _ask(repository, "diff", "--unified=0", "--no-color", "--no-ext-diff", before, after)
    found: dict[str, dict[str, None]] = {}
    file, header = "", ""
    for line in diff.splitlines():
        if line.startswith(("+++ b/", "--- a/")):
            file = line[6:]
            found.setdefault(file, {})
        elif line.startswith("@@ "):
            header = line
        elif header:
            if function := _FUNCTION.match(line) or _FUNCTION.match(header):
                found[file][function[1]] = None
            header = ""
    return [f"{name} ({', '.join(of)})" if of else name for name, of in found.items()]


def _run(command: Sequence[str], folder: Path, log: Path) -> None:
    environment = packages.environment()
    own = str(Path(sys.executable).parent)
    # Our own uv, where there is no other.
    environment["PATH"] = os.pathsep.join([environment.get("PATH", os.defpath), own])
    words = " ".join(command)
    with log.open("ab") as output:
        try:
            done = processes.run(
                command,
                stdout=output,
                stderr=output,
                check=False,
                timeout=BUILD_TIMEOUT_S,
                env=environment,
                cwd=folder,
            )
        except subprocess.TimeoutExpired:
            raise MachineError(
                f"`{words}` did not end within {BUILD_TIMEOUT_S:.0f} s", f"see {log}"
            ) from None
        except OSError as failed:
            raise UsageError(
                f"`{words}` cannot be run: {failed.strerror}", "correct `build`, or install it"
            ) from None
    if done.returncode != 0:
        lines = _COLOURS.sub("", log.read_text(errors="replace")).strip().splitlines()
        # Some end with advice, so that their last lines say nothing.
        wrong = [line for line in lines if re.search(r"\berror\b", line, re.IGNORECASE)]
        said = " / ".join(wrong[:2] or lines[-2:])
        raise MachineError(f"`{words}` failed: {said}", f"see {log}")


def _git(repository: Path, *arguments: str, more: Mapping[str, str] = NOTHING_MORE) -> str:
    done = _git_run(repository, arguments, more)
    if done.returncode != 0:
        said = " ".join(done.stderr.split())
        raise UsageError(f"git failed: {said}", "run it inside the repository")
    return done.stdout.strip()


def _ask(repository: Path, *arguments: str) -> str:
    """What git answers, or nothing where it refuses."""
    done = _git_run(repository, arguments, NOTHING_MORE)
    return done.stdout.strip() if done.returncode == 0 else ""


def _git_run(
    repository: Path, arguments: Sequence[str], more: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    command = ["git", "-C", str(repository), *arguments]
    # Within a hook or a rebase these would name the repository instead of its folder.
    inherited = {name: value for name, value in os.environ.items() if name not in _GIT_PLACES}
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env={**inherited, **more},
        )
    except FileNotFoundError:
        raise MachineError("git is not installed", "install git") from None


_GIT_PLACES = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"}
