"""Programs that are called: started, or ours within this process, which takes no second each."""

import io
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from canary.runtime import processes

TIMEOUT_S = 600


def quietly(
    *command: str | Path, timeout: float = TIMEOUT_S, **options: Any
) -> subprocess.CompletedProcess[str]:
    """What a program ends with and says; `options` are those of `processes.run`."""
    return processes.run(command, capture_output=True, text=True, timeout=timeout, **options)


def call(
    main: Callable[[list[str]], int], arguments: Sequence[str], within: Path, given: str = ""
) -> subprocess.CompletedProcess[str]:
    """As if it had been started: what it ends with and says, in a folder, given a text."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in "oe")
    before, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(given.encode()))
    try:
        with chdir(within), redirect_stdout(out), redirect_stderr(err):
            code = main(list(arguments))
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    finally:
        sys.stdin = before
    said, wrong = (stream.buffer.getvalue().decode() for stream in (out, err))
    return subprocess.CompletedProcess(list(arguments), code, said, wrong)
