"""No program leaves a process when it is ended, whenever that is: `make prove-endings`.

Each program is started as a user would start it, and ended at its start, in the middle and near its
end, each time by SIGKILL, SIGTERM, SIGHUP and a terminal's Ctrl-C. Three seconds after it has ended
no process that it started may live, and none of its private folders may be left. Exit code 1 if
one does. `--only WORD` takes the programs whose name holds the word, `--signals` and `--moments`
fewer of each.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from canary.runtime import processes, program, scratch
from canary.runtime.waiting import wait_until

BIN = Path(sys.executable).parent
ROOT = Path(__file__).resolve().parents[1]
SIGNALS = ("SIGKILL", "SIGTERM", "SIGHUP", "SIGINT")
MOMENTS = ("start", "middle", "end")
AFTER_S = 3.0
# Ending in order takes as long as pods take to drain.
ORDERLY_S = 60.0
# A program that computes by itself at first is ended then, whatever it has started.
APPEAR_S = {"start": 5.0, "middle": 120.0, "end": 120.0}
# Every process that a program starts inherits it, unless it is given an environment of its own.
MARK = "PROVE_ENDINGS"


@dataclass(frozen=True)
class Program:
    """What is started.

    Attributes:
        name: For the table.
        command: The command line; `{port}` is a free port, `{out}` a new folder.
        middle: A word of the command line of a process that it runs once it is well under way.
        end_s: How much later it is near its end.
        served: Whether it needs the service, on that port.
    """

    name: str
    command: Sequence[str]
    middle: str
    end_s: float
    served: bool = False


PYTHON = str(BIN / "python")
PROGRAMS = (
    Program("rehearse", (str(BIN / "canary"), "rehearse", "--out", "{out}"), "locust", 40),
    Program("serve", (str(BIN / "canary"), "serve", "--port", "{port}"), "gridos serve", 8),
    Program(
        "observe up",
        (str(BIN / "observe"), "up", "--port", "{port}", "--out", "{out}"),
        "prometheus",
        10,
    ),
    Program(
        "loadtest run",
        (
            *(str(BIN / "loadtest"), "run", "errors-good", "--seconds", "30"),
            *("--host", "http://127.0.0.1:{port}", "--out", "{out}"),
        ),
        "locust",
        25,
        served=True,
    ),
    Program("simulate", (str(BIN / "canary"), "simulate"), "prometheus", 5),
    Program("mutate", (str(BIN / "canary"), "mutate"), "prometheus", 20),
    Program("policies", (str(BIN / "policies"), "deploy/overlays/staging"), "kustomize", 1),
    Program("observe prove", (str(BIN / "observe"), "prove", "--out", "{out}"), "locust", 40),
    Program(
        "observe prove-runbooks",
        (str(BIN / "observe"), "prove-runbooks", "--out", "{out}", "--only", "TargetDown"),
        "prometheus",
        15,
    ),
    Program("prove_load", (PYTHON, "acceptance/load/load.py", "--only", "stall"), "locust", 15),
    Program("prove_rehearsal", (PYTHON, "acceptance/rehearsal.py"), "locust", 40),
    Program("prove_gates", (PYTHON, "acceptance/gates.py"), "canary", 20),
    Program(
        "prove_service",
        (PYTHON, "acceptance/service/prove_service.py", "kills"),
        "gridos serve",
        15,
    ),
    Program("bench", (PYTHON, "-m", "acceptance.bench", "ingest"), "gridos serve", 5),
    Program("prove_edge", (PYTHON, "acceptance/edge/prove_edge.py"), "nginx", 10),
    Program("prove_overlay", (PYTHON, "acceptance/pipeline/overlay.py"), "git", 20),
)


def main(arguments: Sequence[str]) -> int:
    """Ends each program in each way, and prints a row for each."""
    parser = program.parser("prove-endings", description=__doc__)
    parser.add_argument("--only", default="", metavar="WORD")
    parser.add_argument("--signals", nargs="+", choices=SIGNALS, default=SIGNALS)
    parser.add_argument("--moments", nargs="+", choices=MOMENTS, default=MOMENTS)
    chosen = parser.parse_args(arguments)
    wanted = [ended for ended in PROGRAMS if chosen.only in ended.name]
    if not wanted:
        parser.error(f"no program's name holds {chosen.only!r}")
    print(f"{'program':<24}{'moment':<8}{'signal':<9}{'exit':>5}{'family':>8}  left", flush=True)
    failed = 0
    for ended, moment, number in itertools.product(wanted, chosen.moments, chosen.signals):
        code, family, left = _end(ended, moment, signal.Signals[number])
        failed += bool(left)
        said = ", ".join(left) or "nothing"
        print(
            f"{ended.name:<24}{moment:<8}{number:<9}{code:>5}{family:>8}  {said}",
            flush=True,
        )
    return 1 if failed else 0


def _end(ended: Program, moment: str, number: signal.Signals) -> tuple[int, int, list[str]]:
    """(exit code, processes seen, what is left) of a program that is ended at a moment."""
    port = processes.free_port()
    with _service(port, wanted=ended.served), _started(ended.command, port) as (started, folder):
        family: dict[int, psutil.Process] = {}
        _await(ended, moment, started, family)
        # A terminal's Ctrl-C goes to the whole group, the others to the program alone.
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if number == signal.SIGINT else os.kill)(started.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            _follow(started, family, ORDERLY_S)
        code = started.poll()
        if code is None:
            return 0, len(family), [f"the program itself, {ORDERLY_S:.0f} s later"]
        wait_until(lambda: not _left(family, folder), AFTER_S, every_s=0.1)
        return code, len(family), _left(family, folder)


@contextlib.contextmanager
def _service(port: int, *, wanted: bool) -> Iterator[None]:
    """The service on a port, if it is wanted."""
    if not wanted:
        yield
        return
    with _started((str(BIN / "canary"), "serve", "--port", "{port}"), port) as (started, _):
        wait_until(
            lambda: not processes.port_is_free(port),
            APPEAR_S["middle"],
            give_up=lambda: started.poll() is not None,
        )
        yield


@contextlib.contextmanager
def _started(command: Sequence[str], port: int) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A program, with a temporary folder of its own to find what it leaves by."""
    # Short: sockets are made below it.
    with tempfile.TemporaryDirectory(prefix="ends-", dir="/var/tmp") as text:
        processes.remove_at_end(folder := Path(text))
        filled = {"port": str(port), "out": str(folder / "out")}
        with (folder / "output").open("wb") as output:
            started = processes.popen(
                [word.format(**filled) for word in command],
                cwd=ROOT,
                env=processes.inherited(TMPDIR=text, **{MARK: text}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            yield started, folder
        finally:
            with program.undisturbed():
                started.kill()
                started.wait(10)
                # Its guardian first: what has an environment of its own is known to nobody else.
                wait_until(lambda: not _of(folder), AFTER_S, every_s=0.1)
                for process in _of(folder):
                    with contextlib.suppress(psutil.Error):
                        process.kill()


def _await(
    ended: Program,
    moment: str,
    started: subprocess.Popen[bytes],
    family: dict[int, psutil.Process],
) -> None:
    def reached() -> bool:
        _note(started, family)
        others = [line for line in map(_line, family.values()) if "guardian" not in line]
        return bool(others) if moment == "start" else any(ended.middle in x for x in others)

    wait_until(reached, APPEAR_S[moment], give_up=lambda: started.poll() is not None)
    if moment == "end":
        with contextlib.suppress(subprocess.TimeoutExpired):
            _follow(started, family, ended.end_s)


def _follow(
    started: subprocess.Popen[bytes], family: dict[int, psutil.Process], seconds: float
) -> None:
    """Notes what it starts, until it ends or for so long."""
    deadline = time.monotonic() + seconds
    while started.poll() is None and time.monotonic() < deadline:
        _note(started, family)
        time.sleep(0.05)


def _note(started: subprocess.Popen[bytes], family: dict[int, psutil.Process]) -> None:
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(started.pid).children(recursive=True):
            family.setdefault(child.pid, child)


def _left(family: dict[int, psutil.Process], folder: Path) -> list[str]:
    """What lives of it, and its private folders."""
    alive = {process.pid: process for process in (*family.values(), *_of(folder))}
    lines = [_line(process) for process in alive.values() if _lives(process)]
    return [*lines, *map(str, folder.glob(f"*{scratch.PREFIX}*"))]


def _of(folder: Path) -> list[psutil.Process]:
    """The processes that carry the mark of a folder, or work in it."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            marked = process.environ().get(MARK) == str(folder)
            if marked or str(folder) in " ".join(process.cmdline()):
                found.append(process)
    return found


def _line(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())[:100]
    return ""


def _lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


if __name__ == "__main__":
    sys.exit(program.run("prove-endings", main))
