"""promtool of every major that can be had: Debian's 2.42, and a 3.x where one is installed."""

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from canary.errors import MachineError
from canary.runtime import processes, prometheus

# A promtool of another major; the place where the test cluster builds its own is looked at too.
VARIABLE = "GRIDOS_PROMTOOL_3"
KIT = Path("~/.cache/gridos-cluster/bin/promtool")
REMEDY = f"set {VARIABLE} to a promtool 3.x, or build the test cluster's programs"


@dataclass(frozen=True)
class Promtool:
    """One promtool, its version as it says it."""

    program: Path
    version: str

    def check(self, files: Sequence[Path]) -> int:
        """Checks rule files; returns how many rules it found.

        Raises:
            MachineError: if it refuses one, with its words.
        """
        done = self._run(["check", "rules", *map(str, files)])
        if done.returncode != 0:
            raise MachineError(f"promtool {self.version}: {_said(done)}", "correct the rules")
        return sum(int(found) for found in re.findall(r"SUCCESS: (\d+) rules? found", done.stdout))

    def test(self, file: Path) -> str:
        """Runs a test file; returns what failed, or nothing."""
        done = self._run(["test", "rules", str(file)])
        return "" if done.returncode == 0 else _said(done)

    def test_of(self, content: Mapping[str, Any], folder: Path) -> str:
        """Runs a test file of this content, which it writes into a folder."""
        file = folder / "promtool.test.yaml"
        file.write_text(yaml.safe_dump(content), encoding="utf-8")
        return self.test(file)

    def _run(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        command = [str(self.program), *arguments]
        # It needs little memory, and spent a quarter of its time on giving it back.
        quick = processes.inherited(GOGC="400")
        return processes.run(command, env=quick, capture_output=True, text=True, timeout=300)


def debian() -> Promtool:
    """The promtool beside the Prometheus that a rehearsal uses.

    Raises:
        MachineError: if there is none, with how to get it.
    """
    return at(prometheus.find().with_name("promtool"))


def third() -> Promtool | None:
    """A promtool 3.x, if this machine has one."""
    given = os.environ.get(VARIABLE)
    place = Path(given) if given else KIT.expanduser()
    tool = at(place) if place.is_file() else None
    major = int(tool.version.partition(".")[0]) if tool else 0
    return tool if major >= 3 else None  # noqa: PLR2004 — the version


def at(program: Path) -> Promtool:
    """The promtool at a path.

    Raises:
        MachineError: if it cannot say its version.
    """
    try:
        done = processes.run([program, "--version"], capture_output=True, text=True, timeout=30)
    except OSError as gone:
        raise MachineError(f"{program} cannot be run: {gone}", REMEDY) from None
    found = re.search(r"version (\d+\.\d+\.\d+)", done.stdout + done.stderr)
    if found is None:
        raise MachineError(f"{program} is not promtool", REMEDY)
    return Promtool(program, found[1])


def _said(done: subprocess.CompletedProcess[str]) -> str:
    return (done.stdout + done.stderr).strip()
