"""Rollback paths 2 and 3 on a real Argo CD: from the decision to the last bad response, in seconds.

A bad release is in front of every user (promoted past its gates on purpose, the worst case), under
load. Path 2 reverts the commit; path 3 pauses Argo CD's sync, undoes, reverts, and resumes.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from rehearsal import config as configuration
from rehearsal import observing
from rehearsal.errors import MachineError
from rehearsal.kubectl import Kubectl
from rehearsal.load import Load
from rehearsal.waiting import wait_until

ROOT = Path(__file__).parents[2]
NAMESPACE, APPLICATION = "gridos", "gridos"
RATE = 40.0
READY_S, BAD_S, QUIET_S = 240, 120, 15
SETTLED_S = 90


@dataclass(frozen=True)
class Measured:
    """One path: seconds from the decision to the last bad response, and until all is well."""

    path: str
    last_bad_s: float
    healthy_s: float
    failed_after: int


@dataclass
class Loop:
    """A git remote, an Application that follows it, and users."""

    kubectl: Kubectl
    folder: Path
    url: str
    key: str
    _load: Load | None = None
    _commits: list[str] = field(default_factory=list)

    @property
    def remote(self) -> Path:
        """The bare repository."""
        return self.folder / "remote.git"

    @property
    def checkout(self) -> Path:
        """Where a person works."""
        return self.folder / "work"

    def begin(self) -> None:
        """Makes the repository and the Application, and waits until Argo CD has taken it over."""
        shutil.copytree(ROOT / "deploy", self.checkout / "deploy")
        self._git("init", "--quiet", "--initial-branch", "main")
        self._commit("Ship the service")
        subprocess.run(
            ["git", "clone", "--quiet", "--bare", str(self.checkout), str(self.remote)], check=True
        )
        self._git("remote", "add", "origin", str(self.remote))
        self.kubectl.apply(json.dumps(self._application()))
        self._await("the first sync", self._synced_and_healthy, READY_S)
        self._start_load()

    def end(self) -> None:
        """Stops the users and takes the Application away, its objects left where they are."""
        if self._load is not None:
            self._load.stop()
        self.kubectl.run("delete", "application", APPLICATION, "-n", "argocd")

    def break_it(self, fault: str) -> None:
        """Ships a bad release and promotes it past its gates: every user meets it.

        A fault of its own each time: one that was shipped before would come back by the rollback
        window, without a step to be promoted from.
        """
        rollout = self.checkout / "deploy/base/rollout.yaml"
        text = rollout.read_text()
        marker = "          env:\n"
        bad = f"{marker}            - name: GRIDOS_FAULTS\n              value: {fault}\n"
        rollout.write_text(text.replace(marker, bad, 1))
        self._commit("Ship a bad release")
        self._push()
        self._await("the bad release", lambda: self._index() is not None and self._is_bad(), BAD_S)
        self._argo("promote", "--full")
        self._await("its promotion", self._healthy, READY_S)
        self._await("bad responses", lambda: self._failed_since(time.time() - 2) > 0, BAD_S)

    def revert(self) -> Measured:
        """Path 2: `git revert`, and Argo CD does the rest."""
        decided = time.time()
        self._git("revert", "--no-edit", "HEAD")
        self._push()
        return self._measure("git revert", decided)

    def undo(self) -> Measured:
        """Path 3: pause the sync, undo at once, then make Git say the same and resume."""
        decided = time.time()
        self._automated(None)
        self._argo("undo")
        measured = self._measure("undo, sync paused", decided)
        self._git("revert", "--no-edit", "HEAD")
        self._push()
        self._automated({"prune": True, "selfHeal": True})
        self._await("the sync after the undo", self._synced_and_healthy, READY_S)
        return measured

    def undo_without_pausing(self) -> float | None:
        """What self-heal does to an undo: seconds until the bad release is asked for again."""
        self._argo("undo")
        began = time.monotonic()
        back = wait_until(self._is_bad, timeout_s=SETTLED_S)
        return time.monotonic() - began if back else None

    # ----------------------------------------------------------------------------------- details

    def _measure(self, path: str, decided: float) -> Measured:
        self._await("the way back", lambda: not self._is_bad() and self._healthy(), READY_S)
        healthy = time.time()
        time.sleep(QUIET_S)
        seconds = self._seconds()
        bad = [s for s in seconds if s.at >= decided - 1 and (s.failed or s.lost)]
        last = max((s.at + 1 for s in bad), default=decided)
        after = sum(s.failed + s.lost for s in seconds if s.at > healthy + 1)
        return Measured(path, last - decided, healthy - decided, after)

    def _application(self) -> dict[str, Any]:
        """The shipped Application, at our repository and on the overlay that needs no Azure."""
        text = (ROOT / "deploy/argocd/application-dev.yaml").read_text(encoding="utf-8")
        body: dict[str, Any] = yaml.safe_load(text)
        body["spec"]["source"] |= {
            "repoURL": f"file://{self.remote}",
            "path": "deploy/overlays/local",
        }
        # The local overlay brings what a platform has: its own project would refuse that.
        body["spec"]["project"] = "default"
        return body

    def _automated(self, policy: dict[str, Any] | None) -> None:
        """What `argocd app set gridos --sync-policy …` does."""
        patch = json.dumps({"spec": {"syncPolicy": {"automated": policy}}})
        self.kubectl.run(
            "patch", "application", APPLICATION, "-n", "argocd", "--type", "merge", "-p", patch
        )

    def _argo(self, verb: str, *flags: str) -> None:
        command = ["kubectl-argo-rollouts", verb, "gridos", "-n", NAMESPACE, *flags]
        subprocess.run(
            [*command, "--context", self.kubectl.context], check=True, capture_output=True
        )

    def _rollout(self) -> dict[str, Any]:
        return self.kubectl.one(NAMESPACE, "rollout", "gridos")

    def _is_bad(self) -> bool:
        container = self._rollout()["spec"]["template"]["spec"]["containers"][0]
        return any(entry["name"] == "GRIDOS_FAULTS" for entry in container["env"])

    def _index(self) -> int | None:
        status = self._rollout()["status"]
        moving = status["currentPodHash"] != status.get("stableRS")
        return status.get("currentStepIndex") if moving else None

    def _healthy(self) -> bool:
        return observing.stable(self._rollout(), 1)

    def _synced_and_healthy(self) -> bool:
        status = self.kubectl.one("argocd", "application", APPLICATION).get("status", {})
        synced = status.get("sync", {}).get("status") == "Synced"
        return synced and self._healthy() and not self._is_bad()

    def _start_load(self) -> None:
        file = ROOT / "loadtest/rehearsal.yaml"
        read = configuration.read(file)
        self._load = Load(
            folder=self.folder / "load",
            locustfile=file.with_name("locustfile.py"),
            config=file,
            traffic=read.traffic,
            rate=RATE,
            values=dict.fromkeys(_secret_names(read.secrets), self.key),
        )
        self._load.start(self.url)
        self._await("load", lambda: len(self._seconds()) > 0, BAD_S)

    def _seconds(self) -> list[Any]:
        assert self._load is not None  # noqa: S101 — `begin` comes first
        self._load.read()
        return self._load.seconds

    def _failed_since(self, instant: float) -> int:
        return sum(s.failed for s in self._seconds() if s.at >= instant)

    def _commit(self, message: str) -> None:
        self._git("add", "-A")
        identity = ["-c", "user.name=on call", "-c", "user.email=on-call@example.com"]
        self._git(*identity, "commit", "--quiet", "-m", message)

    def _push(self) -> None:
        self._git("push", "--quiet", "origin", "main")

    def _git(self, *arguments: str) -> None:
        identity = ["-c", "user.name=on call", "-c", "user.email=on-call@example.com"]
        subprocess.run(
            ["git", *identity, *arguments], cwd=self.checkout, check=True, capture_output=True
        )

    def _await(self, what: str, condition: Callable[[], bool], timeout_s: float) -> None:
        if not wait_until(condition, timeout_s=timeout_s):
            raise MachineError(f"{what} did not come within {timeout_s:.0f} s")


def _secret_names(secrets: Any) -> list[str]:
    return [
        f"{name}.{key}"
        for name, keys in secrets.items()
        for key, text in keys.items()
        if text == "{secret}"
    ]
