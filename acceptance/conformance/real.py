"""The real controller's outcome through a scenario, followed on a cluster that is up."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from acceptance.conformance import blue_green, outcomes
from acceptance.conformance.outcomes import Judged, Outcome
from acceptance.conformance.scenarios import Act, Scenario
from acceptance.conformance.scripted import Scripted
from canary.argo.events import Kind
from canary.argo.model import Phase
from canary.errors import MachineError
from canary.rehearse.cluster_state import HASH_LABEL, State, stable
from canary.runtime import processes
from canary.runtime.kubectl import Kubectl, Watch

POLL_S = 0.5
READY_TIMEOUT_S = 150.0
TIMEOUT_S = 240.0
# How long a release must have been still before it is over.
QUIET_S = 5.0
# Where a person's act is not the command of its name.
COMMANDS = {
    Kind.PROMOTE_FULL: ["promote", "gridos", "--full"],
    Kind.RETRY: ["retry", "rollout", "gridos"],
}
PLACE = "/spec/template/spec/containers/0"

# What makes a candidate's pods what the scenario says: what its container has besides.
BROKEN: Mapping[str, dict[str, Any]] = {
    "ready": {},
    "never-ready": {"readinessProbe": {"tcpSocket": {"port": 1}, "periodSeconds": 1}},
    # The pause image says its version and ends.
    "crashing": {"args": ["-v"]},
}


@dataclass
class Follower:
    """One scenario on the cluster, from its stable release to where nothing more happens."""

    kubectl: Kubectl
    watch: Watch
    scenario: Scenario
    prometheus: Scripted
    image: str
    first_hash: str = ""
    hashes: list[str] = field(default_factory=list)
    _at_pause: dict[int | str, tuple[int, ...]] = field(default_factory=dict)
    _acts: list[Act] = field(default_factory=list)
    # The controller deletes the oldest of many.
    _runs: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _still_since: float = 0.0
    _seen: str = ""

    def follow(self) -> Outcome:
        """Releases, follows and tells.

        Raises:
            MachineError: if the stable release does not come up, or the outcome does not end.
        """
        self.kubectl.run("create", "namespace", self._namespace)
        try:
            made = outcomes.objects(self.scenario, self.prometheus.url, self.image)
            self.kubectl.apply(yaml.safe_dump_all(made))
            self._await_stable()
            self._acts = list(self.scenario.acts)
            self._release("2", BROKEN[self.scenario.pods])
            return self._follow()
        finally:
            self.kubectl.run("delete", "namespace", self._namespace, "--wait=false")

    @property
    def _namespace(self) -> str:
        return outcomes.namespace(self.scenario)

    def _await_stable(self) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not stable(rollout := self._rollout(), self.scenario.replicas):
            if time.monotonic() > deadline:
                raise MachineError(f"{self.scenario.name}: the stable release is not ready")
            time.sleep(POLL_S)
        self.first_hash = rollout["status"]["stableRS"]

    def _rollout(self) -> dict[str, Any]:
        return self.watch.one(self._namespace, "rollouts", "gridos")

    def _release(self, release: str, more: Mapping[str, Any]) -> None:
        changes = {"env/0/value": release, **more}
        # What is there is replaced by this, too.
        patch = [{"op": "add", "path": f"{PLACE}/{w}", "value": v} for w, v in changes.items()]
        self.kubectl.patch(self._namespace, "rollout", "gridos", patch)

    def _follow(self) -> Outcome:
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            time.sleep(POLL_S)
            kinds = ["rollouts", "replicasets", "analysisruns"]
            state = State(self.watch.get(self._namespace, kinds), "gridos")
            self._note(state)
            if self._over(state):
                return self._told(state)
        raise MachineError(f"{self.scenario.name}: no end within {TIMEOUT_S:.0f} s")

    def _note(self, state: State) -> None:
        status = state.status
        latest = str(status.get("currentPodHash", ""))
        if latest and latest != self.first_hash and latest not in self.hashes:
            self.hashes.append(latest)
        self._runs |= {run["metadata"]["name"]: run for run in state.of("AnalysisRun")}
        places = list(_places(state))
        for place in places:
            self._at_pause[place] = (*self._desired(state, latest), *self._weight(status))
            if place == self.scenario.turns_at_pause:
                self.prometheus.turn(self.scenario.name)
        if self._acts and _reached(self._acts[0], status, places):
            self._act(self._acts.pop(0))

    def _desired(self, state: State, latest: str) -> tuple[int, ...]:
        return tuple(state.replica_counts(h).desired for h in (latest, self.first_hash))

    def _weight(self, status: Mapping[str, Any]) -> tuple[int, ...]:
        """The canary's, where it goes apart from the pods."""
        if self.scenario.blue_green:
            return (100 * (status["blueGreen"]["activeSelector"] != self.first_hash),)
        weights = status.get("canary", {}).get("weights", {})
        return (weights["canary"]["weight"],) if self.scenario.canary else ()

    def _act(self, act: Act) -> None:
        event, inside = act.event, ["-n", self._namespace]
        match event.kind:
            case Kind.REPLICAS:
                change = {"op": "replace", "path": "/spec/replicas", "value": int(event.number)}
                self.kubectl.patch(self._namespace, "rollout", "gridos", [change])
            case Kind.RELEASE:
                self._release("3", {})
            case Kind.LOSE:
                pods = self.watch.get(self._namespace, ["pods"])
                names = [
                    pod["metadata"]["name"]
                    for pod in pods
                    if pod["metadata"]["labels"][HASH_LABEL] == self.hashes[-1]
                ]
                lost = names[: int(min(event.number, len(names)))]
                self.kubectl.run("delete", "pod", *lost, *inside, "--force", "--wait=false")
            case kind:
                words = COMMANDS.get(kind, [str(kind), "gridos"])
                command = ["kubectl-argo-rollouts", *words, *inside]
                command += ["--context", self.kubectl.context]
                processes.run(command, check=True, capture_output=True, timeout=30)

    def _over(self, state: State) -> bool:
        """Whether the release has come to an end, and has been still for a while."""
        status = state.status
        picture = json.dumps(
            [
                status.get("phase"),
                status.get("message"),
                [
                    (t["spec"]["replicas"], t.get("status", {}).get("availableReplicas"))
                    for t in state.of("ReplicaSet")
                ],
            ]
        )
        if picture != self._seen:
            self._seen, self._still_since = picture, time.monotonic()
        ended = status.get("phase") in ("Healthy", "Degraded") or (
            _inconclusive(status) and not self._acts
        )
        still = time.monotonic() - self._still_since > QUIET_S
        return bool(self.hashes and ended and not self._acts and still)

    def _told(self, state: State) -> Outcome:
        latest = self.hashes[-1]
        runs = [
            _judged(thing)
            for thing in self._runs.values()
            if thing["metadata"]["labels"][HASH_LABEL] == latest
        ]
        left = self._desired(state, latest) if self.scenario.strategy else None
        if left and self.scenario.blue_green:
            left += self._weight(state.status)
        return Outcome(
            phase=str(state.status["phase"]),
            aborted=bool(state.status.get("abort")),
            counts=dict(self._at_pause),
            runs=tuple(sorted(runs, key=lambda run: run.place)),
            left=left,
        )


def _places(state: State) -> Iterator[int | str]:
    """The places of the release where its counts are compared, if it is at one."""
    status = state.status
    pauses = [condition["reason"] for condition in status.get("pauseConditions") or []]
    if "CanaryPauseStep" in pauses[:1] and not status.get("abort"):
        yield int(status["currentStepIndex"])
    if blue_green.AT_PAUSE in pauses[:1] and not status.get("abort"):
        yield blue_green.AT_PAUSE
    yield from (_place(run) for run in state.of("AnalysisRun") if _runs_apart(run))


def _runs_apart(run: Mapping[str, Any]) -> bool:
    """Whether it is a blueGreen's that measures."""
    status = run.get("status", {})
    ended = Phase(status.get("phase") or "Pending").completed
    return _place(run) in blue_green.ANALYSES and "metricResults" in status and not ended


def _reached(act: Act, status: Mapping[str, Any], places: Sequence[int | str]) -> bool:
    if act.at_phase == "Paused-Inconclusive":
        return _inconclusive(status)
    if act.at_phase == "Degraded":
        return status.get("phase") == "Degraded"
    wanted = act.at_phase.removeprefix("Running-") if act.at_step is None else act.at_step
    return wanted in places


def _inconclusive(status: Mapping[str, Any]) -> bool:
    conditions = status.get("pauseConditions") or []
    return any(condition["reason"] == "InconclusiveAnalysisRun" for condition in conditions)


def _place(thing: Mapping[str, Any]) -> str:
    about = thing["metadata"]
    return outcomes.place(about["name"], about["labels"].get("step-index"))


def _judged(thing: Mapping[str, Any]) -> Judged:
    status = thing.get("status", {})
    taken = {
        result["name"]: tuple(m["phase"] for m in result.get("measurements", []))
        for result in status.get("metricResults", [])
    }
    return Judged(_place(thing), status.get("phase", ""), taken)
