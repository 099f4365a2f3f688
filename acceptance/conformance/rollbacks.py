"""Rollback paths 2 and 3 on a real cluster: from the decision to the last bad response, in seconds.

A release is in front of every user, under load: a bad one (promoted past its gates on purpose, the
worst case), or a healthy one, of which no request may fail. Path 2 reverts the commit; path 3
pauses Argo CD's sync, undoes, reverts, and resumes.
"""

from __future__ import annotations

import base64
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from acceptance.client import ask
from acceptance.cluster import ROOT
from acceptance.git import begin, commit, git
from canary.errors import MachineError
from canary.rehearse import cluster_state
from canary.rehearse import config as configuration
from canary.rehearse.load import Load
from canary.runtime import processes
from canary.runtime.kubectl import Kubectl, Watch
from canary.runtime.waiting import wait_until

NAMESPACE, APPLICATION = "gridos", "gridos"
FAULTS = "GRIDOS_FAULTS"
RATE = 40.0
READY_S, BAD_S, QUIET_S = 300, 180, 15
SETTLED_S = 90
POLL_S = 0.25
# What the gateway counted by status: a fault's own are 500s.
STATS = ":9901/stats?format=json&filter=cluster.gridos.upstream_rq_5%5Cd%5Cd$"
OWN = "cluster.gridos.upstream_rq_500"


@dataclass(frozen=True)
class Measured:
    """One way back: seconds from the decision to the last bad response, and until all is well.

    Of the users' requests since the decision `failed` did, lost ones too. `not_its_own` failed
    otherwise than by the bad release: lost, or refused by the gateway. `failed_after` failed when
    all should have been well.
    """

    path: str
    last_bad_s: float
    healthy_s: float
    requests: int
    failed: int
    not_its_own: int
    failed_after: int

    @property
    def well(self) -> bool:
        """Whether users met nothing but the bad release."""
        return not (self.not_its_own or self.failed_after)

    def __str__(self) -> str:
        told = (
            f"{self.path}: {self.failed} failed of {self.requests} requests, "
            f"Healthy after {self.healthy_s:.1f} s"
        )
        if self.failed == 0:
            return told
        return (
            f"{told}, last bad response after {self.last_bad_s:.1f} s; {self.not_its_own} failed "
            f"but not by the release, {self.failed_after} afterwards"
        )


@dataclass
class Service:
    """The service on the cluster, at its gateway's address and with its key, and its users."""

    kubectl: Kubectl
    folder: Path
    url: str = ""
    key: str = ""
    _load: Load | None = None
    _opened: Watch | None = None

    def begin(self) -> None:
        """Lets users in."""
        secret = self.kubectl.one(NAMESPACE, "secret", "gridos")["data"]["api-keys"]
        self.key = base64.b64decode(secret).decode()
        address = self.kubectl.one(NAMESPACE, "service", "gateway")["spec"]["clusterIP"]
        self.url = f"http://{address}"
        self._start_load()

    def end(self) -> None:
        """Sends them away."""
        if self._load is not None:
            self._load.stop()
        if self._opened is not None:
            self._opened.close()

    def undo(self) -> Measured:
        """Path 3, where no Argo CD takes it back."""
        return self._measure("undo", lambda: self._argo("undo"))

    # ----------------------------------------------------------------------------------- details

    def _start_load(self) -> None:
        file = ROOT / "loadtest/rehearsal.yaml"
        read = configuration.read(file)
        self._load = Load(
            folder=self.folder / "load",
            config=file,
            traffic=read.traffic,
            rate=RATE,
            values=dict.fromkeys(_secret_names(read.secrets), self.key),
        )
        self._load.start(self.url)
        self._await("load", lambda: len(self._seconds()) > 0, BAD_S)

    @property
    def _watch(self) -> Watch:
        if self._opened is None:
            self._opened = Watch(self.kubectl, self.folder / "kubectl-proxy.log")
        return self._opened

    def rollout(self) -> dict[str, Any]:
        """The Rollout as it stands."""
        return self._watch.one(NAMESPACE, "rollouts", "gridos")

    def _healthy(self) -> bool:
        return cluster_state.stable(self.rollout(), 1)

    def _argo(self, verb: str, *flags: str) -> None:
        command = ["kubectl-argo-rollouts", verb, "gridos", "-n", NAMESPACE, *flags]
        processes.run(
            [*command, "--context", self.kubectl.context], check=True, capture_output=True
        )

    def _measure(self, path: str, decide: Callable[[], None]) -> Measured:
        """Goes a way back, and tells what users met from the decision until all was quiet."""
        before = self._shipped()
        stray, decided = self._stray(), time.time()
        decide()
        self._await("the rollback", lambda: self._shipped() != before and self._healthy(), READY_S)
        healthy = time.time()
        time.sleep(QUIET_S)
        # A second is told at its end.
        seconds = [s for s in self._seconds() if s.at >= decided]
        last = max((s.at for s in seconds if s.failed or s.lost), default=decided)
        return Measured(
            path=path,
            last_bad_s=round(last - decided, 1),
            healthy_s=round(healthy - decided, 1),
            requests=sum(s.requests for s in seconds),
            failed=sum(s.failed + s.lost for s in seconds),
            not_its_own=self._stray() - stray + sum(s.lost for s in seconds),
            failed_after=sum(s.failed + s.lost for s in seconds if s.at > healthy + 1),
        )

    def _shipped(self) -> str:
        """The hash of the release that is asked for."""
        return str(self.rollout()["status"]["currentPodHash"])

    def _failed_since(self, instant: float) -> int:
        return sum(s.failed for s in self._seconds() if s.at >= instant)

    def _seconds(self) -> list[Any]:
        assert self._load is not None
        self._load.read()
        return self._load.seconds

    def _stray(self) -> int:
        """5xx that the gateway counted and no fault of ours made."""
        stats = json.loads(ask(self.url + STATS).text)["stats"]
        return sum(s["value"] for s in stats if s.get("name", OWN) != OWN)

    def _await(self, what: str, condition: Callable[[], bool], timeout_s: float) -> None:
        if not wait_until(condition, timeout_s=timeout_s, every_s=POLL_S):
            raise MachineError(f"{what} did not come within {timeout_s:.0f} s")


@dataclass
class Loop(Service):
    """A git remote, and an Argo CD Application that follows it, around the service."""

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
        begin(self.checkout, "Ship the service")
        git(self.checkout, "clone", "--quiet", "--bare", ".", str(self.remote))
        git(self.checkout, "remote", "add", "origin", str(self.remote))
        self.kubectl.apply(json.dumps(self._application()))
        self._await("the first sync", self._synced_and_healthy, READY_S)
        super().begin()

    def end(self) -> None:
        """Takes the Application away, its objects left where they are, and sends users away."""
        super().end()
        self.kubectl.run("delete", "application", APPLICATION, "-n", "argocd", "--ignore-not-found")

    def break_it(self, fault: str) -> None:
        """Ships a bad release and promotes it past its gates: every user meets it.

        A fault of its own each time: one that was shipped before would come back by the rollback
        window, without a step to be promoted from.
        """
        self._ship(FAULTS, fault)
        self._await_bad()

    def renew(self, name: str) -> None:
        """Ships a good release of a name that no other had, and promotes it.

        The rollback window counts every ReplicaSet since then, those of aborted releases too.
        After as many as have come before, a revert would outcome the steps.
        """
        self._ship("SHIPPED", name)
        self._await("its promotion", self._healthy, READY_S)

    def revert(self) -> Measured:
        """Path 2: `git revert`, and Argo CD does the rest."""

        def decide() -> None:
            git(self.checkout, "revert", "--no-edit", "HEAD")
            self._push()

        return self._measure("git revert", decide)

    def undo(self) -> Measured:
        """Path 3: pause the sync, undo at once, then make Git say the same and resume."""

        def decide() -> None:
            self._automated(None)
            self._argo("undo")

        measured = self._measure("undo, sync paused", decide)
        git(self.checkout, "revert", "--no-edit", "HEAD")
        self._push()
        self._automated({"prune": True, "selfHeal": True})
        self._await("the sync after the undo", self._synced_and_healthy, READY_S)
        return measured

    def undo_without_pausing(self) -> float | None:
        """What self-heal does to an undo: seconds until the bad release is asked for again."""
        self._argo("undo")
        began = time.monotonic()
        if not wait_until(self._is_bad, timeout_s=SETTLED_S, every_s=POLL_S):
            return None
        taken_back_s = time.monotonic() - began
        self._await_bad()
        return taken_back_s

    # ----------------------------------------------------------------------------------- details

    def _ship(self, name: str, value: str) -> None:
        """Commits a release with one variable more, and promotes it past its gates."""
        rollout = self.checkout / "deploy/base/rollout.yaml"
        marker = "          env:\n"
        more = f"{marker}            - name: {name}\n              value: {value}\n"
        rollout.write_text(rollout.read_text().replace(marker, more, 1))
        commit(self.checkout, f"Ship {name}={value}")
        self._push()
        self._await("the release", lambda: self._sets(name) and self._stepping(), BAD_S)
        self._argo("promote", "--full")

    def _await_bad(self) -> None:
        """Waits until every user meets the bad release."""
        self._await("its promotion", lambda: self._is_bad() and self._healthy(), READY_S)
        self._await("bad responses", lambda: self._failed_since(time.time() - 2) > 0, BAD_S)

    def _application(self) -> dict[str, Any]:
        """The shipped Application, on main of our remote and the overlay that needs no Azure."""
        text = (ROOT / "deploy/argocd/application-dev.yaml").read_text(encoding="utf-8")
        body: dict[str, Any] = yaml.safe_load(text)
        body["spec"]["source"] |= {
            "repoURL": f"file://{self.remote}",
            "targetRevision": "main",
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

    def _is_bad(self) -> bool:
        return self._sets(FAULTS)

    def _sets(self, name: str) -> bool:
        container = self.rollout()["spec"]["template"]["spec"]["containers"][0]
        return any(entry["name"] == name for entry in container["env"])

    def _stepping(self) -> bool:
        status = self.rollout()["status"]
        moving = status["currentPodHash"] != status.get("stableRS")
        return moving and status.get("currentStepIndex") is not None

    def _synced_and_healthy(self) -> bool:
        application = self._watch.one("argocd", "applications", APPLICATION)
        synced = application.get("status", {}).get("sync", {}).get("status") == "Synced"
        return synced and self._healthy() and not self._is_bad()

    def _push(self) -> None:
        git(self.checkout, "push", "--quiet", "origin", "main")


def _secret_names(secrets: Any) -> list[str]:
    return [
        f"{name}.{key}"
        for name, keys in secrets.items()
        for key, text in keys.items()
        if text == "{secret}"
    ]
