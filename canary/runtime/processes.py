"""Child processes that never outlive the program that starts them.

Each runs in a session of its own, so that a terminal's Ctrl-C reaches only the program, which then
ends its children in order. However the program dies, its guardian ends what it leaves.
"""

import atexit
import contextlib
import functools
import json
import math
import os
import resource
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from canary.errors import MachineError
from canary.runtime import program
from canary.runtime.waiting import wait_until

ORDERLY_END_S = 10.0
# How often a thread that waits for a child asks whether the program is being ended.
HEED_EVERY_S = 0.2
PORTS = range(20_000, 32_000)
_LANE = 100
_GUARDIAN = Path(__file__).with_name("guardian.py")
# What pods and load yield to the harness and to what measures them. Anybody may lower a priority.
YIELDING = 5
_cpu_spent: Counter[str] = Counter()
_withheld: set[str] = set()


@dataclass
class Child:
    """A started program, its log file, and everything it started in turn."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path
    program: str = ""
    started_at: float = field(default_factory=time.monotonic)

    @property
    def pid(self) -> int:
        """The process id, which is also its group's."""
        return self.popen.pid

    @property
    def running(self) -> bool:
        """Whether the program itself still runs."""
        with self._accounting():
            return self.popen.poll() is None

    def terminate(self) -> None:
        """Asks the program to end (SIGTERM to itself alone, as a container runtime does)."""
        with contextlib.suppress(ProcessLookupError):
            self.popen.terminate()

    def kill(self) -> None:
        """Ends the program and all that shares its process group, at once."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait(timeout_s=5)

    def stop(self, grace_s: float) -> None:
        """SIGTERM, then after `grace_s` seconds SIGKILL; returns when it is gone."""
        self.terminate()
        self.wait(grace_s)
        self.kill()

    def wait(self, timeout_s: float) -> None:
        """Returns when the program has ended, or when the time is over."""
        with contextlib.suppress(subprocess.TimeoutExpired), self._accounting():
            self.popen.wait(timeout=timeout_s)

    @contextlib.contextmanager
    def _accounting(self) -> Iterator[None]:
        """Adds what the program and its own ended children used, if it is found ended here."""
        if self.popen.returncode is not None:
            yield
            return
        before = _reaped_s()
        try:
            yield
        finally:
            if self.popen.returncode is not None:
                _cpu_spent[self.program or self.name] += _reaped_s() - before

    def tail(self, lines: int = 3) -> str:
        """The last lines of the log, on one line, for an error message."""
        return " / ".join(self.tail_lines(lines))

    def tail_lines(self, lines: int) -> list[str]:
        """The last lines of the log."""
        text = self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""
        return text.strip().splitlines()[-lines:]


class Program:
    """A program of the run that answers others: nothing yet, or one child after another."""

    grace_s = 3.0
    _child: Child | None = None

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self._child is not None and self._child.running

    def stop(self) -> None:
        """Ends it."""
        if self._child is not None:
            self._child.stop(self.grace_s)

    def _begin(self, child: Child, ready: Callable[[], bool], timeout_s: float = 60) -> None:
        """Returns once a child that was started is ready.

        Raises:
            MachineError: if it does not come up.
        """
        self._child = child
        if not wait_until(ready, timeout_s, give_up=lambda: not child.running):
            raise MachineError(f"{child.name} did not start: {child.tail()}", "see its log")


def start(
    name: str,
    command: Sequence[str],
    log: Path,
    environment: Mapping[str, str] | None = None,
    working_directory: Path | None = None,
    program: str = "",
    yielding: bool = False,
    **options: Any,
) -> Child:
    """Starts a program with its output in `log`; `options` are those of `popen`.

    `program` is what its CPU time is counted under (its name); a `yielding` one has a lower
    priority than ours.

    Raises:
        MachineError: if the program cannot be started at all.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        with log.open("ab") as output:
            started = popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=working_directory,
                **options,
            )
    except OSError as failed:
        raise MachineError(f"{name} could not be started: {failed}", "is it installed?") from None
    if yielding:
        _lower_priority(started.pid)
    return Child(name, started, log, program)


def run(
    command: Sequence[str | Path],
    *,
    check: bool = False,
    capture_output: bool = False,
    input: str | bytes | None = None,  # noqa: A002 — as subprocess names it
    timeout: float | None = None,
    **options: Any,
) -> subprocess.CompletedProcess[Any]:
    """`subprocess.run`, of a child that does not outlive this program."""
    if capture_output:
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    given = subprocess.DEVNULL if input is None else subprocess.PIPE
    with popen(command, **{"stdin": given, **options}) as child:
        try:
            output, errors = _communicate(child, input, timeout)
        except BaseException:
            # It may have children of its own to end.
            child.terminate()
            try:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(timeout=ORDERLY_END_S)
            finally:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(child.pid, signal.SIGKILL)
            raise
    done = subprocess.CompletedProcess(command, child.returncode, output, errors)
    if check:
        done.check_returncode()
    return done


def _communicate(child: subprocess.Popen[Any], given: Any, timeout_s: float | None) -> Any:
    """Waits for its end; in a thread, which hears no signal, until the program is being ended."""
    if threading.current_thread() is threading.main_thread():
        return child.communicate(given, timeout_s)
    ends_at = math.inf if timeout_s is None else time.monotonic() + timeout_s
    while True:
        try:
            return child.communicate(given, min(HEED_EVERY_S, ends_at - time.monotonic()))
        except subprocess.TimeoutExpired:
            program.heed()
            if time.monotonic() >= ends_at:
                raise
            given = None


def popen(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    killed_by: signal.Signals = signal.SIGKILL,
    **options: Any,
) -> subprocess.Popen[Any]:
    """`subprocess.Popen` of a child that ends with this program.

    Args:
        command: The program and its arguments.
        env: Its environment; what is `inherited` if none is given.
        killed_by: What the child is sent if this program dies without having ended it.
        options: Those of `subprocess.Popen`.
    """
    guardian = _guardian_pipe()

    def report() -> None:
        # Safe here: one write between fork and exec. Before exec, or one that is started while
        # this program is killed would be missed.
        os.write(guardian, b"child %d %d\n" % (os.getpid(), killed_by))

    return subprocess.Popen(
        command,
        env=dict(inherited() if env is None else env),
        start_new_session=True,
        preexec_fn=report,  # noqa: PLW1509
        **options,
    )


def remove_at_end(folder: Path) -> None:
    """Has a folder removed when this program is gone, however it ends."""
    os.write(_guardian_pipe(), f"folder {folder}\n".encode())


def inherited(**more: str) -> dict[str, str]:
    """This program's environment without what is withheld, and more."""
    mine = {n: value for n, value in os.environ.items() if not n.startswith(tuple(_withheld))}
    return {**mine, **more}


def withhold(prefix: str) -> None:
    """Lets no child inherit the variables that begin so: in a shell they may be production's."""
    if prefix:
        _withheld.add(prefix)


@functools.cache
def _guardian_pipe() -> int:
    """The guardian's standard input; it is started for the first child."""
    reader, writer = os.pipe()
    try:
        guardian = subprocess.Popen(
            [sys.executable, "-P", _GUARDIAN],
            stdin=reader,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Not this program's folder, which could not be unmounted or removed meanwhile.
            cwd="/",
            start_new_session=True,
        )
    except OSError as failed:
        raise MachineError(f"no process can be started: {failed}") from None
    finally:
        os.close(reader)

    @atexit.register
    def let_go() -> None:
        os.close(writer)
        with contextlib.suppress(subprocess.TimeoutExpired):
            guardian.wait(ORDERLY_END_S)

    return writer


def free_port() -> int:
    """A TCP port on the loopback address that nothing listens on now and nobody else is given.

    Outside the range that the kernel gives to outgoing connections, so that it stays free until
    the pod it was set aside for starts.

    Raises:
        MachineError: if none is found.
    """
    with _choosing:
        for port in _own_ports:
            if port_is_free(port):
                return port
    raise MachineError(f"no free port from {PORTS[0]} to {PORTS[-1]} on 127.0.0.1")


def _set_aside() -> Iterator[int]:
    """Ports for this process alone, a lane at a time, since others on the machine choose too.

    A UDP socket on a lane's first port says that the lane is taken; it goes with the process.
    """
    firsts = list(PORTS[::_LANE])
    secrets.SystemRandom().shuffle(firsts)
    for first in firsts:
        claim = socket.socket(type=socket.SOCK_DGRAM)
        try:
            claim.bind(("127.0.0.1", first))
        except OSError:
            claim.close()
            continue
        atexit.register(claim.close)
        yield from range(first, first + _LANE)


_choosing = threading.Lock()
_own_ports = _set_aside()


def port_is_free(port: int) -> bool:
    """Whether a server could listen on the loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def answers(url: str) -> bool:
    """Whether a server answers well there."""
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except OSError:
        return False


def json_at(url: str, timeout_s: float, body: bytes | None = None) -> Any:
    """The JSON that a server answers with, to a POST if it is given a body.

    Raises:
        OSError: if there is no good answer.
        ValueError: if it is no JSON.
    """
    with urllib.request.urlopen(url, data=body, timeout=timeout_s) as answer:
        return json.load(answer)


def _lower_priority(pid: int) -> None:
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, max(YIELDING, os.getpriority(os.PRIO_PROCESS, pid)))
    # Where Linux groups by session, priorities count within one, and a session has its own.
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(YIELDING), encoding="ascii")


def cpu_spent() -> Mapping[str, float]:
    """CPU seconds by program: ours, and those of the children that have ended.

    `other` is what was started without `start`, such as a migration.
    """
    other = max(0.0, _reaped_s() - _cpu_spent.total())
    return {**_cpu_spent, "harness": time.process_time(), "other": other}


def _reaped_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def cpu_seconds(roots: Iterable[int]) -> dict[int, float]:
    """CPU seconds used so far by each process and what it started, the ended ones included."""
    return {root: sum(map(_cpu_s, pids)) for root, pids in _members(roots).items()}


def memory_bytes(roots: Iterable[int]) -> dict[int, int]:
    """Memory held by each process and what it started; pages that they share count once."""
    return {root: sum(map(_held_bytes, pids)) for root, pids in _members(roots).items()}


def memory_above(limits: Mapping[int, int]) -> dict[int, int]:
    """Of the processes with these limits, those that hold more, and what they hold.

    Counting shared pages once means walking a process's page tables: milliseconds each. Counting
    them as often as they are mapped is nearly free and never less, so it decides who is weighed.
    """
    members = _members(limits)
    suspects = [r for r, pids in members.items() if sum(map(_resident_bytes, pids)) > limits[r]]
    held = {root: sum(map(_held_bytes, members[root])) for root in suspects}
    return {root: total for root, total in held.items() if total > limits[root]}


def _members(roots: Iterable[int]) -> dict[int, list[int]]:
    """The processes of each root: its group, which `start` gives it, or else its descendants.

    Asking for a group costs a microsecond; psutil's way over the whole machine costs 20 ms.
    """
    groups: dict[int, list[int]] = {root: [] for root in roots}
    for pid in psutil.pids():
        with contextlib.suppress(OSError):
            group = os.getpgid(pid)
            if group in groups:
                groups[group].append(pid)
    for root, found in groups.items():
        if not found:
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(root)
                found += [root, *(child.pid for child in process.children(recursive=True))]
    return groups


def _cpu_s(pid: int) -> float:
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0  # it ended meanwhile; whoever waited for it counts it
    ended = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    return float(times.user + times.system + ended)


def _resident_bytes(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def _held_bytes(pid: int) -> int:
    try:
        held = psutil.Process(pid).memory_full_info()
    except psutil.Error:
        return 0  # it ended meanwhile, or is not ours to look into
    # PSS shares a page out among its users; where there is none (macOS), what nobody shares.
    return int(getattr(held, "pss", held.uss))
