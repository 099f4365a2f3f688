"""kubectl as a library: one context, JSON in and out, its words as our errors."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rehearsal import kustomize
from rehearsal.errors import MachineError, UsageError

# Longer than anything a command is asked to wait for.
TIMEOUT_S = 180.0
# A context that is named so is somebody's production until it is named on the command line.
PRODUCTION = re.compile(r"(^|[^a-z])(prod|prd|production|live)([^a-z]|$)")

Object = dict[str, Any]


@dataclass(frozen=True)
class Kubectl:
    """The program, and the kube context it speaks to."""

    program: Path
    context: str

    def get(self, namespace: str, kinds: Sequence[str], selector: str = "") -> list[Object]:
        """The objects of some kinds in a namespace.

        Raises:
            MachineError: if the cluster does not answer.
        """
        chosen = ["-l", selector] if selector else []
        said = self.run("get", ",".join(kinds), "-n", namespace, "-o", "json", *chosen)
        items: list[Object] = json.loads(said)["items"]
        return items

    def one(self, namespace: str, kind: str, name: str) -> Object:
        """One object by its name."""
        found: Object = json.loads(self.run("get", kind, name, "-n", namespace, "-o", "json"))
        return found

    def patch(self, namespace: str, kind: str, name: str, operations: Sequence[Object]) -> None:
        """Changes an object by JSON patch: a merge would replace a custom resource's lists."""
        text = json.dumps(list(operations))
        self.run("patch", kind, name, "-n", namespace, "--type", "json", "-p", text)

    def apply(self, documents: str) -> None:
        """Applies rendered manifests."""
        self.run("apply", "-f", "-", given=documents)

    def run(self, *arguments: str, given: str | None = None) -> str:
        """Runs one command and returns what it printed.

        Raises:
            MachineError: if it failed, with its own words.
        """
        command = self.command(*arguments)
        try:
            done = subprocess.run(
                command, input=given, capture_output=True, text=True, check=False, timeout=TIMEOUT_S
            )
        except subprocess.TimeoutExpired:
            raise MachineError(f"kubectl {arguments[0]}: no answer in {TIMEOUT_S:.0f} s") from None
        if done.returncode != 0:
            raise MachineError(f"kubectl {arguments[0]}: {' '.join(done.stderr.split())}")
        return done.stdout

    def command(self, *arguments: str) -> list[str]:
        """The command line of one command."""
        return [str(self.program), "--context", self.context, *arguments]


def connect(context: str | None) -> Kubectl:
    """Takes the named kube context, or the current one if it does not look like production.

    Raises:
        UsageError: if there is none, or it looks like production and was not named.
        MachineError: if there is no kubectl.
    """
    program = _find()
    current = subprocess.run(
        [str(program), "config", "current-context"], capture_output=True, text=True, check=False
    ).stdout.strip()
    if context is None and not current:
        raise UsageError("kubectl has no current context", "name one with --context, or use kind")
    if context is None and PRODUCTION.search(current):
        raise UsageError(
            f"the context {current!r} looks like production",
            f"a rehearsal ships a bad release on purpose: if you mean it, --context {current}",
        )
    return Kubectl(program, context or current)


def _find() -> Path:
    found = shutil.which("kubectl")
    return Path(found) if found else kustomize.find()
