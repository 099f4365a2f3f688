"""Child processes that never outlive the rehearsal.

Each runs in a session of its own, so that a terminal's Ctrl-C reaches only the rehearsal, which
then ends its children in order; on Linux the kernel also ends them if the rehearsal is killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from rehearsal.errors import MachineError

PORTS = range(20_000, 32_000)
_handed_out: set[int] = set()
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass
class Child:
    """A started program, its log file, and everything it started in turn."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path
    started_at: float = field(default_factory=time.monotonic)

    @property
    def pid(self) -> int:
        """The process id, which is also its group's."""
        return self.popen.pid

    @property
    def running(self) -> bool:
        """Whether the program itself still runs."""
        return self.popen.poll() is None

    def terminate(self) -> None:
        """Asks the program to end (SIGTERM to itself alone, as a container runtime does)."""
        with contextlib.suppress(ProcessLookupError):
            self.popen.terminate()

    def kill(self) -> None:
        """Ends the program and all that shares its process group, at once."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.popen.wait(timeout=5)

    def stop(self, grace_s: float) -> None:
        """SIGTERM, then after `grace_s` seconds SIGKILL; returns when it is gone."""
        self.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.popen.wait(timeout=grace_s)
        self.kill()

    def tail(self, lines: int = 3) -> str:
        """The last lines of the log, on one line, for an error message."""
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        return " / ".join(text.strip().splitlines()[-lines:])


def start(
    name: str,
    command: Sequence[str],
    log: Path,
    environment: Mapping[str, str] | None = None,
    working_directory: Path | None = None,
) -> Child:
    """Starts a program with its output in `log`.

    Raises:
        MachineError: if the program cannot be started at all.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        with log.open("ab") as output:
            popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment) if environment is not None else None,
                cwd=working_directory,
                start_new_session=True,
                # Safe here: one prctl between fork and exec, no allocation, no lock.
                preexec_fn=_die_with_parent if _libc else None,  # noqa: PLW1509
            )
    except OSError as failed:
        raise MachineError(f"{name} could not be started: {failed}", "is it installed?") from None
    return Child(name, popen, log)


def free_port() -> int:
    """A TCP port on the loopback address that nothing listens on now.

    Outside the range that the kernel gives to outgoing connections, so that it stays free until
    the pod it was set aside for starts.

    Raises:
        MachineError: if none is found.
    """
    for _ in range(1000):
        port = secrets.choice(PORTS)
        if port not in _handed_out and port_is_free(port):
            _handed_out.add(port)
            return port
    raise MachineError(f"no free port from {PORTS[0]} to {PORTS[-1]} on 127.0.0.1")


def port_is_free(port: int) -> bool:
    """Whether a server could listen on the loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _die_with_parent() -> None:
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def cpu_seconds(roots: Iterable[int]) -> dict[int, float]:
    """CPU seconds used so far by each process and its descendants, the ended ones included."""
    table = {p.pid: p.info for p in psutil.process_iter(["ppid", "cpu_times"])}
    totals = dict.fromkeys(roots, 0.0)
    for pid, info in table.items():
        root = _ancestor(pid, table, totals)
        times = info["cpu_times"]
        if root is not None and times is not None:
            totals[root] += times.user + times.system + times.children_user + times.children_system
    return totals


def memory_bytes(roots: Iterable[int]) -> dict[int, int]:
    """Memory held by each process and its descendants; pages that they share count once."""
    table = {p.pid: p.info for p in psutil.process_iter(["ppid"])}
    totals = dict.fromkeys(roots, 0)
    for pid in table:
        root = _ancestor(pid, table, totals)
        if root is not None:
            totals[root] += _held_bytes(pid)
    return totals


def _held_bytes(pid: int) -> int:
    try:
        held = psutil.Process(pid).memory_full_info()
    except psutil.Error:
        return 0  # it ended meanwhile, or is not ours to look into
    # PSS shares a page out among its users; where there is none (macOS), what nobody shares.
    return int(getattr(held, "pss", held.uss))


def _ancestor(
    pid: int, table: Mapping[int, dict[str, Any]], roots: Mapping[int, float]
) -> int | None:
    """The root that a process descends from, itself included."""
    for _ in range(len(table)):
        if pid in roots:
            return pid
        if pid not in table:
            return None
        pid = table[pid]["ppid"]
    return None
