"""A program with a page, as a user starts it."""

import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from acceptance.rehearsed import CANARY

ROOT = Path(__file__).parents[2]
REHEARSE = (CANARY, "rehearse", "--web")
OBSERVE = (CANARY.with_name("observe"), "up")
TIMEOUT_S = 420


@contextmanager
def running(
    out: Path, *arguments: str, program: Sequence[Path | str] = REHEARSE
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """(the process, the address that it printed); left, it has ended."""
    command = [*map(str, program), "--out", str(out), *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        killer = threading.Timer(TIMEOUT_S, process.terminate)
        killer.start()
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("live at "), line
            yield process, line.removeprefix("live at ").strip()
            process.stdout.read()
        finally:
            killer.cancel()
            if process.poll() is None:
                process.terminate()
