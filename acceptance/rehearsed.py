"""The program `canary` as a user starts it, and what its rehearsals leave."""

import json
import sys
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from acceptance.calling import quietly

CANARY = Path(sys.executable).with_name("canary")


def canary(*arguments: str | Path, within: Path | None = None) -> CompletedProcess[str]:
    """What it ends with and says, called in a folder."""
    return quietly(CANARY, *arguments, cwd=within)


def result(run: Path) -> dict[str, Any]:
    """The result of a rehearsal that wrote it into this folder."""
    found: dict[str, Any] = json.loads((run / "result.json").read_text("utf-8"))
    return found
