"""Ends what a program leaves behind when it dies, even by `kill -9`: a process of its own.

The program holds the other end of this one's standard input, and writes what it starts and makes
there: `child PID SIGNAL` and `folder PATH`, a line each. When the program is gone the kernel closes
that end. Then every child still there is sent its signal, with all of its process group; whatever
descends from them and lives on is killed; and the folders are removed.

Linux's PR_SET_PDEATHSIG would not do: grandchildren do not inherit it, it is tied to the thread
that started the child, and macOS has none.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Container, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

# What a child may take to end by itself, as PostgreSQL does.
GRACE_S = 1.0
POLL_EVERY_S = 0.02
# A child says that it is there when it starts, so a later process only has its number.
REPORTED_WITHIN_S = 5.0


def main() -> None:
    """Reads until the program is gone, then clears up after it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    children: dict[int, tuple[signal.Signals, float]] = {}
    folders: list[str] = []
    for line in sys.stdin:
        kind, _, rest = line.rstrip("\n").partition(" ")
        if kind == "folder":
            folders.append(rest)
        else:
            pid, killed_by = map(int, rest.split())
            children[pid] = signal.Signals(killed_by), time.time()
    _end({pid: child for pid, child in children.items() if _signal(pid, 0)})
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _end(children: dict[int, tuple[signal.Signals, float]]) -> None:
    if not children:
        return
    # Imported here: when a program ends in order, it has left nothing and this is never reached.
    import psutil  # noqa: PLC0415

    for pid, (_, reported_at) in list(children.items()):
        with contextlib.suppress(psutil.Error):
            if psutil.Process(pid).create_time() > reported_at + REPORTED_WITHIN_S:
                del children[pid]
    table = {process.pid: process for process in psutil.process_iter(["ppid"])}
    parents = {pid: process.info["ppid"] for pid, process in table.items()}
    family = [process for pid, process in table.items() if _belongs(pid, parents, children)]
    # A child's own guardian has work to do now, and ends by itself.
    family = [process for process in family if not _guards(process)]
    for pid, (number, _) in children.items():
        _signal(pid, number)
    deadline = time.monotonic() + GRACE_S
    while any(map(_lives, family)) and time.monotonic() < deadline:
        time.sleep(POLL_EVERY_S)
    for process in filter(_lives, family):
        with contextlib.suppress(psutil.Error):
            process.kill()


def _belongs(pid: int, parents: Mapping[int, int], children: Container[int]) -> bool:
    """Whether a process is of a child's group, or descends from a child."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.getpgid(pid) in children:
            return True
    while pid > 1:
        if pid in children:
            return True
        pid = parents.get(pid, 0)
    return False


def _guards(process: psutil.Process) -> bool:
    import psutil  # noqa: PLC0415

    with contextlib.suppress(psutil.Error):
        return any(Path(word).name == Path(__file__).name for word in process.cmdline())
    return False


def _lives(process: psutil.Process) -> bool:
    """Whether it still runs: a dead one that nobody asked about is a zombie, which is no more."""
    import psutil  # noqa: PLC0415

    with contextlib.suppress(psutil.Error):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def _signal(group: int, number: int) -> bool:
    """Sends a process group a signal; whether there was one that could be sent it."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    main()
