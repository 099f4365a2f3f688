"""The record of a rehearsal as `result.json`, whose fields docs/reference/result.md explains.

The types are what is written and read; `build` makes them of what was seen.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, Field

from canary.argo import model, routing, threshold
from canary.argo.model import Analysis, Metric, Pause, SetCanaryScale, SetWeight
from canary.argo.replicas import split
from canary.rehearse import time_compression, timeline, units, verdict
from canary.rehearse.evidence import Evidence, Part
from canary.rehearse.plan import Build, Plan
from canary.rehearse.runner import Run
from canary.rehearse.target import Observation, Target
from canary.rehearse.timeline import Timeline
from canary.rehearse.verdict import Decision

SCHEMA = "canary.rehearsal/v1"


class Side(Part):
    """One of the two releases."""

    hash: str
    replica_set: str
    reference: str = ""
    commit: str = ""


class Release(Part):
    """What was released over what."""

    faults: list[str]
    stable: Side
    candidate: Side
    changes: list[str] = Field(default_factory=list)


class DecidingGate(Part):
    """The gate that decided, and what it read."""

    name: str
    value: float | None
    threshold: float | None
    comparison: str | None
    unit: str
    control: float | None
    analysis_run: str
    step_index: int | None


class Verdict(Part):
    """How it ended, and when."""

    outcome: str
    exit_code: int
    headline: str
    rollout_phase: str
    rollout_message: str
    gate: DecidingGate | None
    requests_seen: int
    weight: int | None
    decided_after_s: float | None
    last_canary_response_after_s: float | None


class Step(Part):
    """A step of the Rollout: a weight and its pods, a pause, or an analysis."""

    index: int
    label: str
    kind: str
    weight: int | None = None
    canary: int | None = None
    stable: int | None = None
    share: float | None = None
    duration_s: float | None = None
    rehearsed_s: float | None = None
    templates: list[str] | None = None


class Rollout(Part):
    """What was stepped through."""

    name: str
    namespace: str
    replicas: int
    max_surge: int | str
    max_unavailable: int | str
    steps: list[Step]


class Gate(Part):
    """A gate as it was asked."""

    name: str
    template: str
    threshold: float | None
    comparison: str | None
    unit: str
    query: str
    success_condition: str
    failure_condition: str


class Measurement(Part):
    """One measurement; `control` is the same query about the stable release."""

    at_s: float
    value: str
    number: float | None
    control: float | None
    phase: str
    message: str


class MetricResult(Part):
    """One metric of an AnalysisRun."""

    name: str
    phase: str
    message: str
    dry_run: bool
    measurements: list[Measurement]


class AnalysisRun(Part):
    """One AnalysisRun; `step_index` is nothing for the background one."""

    name: str
    kind: str
    step_index: int | None
    started_s: float
    ended_s: float | None
    phase: str
    message: str
    metrics: list[MetricResult]


class Series(Part):
    """Columns of one value per sample, a second apart; empty where nothing was seen."""

    at_s: list[float] = Field(default_factory=list)
    step_index: list[int | None] = Field(default_factory=list)
    weight: list[int | None] = Field(default_factory=list)
    stable_desired: list[int] = Field(default_factory=list)
    stable_available: list[int] = Field(default_factory=list)
    canary_desired: list[int] = Field(default_factory=list)
    canary_available: list[int] = Field(default_factory=list)
    stable_requests: list[float] = Field(default_factory=list)
    stable_failed: list[float] = Field(default_factory=list)
    canary_requests: list[float] = Field(default_factory=list)
    canary_failed: list[float] = Field(default_factory=list)
    client_requests: list[int | None] = Field(default_factory=list)
    client_failed: list[int | None] = Field(default_factory=list)
    client_lost: list[int | None] = Field(default_factory=list)
    client_p50_ms: list[float | None] = Field(default_factory=list)
    client_p95_ms: list[float | None] = Field(default_factory=list)


class Moment(Part):
    """An event."""

    at_s: float
    kind: str
    text: str


class Traffic(Part):
    """What users sent, and what came of it."""

    requests_per_second: float
    asked_requests_per_second: float | None = None
    declared_requests_per_second: float
    requests: int
    failed: int
    lost: int
    canary_requests: int
    canary_failed: int
    p50_ms: float | None
    p95_ms: float | None


class Budget(Part):
    """What it would have cost of the month's error budget."""

    objective: float
    window_days: float
    monthly_requests: int
    monthly_budget: int
    spent_unscaled_requests: float
    spent_share: float
    note: str


class Machine(Part):
    """How well the machine kept up; `honest` says that it stood in nobody's way."""

    cores: int
    cpu_busy_share: float
    harness_lag_p99_ms: float
    harness_lag_max_ms: float | None = None
    cpu_seconds: dict[str, float] = Field(default_factory=dict)
    cpu_seconds_total: float | None = None
    scrapes: int = 0
    scrapes_lost: int = 0
    honest: bool
    because: str = ""


class Result(Part):
    """The whole record."""

    format: str = Field(alias="schema")
    id: str
    command: str
    started_at: str
    released_at: str | None = None
    ended_at: str
    elapsed_s: float
    target: str = Field(validation_alias=AliasChoices("target", "ground"))  # as it was called
    manifests: str
    time_scale: float
    release: Release
    verdict: Verdict
    rollout: Rollout
    gates: list[Gate]
    analysis_runs: list[AnalysisRun]
    series: Series
    events: list[Moment]
    traffic: Traffic
    budget: Budget
    machine: Machine
    not_scaled: list[str]
    not_enforced: list[str]
    assumed: list[str] = Field(default_factory=list)
    torn_down: list[str]
    evidence: Evidence = Evidence()

    @property
    def measured(self) -> Iterator[tuple[AnalysisRun, MetricResult]]:
        """Each metric of each AnalysisRun that was measured at all."""
        for run in self.analysis_runs:
            yield from ((run, metric) for metric in run.metrics if metric.measurements)


def read(text: str) -> Result:
    """A record from its file's text.

    Raises:
        ValueError: if it is none.
    """
    return Result.model_validate_json(text)


def write(result: Result, folder: Path) -> Path:
    """Writes `result.json` and points `latest` at the run; returns the file."""
    file = folder / "result.json"
    text = result.model_dump_json(indent=1, by_alias=True, exclude_unset=True)
    file.write_text(text + "\n", encoding="utf-8")
    # Renamed into place: another rehearsal may end at the same moment.
    fresh = folder / "latest"
    fresh.symlink_to(folder.name)
    fresh.rename(folder.parent / "latest")
    return file


def build(plan: Plan, target: Target, run: Run) -> Result:
    """The record of a run."""
    seen, last, released = run.timeline, run.timeline.last, run.released_at
    return Result(
        schema=SCHEMA,
        id=plan.id,
        command=plan.command,
        started_at=run.started_at.isoformat(timespec="seconds"),
        released_at=released.isoformat(timespec="milliseconds") if released else None,
        ended_at=run.ended_at.isoformat(timespec="seconds"),
        elapsed_s=round((run.ended_at - run.started_at).total_seconds(), 1),
        target=target.name,
        manifests=plan.bundle.source,
        time_scale=plan.choices.time_scale,
        release=Release(
            faults=list(plan.choices.faults),
            stable=_side(plan, plan.stable, target.hashes.stable),
            candidate=_side(plan, plan.candidate, target.hashes.latest),
            changes=list(plan.changes),
        ),
        verdict=_verdict(plan, run),
        rollout=_rollout(plan),
        gates=[_gate(metric, template) for metric, template in _gates(plan.scaled, last)],
        analysis_runs=[_run(done) for done in (last.runs if last else ())],
        series=Series(**timeline.series(seen.samples)),
        events=[Moment(at_s=round(e.at_s, 2), kind=e.kind, text=e.text) for e in seen.events],
        traffic=_traffic(plan, seen),
        budget=_budget(plan, seen),
        machine=_machine(run),
        not_scaled=list(target.not_scaled) if plan.choices.time_scale != 1 else [],
        not_enforced=list(plan.bundle.unenforced),
        assumed=list(plan.assumptions),
        torn_down=list(run.torn_down),
        evidence=run.evidence.model_copy(update={"clients": _statuses(run)}),
    )


def _statuses(run: Run) -> dict[str, int]:
    """What users met since the release, by status."""
    since = run.released_at.timestamp() if run.released_at else 0.0
    met = (Counter(second.statuses) for second in run.timeline.seconds if second.at >= since)
    counts = sum(met, Counter[str]())
    return {("no response" if status == "0" else status): n for status, n in sorted(counts.items())}


def _side(plan: Plan, build: Build, pod_hash: str) -> Side:
    return Side(
        hash=pod_hash,
        replica_set=f"{plan.rollout.name}-{pod_hash}",
        reference=build.name,
        commit=build.commit,
    )


def _verdict(plan: Plan, run: Run) -> Verdict:
    seen, decided = run.timeline, run.verdict
    last, decision = seen.last, decided.decision
    step = decision.run.step_index if decision else None
    weights = [s.weight for s in plan.rollout.steps[: step or 0] if isinstance(s, SetWeight)]
    return Verdict(
        outcome=str(decided.outcome),
        exit_code=decided.outcome.exit_code,
        headline=decided.headline,
        rollout_phase=last.phase if last else "",
        rollout_message=last.message if last else "",
        gate=_deciding_gate(decision) if decision else None,
        requests_seen=_requests_seen(seen, decision),
        weight=weights[-1] if weights else seen.decided().weight,
        decided_after_s=_rounded(seen.decided_at_s),
        last_canary_response_after_s=_rounded(seen.last_canary_at_s),
    )


def _deciding_gate(decision: Decision) -> DecidingGate:
    return DecidingGate(
        **_limit(decision.metric),
        value=decision.measurement.number,
        control=decision.measurement.control,
        analysis_run=decision.run.name,
        step_index=decision.run.step_index,
    )


def _requests_seen(seen: Timeline, decision: Decision | None) -> int:
    """Canary requests the gateway counted within the deciding window, or in all."""
    if not seen.samples or seen.last is None:
        return 0
    if decision is None:
        return seen.last.canary_traffic.requests
    end = decision.measurement.started_at
    windows = verdict.windows_s(decision.metric)
    start = end - max(windows) if windows else 0.0
    return seen.canary_requests_at(end) - seen.canary_requests_at(start)


def _rollout(plan: Plan) -> Rollout:
    rollout = plan.rollout
    pairs = zip(rollout.steps, plan.scaled.steps, strict=True)
    return Rollout(
        name=rollout.name,
        namespace=rollout.namespace,
        replicas=rollout.replicas,
        max_surge=rollout.max_surge,
        max_unavailable=rollout.max_unavailable,
        steps=[_step(i, a, b, rollout) for i, (a, b) in enumerate(pairs)],
    )


def _step(index: int, step: model.Step, scaled: model.Step, rollout: model.Rollout) -> Step:
    detail: dict[str, Any] = {"kind": "analysis"}
    if isinstance(step, SetWeight):
        canary, stable = _pods(rollout, index, step.weight)
        share = round(time_compression.share_of(rollout, step.weight), 4)
        detail = {"kind": "setWeight", "weight": step.weight, "share": share}
        detail |= {"canary": canary, "stable": stable}
    elif isinstance(step, Pause):
        rehearsed = scaled.duration_s if isinstance(scaled, Pause) else None
        detail = {"kind": "pause", "duration_s": step.duration_s, "rehearsed_s": rehearsed}
    elif isinstance(step, Analysis):
        detail["templates"] = list(step.templates)
    else:
        detail = {"kind": "setCanaryScale" if isinstance(step, SetCanaryScale) else "setRoute"}
    return Step(index=index, label=str(step), **detail)


def _pods(rollout: model.Rollout, index: int, weight: int) -> tuple[int, int]:
    """The (canary, stable) pods that a setWeight ends with."""
    if rollout.routing is None:
        return split(rollout.replicas, weight, rollout.max_surge, rollout.max_unavailable)
    at = routing.Position(index, weight, aborted=False, promoted=False)
    return routing.counts(rollout, at, model.NO_PODS, model.NO_PODS, weight)


def _gates(scaled: model.Rollout, last: Observation | None) -> list[tuple[Metric, str]]:
    """Each gate once: as it was asked if it was, else as it would have been."""
    asked = {m.name: m for run in (last.runs if last else ()) for m in run.metrics}
    gates: dict[str, tuple[Metric, str]] = {}
    for analysis in scaled.analyses:
        for metric in analysis.metrics:
            gates.setdefault(
                metric.name, (asked.get(metric.name, metric), ", ".join(analysis.templates))
            )
    return list(gates.values())


def _gate(metric: Metric, template: str) -> Gate:
    return Gate(
        **_limit(metric),
        template=template,
        query=metric.query,
        success_condition=metric.success_condition,
        failure_condition=metric.failure_condition,
    )


def _limit(metric: Metric) -> dict[str, Any]:
    """What both records of a gate say of it."""
    limit = threshold.of(metric)
    return {
        "name": metric.name,
        "threshold": limit.value if limit else None,
        "comparison": limit.comparison if limit else None,
        "unit": units.of(metric.name),
    }


def _run(run: model.AnalysisRun) -> AnalysisRun:
    return AnalysisRun(
        name=run.name,
        kind="background" if run.step_index is None else "step",
        step_index=run.step_index,
        started_s=round(run.started_at, 2),
        ended_s=_rounded(run.completed_at),
        phase=str(run.phase),
        message=run.message,
        metrics=[_metric(metric, run.results.get(metric.name)) for metric in run.metrics],
    )


def _metric(metric: Metric, result: model.MetricResult | None) -> MetricResult:
    return MetricResult(
        name=metric.name,
        phase=str(result.phase) if result else "Pending",
        message=result.message if result else "",
        dry_run=metric.dry_run,
        measurements=[
            Measurement(
                at_s=round(m.started_at, 2),
                value=m.value,
                number=m.number,
                control=m.control,
                phase=str(m.phase),
                message=m.message,
            )
            for m in (result.measurements if result else ())
        ],
    )


def _traffic(plan: Plan, seen: Timeline) -> Traffic:
    seconds, last = seen.seconds, seen.last
    return Traffic(
        requests_per_second=round(last.rate if last and last.rate else plan.rate, 1),
        asked_requests_per_second=round(plan.rate, 1),
        declared_requests_per_second=plan.config.traffic.requests_per_second,
        requests=sum(s.requests for s in seconds),
        failed=sum(s.failed for s in seconds),
        lost=sum(s.lost for s in seconds),
        canary_requests=last.canary_traffic.requests if last else 0,
        canary_failed=last.canary_traffic.failed if last else 0,
        # Of the seconds' own percentiles the median second's: a picture, not a verdict.
        p50_ms=_middle(sorted(s.p50_ms for s in seconds if s.p50_ms is not None)),
        p95_ms=_middle(sorted(s.p95_ms for s in seconds if s.p95_ms is not None)),
    )


def _budget(plan: Plan, seen: Timeline) -> Budget:
    slo, declared = plan.config.slo, plan.config.traffic.requests_per_second
    monthly = declared * slo.window
    budget = monthly * (1 - slo.objective)
    factor = plan.choices.time_scale
    spent = timeline.unscaled_failures(seen.samples, plan.scaled.steps, declared, factor)
    failures = sum(s.failed + s.lost for s in seen.seconds)
    return Budget(
        objective=slo.objective,
        window_days=round(slo.window / 86400, 2),
        monthly_requests=round(monthly),
        monthly_budget=round(budget),
        spent_unscaled_requests=round(spent, 1),
        spent_share=spent / budget if budget else 0.0,
        note=_spent(failures, spent, spent / budget if budget else 0.0),
    )


def _spent(failures: int, spent: float, share: float) -> str:
    """What failed, and what it stands for in production, as one sentence."""
    if not failures:
        return "no request failed"
    noun = "request" if failures == 1 else "requests"
    return (
        f"{failures:,} {noun} failed ({spent:,.0f} at production's traffic): "
        f"{units.percent(share)} of the month's budget"
    )


def _machine(run: Run) -> Machine:
    last, told = run.timeline.last, run.conditions
    return Machine(
        cores=run.watch.cores,
        cpu_busy_share=round(run.watch.busy_share, 2),
        harness_lag_p99_ms=round(run.watch.lag_p99_ms, 1),
        harness_lag_max_ms=round(run.watch.latest_s * 1000, 1),
        cpu_seconds={name: round(spent, 1) for name, spent in sorted(run.cpu_seconds.items())},
        cpu_seconds_total=round(sum(run.cpu_seconds.values()), 1),
        scrapes=last.scrapes if last else 0,
        scrapes_lost=last.scrapes_lost if last else 0,
        honest=run.honest,
        because=told.blind or told.strained,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _middle(ordered: Sequence[float]) -> float | None:
    return round(ordered[len(ordered) // 2], 1) if ordered else None
