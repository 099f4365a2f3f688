"""No program leaves a process when it is ended, whenever that is.

Each program is started as a user would start it, and ended at its start, in the middle and near its
end, each time by SIGKILL, SIGTERM, SIGHUP and a terminal's Ctrl-C. Three seconds after it has ended
no process that it started may live, and none of its private folders may be left.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import yaml

from acceptance.services import Service
from canary.runtime import processes, program, scratch
from canary.runtime.waiting import wait_until

BIN = Path(sys.executable).parent
ROOT = Path(__file__).resolve().parents[2]
SIGNALS = ("SIGKILL", "SIGTERM", "SIGHUP", "SIGINT")
MOMENTS = ("start", "middle", "end")
AFTER_S = 3.0
# Ending in order takes as long as pods take to drain.
ORDERLY_S = 60.0
# A program that computes by itself at first is ended then, whatever it has started.
APPEAR_S = {"start": 5.0, "middle": 120.0, "end": 120.0}
# Every process that a program starts inherits it, unless it is given an environment of its own.
MARK = "ACCEPTANCE_ENDINGS"


@dataclass(frozen=True)
class Program:
    """What is started; a `served` one needs the service, on the port that it is told.

    `middle` is a word of the command line of a process that it runs once it is well under way, and
    `end_s` how much later it is near its end.
    """

    name: str
    command: str
    middle: str
    end_s: float
    served: bool = False


FILE = Path(__file__).with_name("programs.yaml")
PROGRAMS = [Program(**given) for given in yaml.safe_load(FILE.read_text("utf-8"))]


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("ended", PROGRAMS, ids=lambda ended: ended.name)
def test_a_program_that_is_ended_leaves_nothing(seeded, tmp_path, measured, ended, moment, number):
    port = processes.free_port()
    with contextlib.ExitStack() as stack:
        if ended.served:
            given = {"GRIDOS_DATABASE_URL": seeded, "PORT": str(port)}
            stack.enter_context(Service(tmp_path, given)).start().await_ready()
        started, folder = stack.enter_context(running(ended.command, port))
        code, family, remains = end(ended, moment, signal.Signals[number], started, folder)
    measured(f"{ended.name}, {moment}, {number}", f"exit {code}, {family} processes seen")
    assert remains == []


def end(ended, moment, number, started, folder):
    """(exit code, processes seen, what is left) of a program that is ended at a moment."""
    family: dict[int, psutil.Process] = {}
    await_moment(ended, moment, started, family)
    # A terminal's Ctrl-C goes to the whole group, the others to the program alone.
    with contextlib.suppress(ProcessLookupError):
        (os.killpg if number == signal.SIGINT else os.kill)(started.pid, number)
    with contextlib.suppress(subprocess.TimeoutExpired):
        follow(started, family, ORDERLY_S)
    code = started.poll()
    if code is None:
        return 0, len(family), [f"the program itself, {ORDERLY_S:.0f} s later"]
    wait_until(lambda: not left(family, folder), AFTER_S, every_s=0.1)
    return code, len(family), left(family, folder)


@contextlib.contextmanager
def running(command, port):
    """A program, with a temporary folder of its own to find what it leaves by."""
    # Short: sockets are made below it.
    with tempfile.TemporaryDirectory(prefix="ends-", dir="/var/tmp") as text:
        processes.remove_at_end(folder := Path(text))
        first, *words = command.split()
        filled = {"port": str(port), "out": str(folder / "out")}
        with (folder / "output").open("wb") as output:
            started = processes.popen(
                [BIN / first, *(word.format(**filled) for word in words)],
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
                wait_until(lambda: not of(folder), AFTER_S, every_s=0.1)
                for process in of(folder):
                    with contextlib.suppress(psutil.Error):
                        process.kill()


def await_moment(ended, moment, started, family):
    def reached() -> bool:
        note(started, family)
        others = [text for text in map(line, family.values()) if "guardian" not in text]
        return bool(others) if moment == "start" else any(ended.middle in x for x in others)

    wait_until(reached, APPEAR_S[moment], give_up=lambda: started.poll() is not None)
    if moment == "end":
        with contextlib.suppress(subprocess.TimeoutExpired):
            follow(started, family, ended.end_s)


def follow(started, family, seconds):
    """Notes what it starts, until it ends or for so long."""
    deadline = time.monotonic() + seconds
    while started.poll() is None and time.monotonic() < deadline:
        note(started, family)
        time.sleep(0.05)


def note(started, family):
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(started.pid).children(recursive=True):
            family.setdefault(child.pid, child)


def left(family, folder):
    """What lives of it, and its private folders."""
    alive = {process.pid: process for process in (*family.values(), *of(folder))}
    lines = [line(process) for process in alive.values() if lives(process)]
    return [*lines, *map(str, folder.glob(f"*{scratch.PREFIX}*"))]


def of(folder):
    """The processes that carry the mark of a folder, or work in it."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            marked = process.environ().get(MARK) == str(folder)
            if marked or str(folder) in " ".join(process.cmdline()):
                found.append(process)
    return found


def line(process):
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())[:100]
    return ""


def lives(process):
    with contextlib.suppress(psutil.Error):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False
