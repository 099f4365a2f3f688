"""The programs of a release: found among its own first, and run to their end."""

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from canary.errors import MachineError, UsageError
from canary.rehearse import config
from canary.runtime import processes
from canary.runtime.program import checkout

OWN_PROGRAMS = Path(sys.executable).parent
HERE = Path()
TIMEOUT_S = 120.0


def check_faults(
    known: config.Faults | None, words: Sequence[str], programs: Path = OWN_PROGRAMS
) -> None:
    """Asks the release's own program whether it understands the words.

    Raises:
        UsageError: with that program's answer, or if no variable is known for them.
    """
    if words and known is None:
        raise UsageError(
            "rehearsal.yaml names no variable that makes a release faulty",
            "add `faults`, or release a faulty commit with --candidate",
        )
    if not words or known is None or not known.check:
        return
    command = local_command(known.check, programs)
    # Behind `--` a word that begins with a dash is no option.
    done = run([*command, "--", ",".join(words)], processes.inherited())
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout).split())
        raise UsageError(said.removeprefix(f"{known.check[0]}: "))


def local_command(
    command: Sequence[str], programs: Path = OWN_PROGRAMS, folder: Path = HERE
) -> list[str]:
    """A command whose program is found in a folder of programs first, then on PATH.

    One with a slash is a file, relative to `folder`.

    Raises:
        UsageError: if it is in neither place.
    """
    program, *arguments = command
    if "/" in program:
        found = shutil.which((folder / program).absolute())
        remedy = "correct the path, or see that `build` makes it"
    else:
        beside = programs / program
        found = str(beside) if beside.is_file() else shutil.which(program)
        remedy = "run: make setup" if checkout() else "install it, or give its path"
    if found is None:
        raise UsageError(f"{program} is not installed", remedy)
    return [found, *arguments]


def run(
    command: Sequence[str], variables: Mapping[str, str], folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs one of its programs to its end.

    Raises:
        MachineError: if it does not end in time.
    """
    try:
        return processes.run(
            command,
            env=dict(variables),
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise MachineError(
            f"`{' '.join(command)}` did not end within {TIMEOUT_S:.0f} s", "run it by hand"
        ) from None
