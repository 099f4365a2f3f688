"""kubectl as a library: one context, JSON in and out, its words as our errors."""

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from canary.errors import MachineError, UsageError
from canary.runtime import kustomize, processes
from canary.runtime.waiting import wait_until

# Longer than anything a command is asked to wait for.
TIMEOUT_S = 180.0
READ_TIMEOUT_S, PROXY_TIMEOUT_S = 10.0, 20.0
# Where the API keeps the kinds that are watched.
APIS = {
    "rollouts": "apis/argoproj.io/v1alpha1",
    "analysisruns": "apis/argoproj.io/v1alpha1",
    "applications": "apis/argoproj.io/v1alpha1",
    "replicasets": "apis/apps/v1",
    "pods": "api/v1",
}
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
            done = processes.run(
                command, input=given, capture_output=True, text=True, timeout=TIMEOUT_S
            )
        except subprocess.TimeoutExpired:
            raise MachineError(
                f"kubectl {arguments[0]}: no response in {TIMEOUT_S:.0f} s"
            ) from None
        if done.returncode != 0:
            raise MachineError(f"kubectl {arguments[0]}: {' '.join(done.stderr.split())}")
        return str(done.stdout)

    def command(self, *arguments: str) -> list[str]:
        """The command line of one command."""
        return [str(self.program), "--context", self.context, *arguments]


class Watch:
    """Reads a cluster many times: one `kubectl proxy` for as long as it is open.

    A kubectl for each reading costs 0.2 s of CPU, and ten a second are more than two cores have.
    """

    def __init__(self, kubectl: Kubectl, log: Path) -> None:
        """Opens it.

        Raises:
            MachineError: if kubectl does not say where it listens.
        """
        self._child = processes.start("kubectl-proxy", kubectl.command("proxy", "--port=0"), log)
        serving = re.compile(r"serve on (\S+:\d+)")
        if not wait_until(
            lambda: serving.search(log.read_text()) is not None,
            timeout_s=PROXY_TIMEOUT_S,
            give_up=lambda: not self._child.running,
        ):
            self.close()
            raise MachineError(f"kubectl proxy: {self._child.tail()}")
        found = serving.search(log.read_text())
        assert found is not None  # noqa: S101 — waited for
        self._url = f"http://{found[1]}"

    def close(self) -> None:
        """Ends the proxy."""
        self._child.stop(grace_s=2)

    def get(self, namespace: str, kinds: Sequence[str]) -> list[Object]:
        """The objects of some kinds, by their plural names, in a namespace.

        Raises:
            MachineError: if the cluster does not answer.
        """
        found: list[Object] = []
        for kind in kinds:
            said = self._ask(f"{APIS[kind]}/namespaces/{namespace}/{kind}")
            # A list's items leave out what they are.
            one = said["kind"].removesuffix("List")
            found += [{"kind": one, **item} for item in said["items"]]
        return found

    def one(self, namespace: str, kind: str, name: str) -> Object:
        """One object, by the plural name of its kind and its own.

        Raises:
            MachineError: if it is not there, or the cluster does not answer.
        """
        return self._ask(f"{APIS[kind]}/namespaces/{namespace}/{kind}/{name}")

    def _ask(self, path: str) -> Object:
        try:
            found: Object = processes.json_at(f"{self._url}/{path}", READ_TIMEOUT_S)
        except OSError as failed:
            raise MachineError(f"the cluster did not answer to {path}: {failed}") from None
        return found


def connect(context: str | None) -> Kubectl:
    """Takes the named kube context, or the current one if it does not look like production.

    Raises:
        UsageError: if there is none, or it looks like production and was not named.
        MachineError: if there is no kubectl.
    """
    found = shutil.which("kubectl")
    program = Path(found) if found else kustomize.find()
    current = processes.run(
        [str(program), "config", "current-context"], capture_output=True, text=True
    ).stdout.strip()
    if context is None and not current:
        raise UsageError("kubectl has no current context", "name one with --context, or use kind")
    if context is None and PRODUCTION.search(current):
        raise UsageError(
            f"the context {current!r} looks like production",
            f"a rehearsal ships a faulty release on purpose: if you mean it, --context {current}",
        )
    return Kubectl(program, context or current)
