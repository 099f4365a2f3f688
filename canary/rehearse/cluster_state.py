"""Kubernetes objects → what a target tells: the Rollout, its ReplicaSets and AnalysisRuns."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

from canary.argo import controller, routing
from canary.argo.events import Kind
from canary.argo.model import (
    NO_PODS,
    Analysis,
    AnalysisRun,
    Hashes,
    Measurement,
    MetricResult,
    Pause,
    Phase,
    Preview,
    ReplicaCounts,
    Rollout,
    Step,
    Switch,
)
from canary.argo.resolve import Fields
from canary.errors import UsageError
from canary.rehearse.config import SECRET, Cluster
from canary.rehearse.load import Second
from canary.rehearse.target import Event, Observation, remaining_s, stays
from canary.runtime.gateway import Counts

HASH_LABEL = "rollouts-pod-template-hash"
_NUMBER = re.compile(r"-?(\d+(\.\d+)?([eE][-+]?\d+)?|\+?Inf|NaN)")

Object = Mapping[str, Any]
NONE_KNOWN: Mapping[str, AnalysisRun] = MappingProxyType({})


@dataclass(frozen=True)
class State:
    """A namespace at one moment."""

    objects: Sequence[Object]
    rollout_name: str

    @property
    def rollout(self) -> Object:
        """The Rollout."""
        return next(self.of("Rollout"))

    @property
    def status(self) -> Mapping[str, Any]:
        """The Rollout's status."""
        found: Mapping[str, Any] = self.rollout.get("status", {})
        return found

    @property
    def addresses(self) -> dict[str, str]:
        """Pod address → pod-template hash."""
        return {
            pod["status"]["podIP"]: pod["metadata"].get("labels", {}).get(HASH_LABEL, "")
            for pod in self.of("Pod")
            if pod["status"].get("podIP")
        }

    def of(self, kind: str) -> Iterator[Object]:
        """The objects of a kind that belong to the Rollout."""
        for thing in self.objects:
            labels = thing["metadata"].get("labels", {})
            own = thing["metadata"]["name"] == self.rollout_name
            if thing["kind"] == kind and (own if kind == "Rollout" else HASH_LABEL in labels):
                yield thing

    def released(self, variable: str, value: str) -> str:
        """The pod-template hash of the ReplicaSet whose container has a variable of this value."""
        for thing in self.of("ReplicaSet"):
            containers = thing["spec"].get("template", {}).get("spec", {}).get("containers", [])
            env = [entry for container in containers for entry in container.get("env", [])]
            if any((e["name"], e.get("value")) == (variable, value) for e in env):
                return str(thing["metadata"]["labels"][HASH_LABEL])
        return ""

    def pods(self, hash_: str) -> list[Object]:
        """The pods of a ReplicaSet, those that are leaving included."""
        return [p for p in self.of("Pod") if p["metadata"]["labels"][HASH_LABEL] == hash_]

    def replica_counts(self, hash_: str) -> ReplicaCounts:
        """A ReplicaSet's counts; none if it is not there."""
        for thing in self.of("ReplicaSet"):
            if hash_ and thing["metadata"]["labels"][HASH_LABEL] == hash_:
                status = thing.get("status", {})
                return ReplicaCounts(
                    thing["spec"]["replicas"],
                    status.get("replicas", 0),
                    status.get("availableReplicas", 0),
                )
        return NO_PODS


def stable(rollout: Object, replicas: int) -> bool:
    """Whether a Rollout is Healthy with all of its pods, as the controller has seen it last."""
    status = rollout.get("status", {})
    healthy = status.get("phase") == "Healthy"
    return bool(_seen(rollout) and healthy and status.get("availableReplicas", 0) >= replicas)


def counted(
    so_far: Mapping[str, Counts], before: Mapping[str, Counts], found: Mapping[str, Counts]
) -> Mapping[str, Counts]:
    """All that was counted by address; a pod that is gone keeps its count.

    The gateway begins at nothing when a pod comes back, as stable's do after a blueGreen's abort.
    """
    totals = dict(so_far)
    for address, counts in found.items():
        last, total = before.get(address, Counts()), totals.get(address, Counts())
        fresh = counts.since(last) if counts.requests >= last.requests else counts
        totals[address] = total + fresh
    return totals


def returning(rollout: Object) -> bool:
    """Whether the controller is taking the Rollout from another release to this template."""
    status = rollout.get("status", {})
    last = status.get("stableRS") or status.get("currentPodHash")
    new = status.get("currentPodHash") != last
    return bool(new and _seen(rollout) and not status.get("promoteFull"))


def _seen(rollout: Object) -> bool:
    """Whether the status is about the newest specification, and not about the one before it."""
    observed = rollout.get("status", {}).get("observedGeneration", "")
    return str(observed) == str(rollout["metadata"]["generation"])


def observe(
    state: State,
    rollout: Rollout,
    hashes: Hashes,
    now: float,
    traffic: Mapping[str, Counts],
    seconds: tuple[Second, ...],
    events: tuple[Event, ...],
    known: Mapping[str, AnalysisRun] = NONE_KNOWN,
) -> Observation:
    """What the controllers' objects say at `now`, seconds since the release.

    `known` are the AnalysisRuns seen before: the controller deletes a release's oldest.
    """
    status = state.status
    released = bool(hashes.latest)
    stable, phase = status.get("stableRS"), status.get("phase")
    promoted = released and stable == hashes.latest and phase == "Healthy"
    aborted = released and bool(status.get("abort"))
    inconclusive = _paused_for(status, "InconclusiveAnalysisRun")
    timed_out = "ProgressDeadlineExceeded" in status.get("message", "") and not aborted
    found = {run.name: run for run in runs(state, rollout, hashes, now)} if released else {}
    done = tuple({**known, **found}.values())
    index = _step_index(status, rollout, hashes, done) if released else None
    unjudged = _unjudged(state, rollout, hashes, done, promoted, aborted, index) if released else ""
    waiting = unjudged and not (promoted or aborted)
    ended = _settled(state, rollout, hashes, promoted, aborted)
    return Observation(
        at_s=now,
        phase=str(status.get("phase", "Progressing")),
        message=str(status.get("message", "")),
        step_index=index,
        stable=state.replica_counts(hashes.stable),
        canary=state.replica_counts(hashes.latest),
        runs=done,
        stable_traffic=traffic["stable"],
        canary_traffic=traffic["canary"],
        seconds=seconds,
        events=events,
        weight=100 if promoted else _weight(status, rollout, hashes, index),
        step_remaining_s=_remaining(status, rollout, index),
        promoted=promoted,
        aborted=aborted,
        timed_out=released and timed_out,
        inconclusive=released and inconclusive,
        unjudged=unjudged,
        settled=released and bool(waiting or inconclusive or timed_out or ended),
    )


def act(kind: Kind, rollout: Object) -> Mapping[str, Any]:
    """The status by which a person's act is done, as `kubectl argo rollouts` v1.9.1 has it."""
    if kind is not Kind.PROMOTE:
        return {"abort": kind is Kind.ABORT}
    status = rollout.get("status", {})
    inconclusive = _paused_for(status, "InconclusiveAnalysisRun")
    blue_green = "canary" not in rollout["spec"]["strategy"]
    if blue_green or (status.get("pauseConditions") and not inconclusive):
        return {"pauseConditions": None}
    steps = rollout["spec"]["strategy"]["canary"].get("steps", [])
    following = min(status.get("currentStepIndex", 0) + 1, len(steps))
    passed = {"pauseConditions": None, "currentStepIndex": following}
    return {**passed, "controllerPause": False} if inconclusive else passed


def following(before: Observation, seen: Observation, longest_s: float) -> Observation:
    """What is seen of a release after `before`: its decision stays, and it does not last for ever.

    Whatever a person does to the Rollout after the decision belongs to another release.
    """
    other = bool(seen.unjudged) and not before.unjudged
    if before.decided and (other or not seen.decided):
        return replace(before, at_s=seen.at_s, settled=True, events=(), seconds=seen.seconds)
    if seen.settled or seen.at_s <= longest_s:
        return seen
    late = f"Not settled after {longest_s:.0f} s, unjudged: {seen.message or seen.phase}"
    return replace(seen, unjudged=seen.unjudged if seen.decided else late, settled=True)


def runs(state: State, rollout: Rollout, hashes: Hashes, now: float) -> Iterator[AnalysisRun]:
    """The release's AnalysisRuns in the order in which they were made."""
    found = [
        thing
        for thing in state.of("AnalysisRun")
        if thing["metadata"]["labels"][HASH_LABEL] == hashes.latest
    ]
    wall = datetime.now().astimezone()
    for thing in sorted(found, key=lambda t: str(t["metadata"]["creationTimestamp"])):
        yield _run(thing, rollout.steps, wall, now)


def secret_values(
    data: Mapping[str, str], stand_ins: Mapping[str, Mapping[str, str]], cluster: Cluster
) -> dict[str, str]:
    """The values that requests name: the Secret's key under each name that means it.

    Raises:
        UsageError: if the Secret, which somebody else has made, has none of the form that is known.
    """
    form = cluster.values[cluster.key]
    before, _, after = form.partition(SECRET)
    value = base64.b64decode(data.get(cluster.key, "")).decode()
    value = value.removeprefix(before).removesuffix(after)
    # It may be a key and nothing else, but no key with other words after it.
    if not value or (after and after[0] in value):
        raise UsageError(
            f"{cluster.key} of Secret {cluster.secret} is not of the form {form}, so the load has"
            " no key",
            "give it this form (cluster.values in rehearsal.yaml), or delete the Secret and let the"
            " rehearsal make it",
        )
    return {
        f"{name}.{field}": value
        for name, fields in stand_ins.items()
        for field, text in fields.items()
        if text == SECRET
    }


def _step_index(
    status: Mapping[str, Any], rollout: Rollout, hashes: Hashes, done: Sequence[AnalysisRun]
) -> int | None:
    """The step under way; of a blueGreen that one of those that `releases` made of its fields."""
    if not rollout.blue_green:
        index: int | None = status.get("currentStepIndex")
        return index
    if status.get("abort"):
        return 0
    if status.get("stableRS") == hashes.latest:
        return len(rollout.steps)
    switch = rollout.steps.index(Switch())
    if _active(status) == hashes.latest:
        return switch + 1
    if _paused_for(status, "BlueGreenPause"):
        return next(i for i, step in enumerate(rollout.steps) if isinstance(step, Pause))
    if status.get("blueGreen", {}).get("scaleUpPreviewCheckPoint"):
        return switch - isinstance(rollout.steps[switch - 1], Preview)
    before = {run.step_index: run.phase for run in done if run.step_index is not None}
    return next((i + (phase is Phase.SUCCESSFUL) for i, phase in before.items()), 0)


def _active(status: Mapping[str, Any]) -> str:
    """The pod-template hash that a blueGreen's active Service selects."""
    return str(status.get("blueGreen", {}).get("activeSelector", ""))


def _unjudged(
    state: State,
    rollout: Rollout,
    hashes: Hashes,
    done: Sequence[AnalysisRun],
    promoted: bool,
    aborted: bool,
    index: int | None,
) -> str:
    """What a person did, or has to do, that leaves the release unjudged; nothing if nobody did."""
    status = state.status
    latest = str(status.get("currentPodHash", ""))
    # The controller makes the ReplicaSet of a new template before it says so in the status.
    if not _seen(state.rollout):
        return ""
    if latest == hashes.stable:
        return controller.UNDONE_BY_HAND
    if latest != hashes.latest:
        return f"Replaced by another release ({latest}), unjudged"
    if promoted and (skipped := controller.skipped(rollout, done)):
        return controller.promoted_by_hand(skipped)
    if aborted and not any(run.phase in (Phase.FAILED, Phase.ERROR) for run in done):
        # What the controller aborts for stands behind the revision.
        words = str(status.get("message", "")).partition(" to revision ")[2]
        return "" if ": " in words else controller.ABORTED_BY_HAND
    paused = _paused_for(status, "CanaryPauseStep") or _paused_for(status, "BlueGreenPause")
    if paused and index is not None and rollout.steps[index] == Pause(None):
        return controller.needs_promotion(index)
    return ""


def _paused_for(status: Mapping[str, Any], reason: str) -> bool:
    return any(pause["reason"] == reason for pause in status.get("pauseConditions") or [])


def _settled(state: State, rollout: Rollout, hashes: Hashes, promoted: bool, aborted: bool) -> bool:
    """Promoted or aborted, with every leaving pod gone and the staying ones available."""
    if not (promoted or aborted):
        return False
    leaving, staying = hashes.latest, hashes.stable
    if promoted:
        leaving, staying = staying, leaving
    gone = stays(rollout, promoted=promoted) or not state.pods(leaving)
    wanted = state.rollout["spec"].get("replicas", rollout.replicas)
    return bool(gone and state.replica_counts(staying).available >= wanted)


def _weight(
    status: Mapping[str, Any], rollout: Rollout, hashes: Hashes, index: int | None
) -> int | None:
    """The canary's; without a router the controller writes none down, and the step says it."""
    if active := _active(status):
        return 100 * (active == hashes.latest)
    weights = (status.get("canary") or {}).get("weights") or {}
    found = (weights.get("canary") or {}).get("weight")
    if found is not None:
        return int(found)
    if status.get("abort"):
        return 0
    return None if index is None else routing.step_weight(rollout, index)


def _remaining(status: Mapping[str, Any], rollout: Rollout, index: int | None) -> float | None:
    """How long the present pause still lasts, by the controller's own clock."""
    began = [_instant(pause["startTime"]) for pause in status.get("pauseConditions") or []]
    now = datetime.now().astimezone()
    return remaining_s(rollout, index, (now - began[0]).total_seconds() if began else None)


def _run(thing: Object, steps: Sequence[Step], wall: datetime, now: float) -> AnalysisRun:
    status = thing.get("status", {})

    def at(text: str | None) -> float:
        return now - (wall - _instant(text)).total_seconds() if text else now

    values = {a["name"]: a.get("value", "") for a in thing["spec"].get("args", [])}
    results = {r["name"]: _result(r, at) for r in status.get("metricResults", [])}
    phase = Phase(status.get("phase") or "Pending")
    name, hash_ = thing["metadata"]["name"], thing["metadata"]["labels"][HASH_LABEL]
    # Argo's name is the Rollout's, the hash, the revision, and for a step its index or its place.
    # One that was made anew, after a retry, has a number behind a dot.
    _, _, index = name.rpartition(f"-{hash_}-")[2].partition(".")[0].partition("-")
    places = {
        controller.PLACES[step.place][0]: i
        for i, step in enumerate(steps)
        if isinstance(step, Analysis) and step.place
    }
    return AnalysisRun(
        name=name,
        step_index=int(index) if index.isdigit() else places.get(index),
        metrics=tuple(Fields(m, values).metric(m["name"]) for m in thing["spec"]["metrics"]),
        started_at=at(status.get("startedAt")),
        results=results,
        phase=phase,
        message=status.get("message", ""),
        terminate=bool(thing["spec"].get("terminate")),
        completed_at=at(status.get("completedAt")) if status.get("completedAt") else None,
    )


def _result(result: Mapping[str, Any], at: Any) -> MetricResult:
    kinds = ("count", "successful", "failed", "inconclusive", "error")
    return MetricResult(
        name=result["name"],
        phase=Phase(result.get("phase") or "Pending"),
        message=result.get("message", ""),
        measurements=tuple(_measurement(m, at) for m in result.get("measurements", [])),
        **{kind: result.get(kind, 0) for kind in kinds},
        consecutive_error=result.get("consecutiveError", 0),
        consecutive_success=result.get("consecutiveSuccess", 0),
        dry_run=result.get("dryRun", False),
    )


def _measurement(measurement: Mapping[str, Any], at: Any) -> Measurement:
    value = measurement.get("value", "")
    return Measurement(
        phase=Phase(measurement["phase"]),
        started_at=at(measurement.get("startedAt")),
        finished_at=at(measurement.get("finishedAt")),
        value=value,
        message=measurement.get("message", ""),
        number=first_sample(value),
    )


def first_sample(value: str) -> float | None:
    """The first sample of what Argo shows: "[0.03]", "0.03", "[NaN]", "[]"."""
    try:
        read = json.loads(value)
    except ValueError:
        found = _NUMBER.search(value)
        return float(found[0]) if found else None
    first = read[0] if isinstance(read, list) and read else read
    return float(first) if isinstance(first, int | float) else None


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
