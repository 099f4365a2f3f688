"""A program's private folders outside of its run's: sockets and secrets, for as long as it lives.

A folder is locked by whoever made it. One whose lock is free was left by a program that was killed
together with its guardian, or by a power cut; whoever makes the next removes it.
"""

import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from canary.errors import MachineError
from canary.runtime import processes

PREFIX = "canary-run-"
# Below it a Unix socket's path must stay below 104 bytes (macOS; Linux: 108).
MAX_BYTES = 60
_USUAL = ("/tmp", "/var/tmp")  # noqa: S108 — only ever a folder of a random name below it


@contextmanager
def folder(name: str, *, open_to_all: bool = False) -> Iterator[Path]:
    """A new folder with a short path; gone afterwards.

    Args:
        name: What it is for, a part of its own name.
        open_to_all: Whether other users may pass through to what is theirs below it.

    Raises:
        MachineError: if none can be made.
    """
    base = _base(open_to_all=open_to_all)
    _sweep(base)
    try:
        # Under another name until it is locked, or someone else would sweep it away.
        fresh = Path(tempfile.mkdtemp(prefix=f".{PREFIX}{name}-", dir=base))
        lock = _lock(fresh)
        path = fresh.rename(fresh.with_name(fresh.name.removeprefix(".")))
        path.chmod(0o711 if open_to_all else 0o700)
    except OSError as failed:
        raise MachineError(
            f"no folder can be made in {base}: {failed.strerror}", "set TMPDIR to one that is yours"
        ) from None
    processes.remove_at_end(path)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def make_ignored(path: Path) -> None:
    """Makes a folder that git takes for no change of the repository that it lies in."""
    if not path.is_dir():
        path.mkdir(parents=True, exist_ok=True)
        (path / ".gitignore").write_text("*\n", encoding="utf-8")


def _base(*, open_to_all: bool) -> Path:
    """TMPDIR, unless its path is too long or others could not pass through it."""
    try:
        chosen = tempfile.gettempdir()
    except OSError as failed:
        raise MachineError(str(failed.strerror), "set TMPDIR to a folder that is yours") from None
    for text in (chosen, *_USUAL):
        path = Path(text).resolve()
        parts = [part for part in (path, *path.parents) if part.is_dir()]
        passable = not open_to_all or all(part.stat().st_mode & 0o001 for part in parts)
        if len(os.fsencode(path)) <= MAX_BYTES and passable:
            return path
    raise MachineError(f"{chosen} is too long a path, or closed to others", "set TMPDIR to another")


def _sweep(base: Path) -> None:
    """Removes what killed programs of this user left, and says so."""
    for left in base.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if left.is_symlink() or left.stat().st_uid != os.geteuid():
                continue
            lock = _lock(left)
            if lock is None:
                continue
            shutil.rmtree(left, ignore_errors=True)
            os.close(lock)
            print(f"removed {left}, left by a run that was killed", file=sys.stderr)  # noqa: T201


def _lock(path: Path) -> int | None:
    """A lock on a folder until it is closed or this program ends; None if another holds it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
