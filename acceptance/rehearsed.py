"""The program `canary` as a user starts it, and what its rehearsals leave."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from canary.runtime import processes

CANARY = Path(sys.executable).with_name("canary")
TIMEOUT_S = 600


def canary(*arguments: str | Path, within: Path | None = None) -> CompletedProcess[str]:
    """What it ends with and says, called in a folder."""
    command = [CANARY, *arguments]
    return processes.run(command, cwd=within, capture_output=True, text=True, timeout=TIMEOUT_S)


def result(run: Path) -> dict[str, Any]:
    """The result of a rehearsal that wrote it into this folder."""
    found: dict[str, Any] = json.loads((run / "result.json").read_text("utf-8"))
    return found
