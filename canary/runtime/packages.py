"""uv, which installs what a rehearsal needs of PyPI: locked, by hash, and nothing else.

`ci/install.py` writes down how pip reaches its packages on this machine: index, proxy,
authorities. uv reads none of pip's files, so it is told, after the caller's own variables.
"""

import json
import os
import sys
from pathlib import Path

from canary.errors import MachineError

# What every installation has: the lock's versions, by their hashes, and no source that would run.
LOCKED = ("--require-hashes", "--no-deps", "--only-binary", ":all:")


def command(*arguments: str) -> list[str]:
    """The command line of uv with these arguments.

    Raises:
        MachineError: if there is no uv.
    """
    try:
        import uv  # noqa: PLC0415 — policies and gates render manifests without it

        return [uv.find_uv_bin(), *arguments]
    except (ImportError, FileNotFoundError):
        raise MachineError("uv is not installed", "make setup") from None


def environment() -> dict[str, str]:
    """The caller's variables, and what set-up found out about the way to the packages."""
    try:
        found = json.loads((Path(sys.prefix) / "index.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        found = {}
    return {**found, **os.environ, "UV_PYTHON_DOWNLOADS": "never"}
