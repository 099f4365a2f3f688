"""How a scenario ends as both controllers tell it, and ours: the pure one on its own clock."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml

from acceptance.conformance import blue_green, routed
from acceptance.conformance.scenarios import Act, Scenario
from acceptance.conformance.scripted import Reader
from canary.argo import analysis, controller, events, manifests
from canary.argo.controller import RolloutPhase, Status
from canary.argo.events import Kind
from canary.argo.model import (
    AnalysisRun,
    Hashes,
    ReplicaCounts,
    ReplicaSetName,
    Rollout,
)
from canary.rehearse import time_compression
from canary.runtime import documents
from canary.yamls import Document

BASE = Path(__file__).parents[2] / "deploy/base"
# Pauses of 4, 8 and 12 s: long enough to be seen, and to be acted in.
FACTOR = 15.0
DEADLINE_S = 25
TICK_S, TIMEOUT_S = 0.25, 400.0
# How many measurements of a metric the controller keeps, the latest.
KEPT = 10
# What a pod takes to be available; real ones of the pause image take about as long.
START_S = 2.0


@dataclass(frozen=True)
class Judged:
    """An AnalysisRun: where it belongs, how it ended, and each metric's measurements in order."""

    place: str
    phase: str
    measurements: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Outcome:
    """A release: its end, the (canary, stable) counts asked for at each pause, and its runs.

    Behind a router a pause has its weight as well, and `left` are the counts at the end. So has a
    blueGreen, which has counts while its analyses run, too.
    """

    phase: str
    aborted: bool
    counts: Mapping[int | str, tuple[int, ...]]
    runs: tuple[Judged, ...]
    left: tuple[int, ...] | None = None

    def __str__(self) -> str:
        ends = f"{self.phase}, aborted" if self.aborted else self.phase
        counts = ", ".join(_shown(self.counts[at]) for at in sorted(self.counts, key=str)) or "–"
        runs = ", ".join(f"{run.place} {run.phase}" for run in self.runs) or "–"
        left = f"; at the end {_shown(self.left)}" if self.left else ""
        return f"{ends}; canary + stable pods at each pause {counts}{left}; analyses {runs}"


def _shown(counts: tuple[int, ...]) -> str:
    canary, stable, *weight = counts
    return f"{canary} + {stable}" + (f" at weight {weight[0]}" if weight else "")


@cache
def _shipped() -> tuple[Document, ...]:
    return tuple(documents.read(BASE))


def objects(scenario: Scenario, prometheus: str, image: str) -> list[dict[str, Any]]:
    """The scenario's Rollout and gates: the shipped ones with other pods and shorter pauses."""
    shipped = [copy.deepcopy(found.body) for found in _shipped()]
    kinds = ("Rollout",) if scenario.strategy else ("Rollout", "AnalysisTemplate")
    chosen = [body for body in shipped if body["kind"] in kinds]
    time_compression.shorten(chosen, FACTOR)
    # The controller refuses an analysis whose dryRun names none of its metrics.
    tried = {b["metadata"]["name"] for b in chosen if scenario.dry_run in _metrics(b)}
    for body in chosen:
        body["metadata"] = {"name": body["metadata"]["name"], "namespace": namespace(scenario)}
        if body["kind"] == "Rollout":
            _adapt(body["spec"], scenario, image, tried)
        else:
            for argument in body["spec"]["args"]:
                if argument["name"] == "prometheus":
                    argument["value"] = f"{prometheus}/{scenario.name}"
    if scenario.canary:
        chosen += routed.objects(namespace(scenario))
    if scenario.blue_green:
        chosen += blue_green.objects(scenario, namespace(scenario), prometheus)
    return chosen


def namespace(scenario: Scenario) -> str:
    """Each scenario has one of its own."""
    return f"conformance-{scenario.name}"


def _metrics(body: dict[str, Any]) -> set[str]:
    return {metric["name"] for metric in body["spec"].get("metrics", [])}


def _adapt(spec: dict[str, Any], scenario: Scenario, image: str, tried: set[str]) -> None:
    spec["replicas"] = scenario.replicas
    # A slow node is not what is compared: only pods that never come may run into the deadline.
    spec["progressDeadlineSeconds"] = 600 if scenario.pods == "ready" else DEADLINE_S
    container = {"name": "gridos", "image": image, "env": [{"name": "RELEASE", "value": "1"}]}
    container["imagePullPolicy"] = "IfNotPresent"
    spec["template"]["spec"] = {"containers": [container], "terminationGracePeriodSeconds": 1}
    spec |= scenario.spec
    spec["strategy"] = copy.deepcopy(scenario.strategy) or spec["strategy"]
    canary = spec["strategy"].get("canary", {"steps": []})
    if scenario.manual_pause:
        canary["steps"][1] = {"pause": {}}
    for step in (*canary.get("steps", []), canary):
        if tried & {t["templateName"] for t in step.get("analysis", {}).get("templates", [])}:
            step["analysis"]["dryRun"] = [{"metricName": scenario.dry_run}]


def ours(scenario: Scenario, folder: Path) -> Outcome:
    """The rehearsal's controller through the scenario."""
    file = folder / f"{scenario.name}.yaml"
    file.write_text(yaml.safe_dump_all(objects(scenario, "http://scripted", "pause")))
    return _Run(scenario, manifests.rollout(manifests.read(documents.read(file)))).play()


class _Run:
    """Pods that become what the scenario says, and gates that read its script."""

    def __init__(self, scenario: Scenario, rollout: Rollout) -> None:
        self._scenario = scenario
        self._rollout = rollout
        self._acts = list(scenario.acts)
        self._reader = Reader(scenario.script)
        self._now = 0.0
        self._status = controller.begin(rollout, Hashes("latest", "stable"), 0.0)
        count = rollout.replicas
        # When each pod is ready, the oldest first.
        self._ready: dict[ReplicaSetName, list[float]] = {
            ReplicaSetName.LATEST: [],
            ReplicaSetName.STABLE: [-rollout.min_ready_s] * count,
            ReplicaSetName.OLD: [],
        }
        self._counts = {name: self._seen(name) for name in ReplicaSetName}
        self._at_pause: dict[int | str, tuple[int, ...]] = {}

    def play(self) -> Outcome:
        """Until nothing more happens."""
        quiet = 0
        while self._now < TIMEOUT_S and quiet < 4 / TICK_S:
            quiet = quiet + 1 if self._over() and not self._tick() else 0
            if not self._over():
                self._tick()
            self._now += TICK_S
        status = self._status
        return Outcome(
            phase=str(status.phase),
            aborted=bool(status.abort_message),
            counts=self._at_pause,
            runs=tuple(sorted(map(_judged, status.runs), key=lambda run: run.place)),
            left=self._left() if self._scenario.strategy else None,
        )

    def _left(self) -> tuple[int, ...]:
        canary, stable = (self._counts[n].desired for n in list(ReplicaSetName)[:2])
        return (
            (canary, stable, self._status.weight) if self._rollout.blue_green else (canary, stable)
        )

    def _over(self) -> bool:
        status = self._status
        waiting = status.paused_inconclusive and not self._acts
        undone = status.undone and status.phase is RolloutPhase.HEALTHY
        aborted = status.abort_message and not self._acts
        return bool(status.promoted or aborted or status.timed_out or undone or waiting)

    def _tick(self) -> bool:
        """One reconcile and what follows; whether anything was scaled."""
        self._measure()
        latest, stable, old = (self._counts[n] for n in ReplicaSetName)
        status, scales = controller.reconcile(
            self._rollout, self._status, latest, stable, self._now, old
        )
        self._status = status
        for scale in scales:
            kept = self._ready[scale.replica_set][: scale.replicas]
            fresh = [self._now + START_S] * (scale.replicas - len(kept))
            self._ready[scale.replica_set] = kept + fresh
        self._counts = {name: self._seen(name) for name in ReplicaSetName}
        for at in _places(self._rollout, status):
            weight = (status.weight,) if self._scenario.strategy else ()
            self._at_pause[at] = (latest.desired, stable.desired, *weight)
            if at == self._scenario.turns_at_pause:
                self._reader.turn()
        self._act()
        return bool(scales)

    def _seen(self, name: ReplicaSetName) -> ReplicaCounts:
        broken = name is ReplicaSetName.LATEST and self._scenario.pods != "ready"
        ready = self._ready[name]
        settled = self._now - self._rollout.min_ready_s
        available = 0 if broken else sum(at <= settled for at in ready)
        return ReplicaCounts(len(ready), len(ready), available)

    def _measure(self) -> None:
        for run in (self._status.step_run, self._status.background_run):
            if run is None:
                continue
            due = analysis.due(run, self._now)
            taken = {metric.name: self._reader.measure(metric, self._now) for metric in due}
            if taken:
                self._status = controller.record_measurements(
                    self._status, run.name, taken, self._now
                )

    def _act(self) -> None:
        if not self._acts or not _reached(self._acts[0], self._rollout, self._status):
            return
        event = self._acts.pop(0).event
        latest, old = ReplicaSetName.LATEST, ReplicaSetName.OLD
        match event.kind:
            case Kind.REPLICAS:
                self._rollout = replace(self._rollout, replicas=int(event.number))
            case Kind.LOSE:
                ready = self._ready[latest]
                kept = ready[int(min(event.number, len(ready))) :]
                fresh = [self._now + START_S] * (len(ready) - len(kept))
                self._ready[latest] = kept + fresh
            case Kind.RELEASE:
                self._status = controller.supersede(self._status, "second", self._now)
                self._ready |= {old: self._ready[latest], latest: []}
            case _:
                self._status = events.act(self._rollout, self._status, event, self._now)
        self._counts = {name: self._seen(name) for name in ReplicaSetName}


def _places(rollout: Rollout, status: Status) -> Iterator[int | str]:
    """The places of the release where its counts are compared, if it is at one."""
    if status.pause_started_at is not None and not status.abort_message:
        yield blue_green.AT_PAUSE if rollout.blue_green else status.step_index
    run = status.step_run
    if rollout.blue_green and run and run.results and not run.phase.completed:
        yield place(run.name, run.step_index)


def _reached(act: Act, rollout: Rollout, status: Status) -> bool:
    if act.at_phase == "Degraded":
        return bool(status.abort_message)
    if act.at_phase in (blue_green.AT_PAUSE, blue_green.AT_POST):
        return act.at_phase.removeprefix("Running-") in _places(rollout, status)
    if act.at_phase:
        return status.paused_inconclusive
    return status.step_index == act.at_step and status.pause_started_at is not None


def place(name: str, step_index: object) -> str:
    """Where an AnalysisRun belongs; that of a blueGreen is the last word of its name."""
    word = name.partition(".")[0].rpartition("-")[2]
    if word in blue_green.ANALYSES:
        return word
    return "background" if step_index is None else f"step {step_index}"


def _judged(run: AnalysisRun) -> Judged:
    taken = {n: tuple(str(m.phase) for m in r.measurements) for n, r in run.results.items()}
    return Judged(place(run.name, run.step_index), str(run.phase), taken)


def differences(mine: Outcome, real: Outcome) -> Iterator[str]:
    """Where two outcomes differ.

    A background run's measurements are compared without their number: that depends on how long pods
    take to come up. So are those of a blueGreen's analysis, which a person may end. Of more than
    ten the controller keeps the last ten.
    """
    for field in ("phase", "aborted", "counts", "left"):
        a, b = getattr(mine, field), getattr(real, field)
        if a != b:
            yield f"{field}: ours {a}, real {b}"
    a, b = _comparable(mine.runs), _comparable(real.runs)
    if a != b:
        yield f"runs: ours {a}, real {b}"


def _comparable(runs: Sequence[Judged]) -> list[tuple[str, str, dict[str, tuple[str, ...]]]]:
    return sorted(
        (
            run.place,
            run.phase,
            {
                name: taken[-KEPT:]
                if run.place.startswith("step")
                else tuple(phase for phase, _ in groupby(taken[-KEPT:]))
                for name, taken in sorted(run.measurements.items())
            },
        )
        for run in runs
        if run.measurements
    )
