"""The record of a rehearsal as `result.json`, schema `gridos.rehearsal/v1` (see RESULT.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from canary.argo import threshold
from canary.argo.manifests import Bundle
from canary.argo.model import Analysis, AnalysisRun, Metric, Pause, Rollout, SetWeight, Step
from canary.argo.replicas import split
from canary.rehearse import builds, time_compression, timeline, verdict
from canary.rehearse.builds import Build
from canary.rehearse.config import Config
from canary.rehearse.runner import Run
from canary.rehearse.target import Ground, Observation
from canary.rehearse.timeline import Recording
from canary.rehearse.verdict import Decision, Verdict

SCHEMA = "gridos.rehearsal/v1"
_UNITS = {"-seconds": "s", "-ratio": "ratio", "-requests": "requests", "-restarts": "restarts"}


@dataclass(frozen=True)
class Rehearsal:
    """What was rehearsed and how, beside what was recorded."""

    id: str
    command: str
    stable: Build
    candidate: Build
    rollout: Rollout
    scaled: Rollout
    time_scale: float
    faults: tuple[str, ...]
    rate: float
    least_rate: float

    @property
    def bundle(self) -> Bundle:
        """The manifests that decide how the release walks and what judges it."""
        return self.candidate.bundle

    @property
    def config(self) -> Config:
        """The candidate's stand-ins, and the traffic of the stable release's users."""
        return self.candidate.config.model_copy(update={"traffic": self.stable.config.traffic})


def build(what: Rehearsal, ground: Ground, run: Run) -> dict[str, Any]:
    """Assembles the document."""
    record, decided = run.record, run.verdict
    last = record.last
    return {
        "schema": SCHEMA,
        "id": what.id,
        "command": what.command,
        "started_at": run.started_at.isoformat(timespec="seconds"),
        "released_at": run.released_at and run.released_at.isoformat(timespec="milliseconds"),
        "ended_at": run.ended_at.isoformat(timespec="seconds"),
        "elapsed_s": round((run.ended_at - run.started_at).total_seconds(), 1),
        "ground": ground.name,
        "manifests": what.bundle.source,
        "time_scale": what.time_scale,
        "release": _release(what, ground),
        "verdict": _verdict(what, record, decided),
        "rollout": _rollout(what),
        "gates": [_gate(m, template) for m, template in _gates(what.scaled, last)],
        "analysis_runs": [_run(done, what.rollout) for done in (last.runs if last else ())],
        "series": timeline.series(record.samples),
        "events": [
            {"at_s": round(e.at_s, 2), "kind": e.kind, "text": e.text} for e in record.events
        ],
        "traffic": _traffic(what, record),
        "budget": _budget(what, record),
        "machine": _machine(run),
        "not_scaled": list(time_compression.NOT_SCALED) if what.time_scale != 1 else [],
        "not_enforced": list(what.bundle.unenforced),
        "torn_down": list(run.torn_down),
    }


def write(result: Mapping[str, Any], folder: Path) -> Path:
    """Writes `result.json` and points `latest` at the run; returns the file."""
    file = folder / "result.json"
    file.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    # Renamed into place: another rehearsal may end at the same moment.
    fresh = folder / "latest"
    fresh.symlink_to(folder.name)
    fresh.rename(folder.parent / "latest")
    return file


def _release(what: Rehearsal, ground: Ground) -> dict[str, Any]:
    def side(build: Build, pod_hash: str) -> dict[str, str]:
        replica_set = f"{what.rollout.name}-{pod_hash}"
        reference = {"reference": build.name, "commit": build.commit}
        return {"hash": pod_hash, "replica_set": replica_set, **reference}

    return {
        "faults": list(what.faults),
        "stable": side(what.stable, ground.release.stable_hash),
        "candidate": side(what.candidate, ground.release.latest_hash),
        "changes": list(builds.changes(what.stable, what.candidate)),
    }


def _verdict(what: Rehearsal, record: Recording, decided: Verdict) -> dict[str, Any]:
    last = record.last
    decision = decided.decision
    return {
        "outcome": str(decided.outcome),
        "exit_code": decided.outcome.exit_code,
        "headline": decided.headline,
        "rollout_phase": last.phase if last else "",
        "rollout_message": last.message if last else "",
        "gate": _deciding_gate(decision, what.rollout) if decision else None,
        "requests_seen": _requests_seen(record, decision),
        "weight": _weight(what.rollout, decision),
        "decided_after_s": _rounded(record.decided_at_s),
        "last_canary_response_after_s": _rounded(record.last_canary_at_s),
    }


def _deciding_gate(decision: Decision, rollout: Rollout) -> dict[str, Any]:
    limit = threshold.of(decision.metric)
    return {
        "name": decision.metric.name,
        "value": decision.measurement.number,
        "threshold": limit.value if limit else None,
        "comparison": limit.comparison if limit else None,
        "unit": _unit(decision.metric.name),
        "control": decision.measurement.control,
        "analysis_run": decision.run.name,
        "step_index": _step_index(decision.run, rollout),
    }


def _requests_seen(record: Recording, decision: Decision | None) -> int:
    """Canary requests the gateway counted within the deciding look's window, or in all."""
    if not record.samples or record.last is None:
        return 0
    if decision is None:
        return record.last.canary_traffic.requests
    end = decision.measurement.started_at
    windows = verdict.windows_s(decision.metric)
    start = end - max(windows) if windows else 0.0
    return _canary_requests_at(record, end) - _canary_requests_at(record, start)


def _canary_requests_at(record: Recording, at_s: float) -> int:
    counts = [
        s.observation.canary_traffic.requests
        for s in record.samples
        if s.observation.at_s <= at_s + timeline.SAMPLE_S / 2
    ]
    return counts[-1] if counts else 0


def _rollout(what: Rehearsal) -> dict[str, Any]:
    pairs = zip(what.rollout.steps, what.scaled.steps, strict=True)
    return {
        "name": what.rollout.name,
        "namespace": what.rollout.namespace,
        "replicas": what.rollout.replicas,
        "max_surge": what.rollout.max_surge,
        "max_unavailable": what.rollout.max_unavailable,
        "steps": [_step(i, a, b, what.rollout) for i, (a, b) in enumerate(pairs)],
    }


def _step(index: int, step: Step, scaled: Step, rollout: Rollout) -> dict[str, Any]:
    if isinstance(step, SetWeight):
        surge, unavailable = rollout.max_surge, rollout.max_unavailable
        canary, stable = split(rollout.replicas, step.weight, surge, unavailable)
        detail = {
            "kind": "setWeight",
            "weight": step.weight,
            "canary": canary,
            "stable": stable,
            "share": round(canary / (canary + stable), 4),
        }
    elif isinstance(step, Pause):
        rehearsed = scaled.duration_s if isinstance(scaled, Pause) else None
        detail = {"kind": "pause", "duration_s": step.duration_s, "rehearsed_s": rehearsed}
    else:
        detail = {"kind": "analysis", "templates": list(step.templates)}
    return {"index": index, "label": str(step), **detail}


def _gates(scaled: Rollout, last: Observation | None) -> list[tuple[Metric, str]]:
    """Each gate once: as it was asked if it was, else as it would have been."""
    asked = {m.name: m for run in (last.runs if last else ()) for m in run.metrics}
    analyses = [s for s in scaled.steps if isinstance(s, Analysis)]
    analyses += [scaled.background] if scaled.background else []
    gates: dict[str, tuple[Metric, str]] = {}
    for analysis in analyses:
        for metric in analysis.metrics:
            gates.setdefault(
                metric.name, (asked.get(metric.name, metric), ", ".join(analysis.templates))
            )
    return list(gates.values())


def _gate(metric: Metric, template: str) -> dict[str, Any]:
    limit = threshold.of(metric)
    return {
        "name": metric.name,
        "template": template,
        "threshold": limit.value if limit else None,
        "comparison": limit.comparison if limit else None,
        "unit": _unit(metric.name),
        "query": metric.query,
        "success_condition": metric.success_condition,
        "failure_condition": metric.failure_condition,
    }


def _run(run: AnalysisRun, rollout: Rollout) -> dict[str, Any]:
    index = _step_index(run, rollout)
    return {
        "name": run.name,
        "kind": "background" if index is None else "step",
        "step_index": index,
        "started_s": round(run.started_at, 2),
        "ended_s": _rounded(run.completed_at),
        "phase": str(run.phase),
        "message": run.message,
        "metrics": [_metric(run, metric) for metric in run.metrics],
    }


def _metric(run: AnalysisRun, metric: Metric) -> dict[str, Any]:
    result = run.results.get(metric.name)
    measurements = result.measurements if result else ()
    return {
        "name": metric.name,
        "phase": str(result.phase) if result else "Pending",
        "message": result.message if result else "",
        "dry_run": metric.dry_run,
        "measurements": [
            {
                "at_s": round(m.started_at, 2),
                "value": m.value,
                "number": m.number,
                "control": m.control,
                "phase": str(m.phase),
                "message": m.message,
            }
            for m in measurements
        ],
    }


def _traffic(what: Rehearsal, record: Recording) -> dict[str, Any]:
    seconds = record.seconds
    last = record.last
    medians = sorted(s.p50_ms for s in seconds if s.p50_ms is not None)
    tails = sorted(s.p95_ms for s in seconds if s.p95_ms is not None)
    return {
        "requests_per_second": round(last.rate if last and last.rate else what.rate, 1),
        "asked_requests_per_second": round(what.rate, 1),
        "declared_requests_per_second": what.config.traffic.requests_per_second,
        "requests": sum(s.requests for s in seconds),
        "failed": sum(s.failed for s in seconds),
        "lost": sum(s.lost for s in seconds),
        "canary_requests": last.canary_traffic.requests if last else 0,
        "canary_failed": last.canary_traffic.failed if last else 0,
        # Of the seconds' own percentiles the median second's: a picture, not a verdict.
        "p50_ms": _middle(medians),
        "p95_ms": _middle(tails),
    }


def _budget(what: Rehearsal, record: Recording) -> dict[str, Any]:
    slo, declared = what.config.slo, what.config.traffic.requests_per_second
    monthly = declared * slo.window
    budget = monthly * (1 - slo.objective)
    spent = timeline.unscaled_failures(record.samples, what.scaled.steps, declared, what.time_scale)
    failures = sum(s.failed + s.lost for s in record.seconds)
    return {
        "objective": slo.objective,
        "window_days": round(slo.window / 86400, 2),
        "monthly_requests": round(monthly),
        "monthly_budget": round(budget),
        "spent_unscaled_requests": round(spent, 1),
        "spent_share": spent / budget if budget else 0.0,
        "note": (
            f"{failures} failed responses in the rehearsal stand for {spent:.0f} at "
            f"{declared:g} requests/s and real durations"
        ),
    }


def _machine(run: Run) -> dict[str, Any]:
    last, told = run.record.last, run.conditions
    spent = {program: round(seconds, 1) for program, seconds in sorted(run.cpu_seconds.items())}
    return {
        "cores": run.watch.cores,
        "cpu_busy_share": round(run.watch.busy_share, 2),
        "harness_lag_p99_ms": round(run.watch.lag_p99_ms, 1),
        "harness_lag_max_ms": round(run.watch.latest_s * 1000, 1),
        "cpu_seconds": spent,
        "cpu_seconds_total": round(sum(run.cpu_seconds.values()), 1),
        "scrapes": last.scrapes if last else 0,
        "scrapes_lost": last.scrapes_lost if last else 0,
        "honest": told.fair and run.verdict.outcome is not verdict.Outcome.FAULT,
        "because": told.blind or told.strained,
    }


def _weight(rollout: Rollout, decision: Decision | None) -> int | None:
    """The weight in force when the deciding look was taken."""
    index = _step_index(decision.run, rollout) if decision else None
    weights = [s.weight for s in rollout.steps[: index or 0] if isinstance(s, SetWeight)]
    return weights[-1] if weights else None


def _step_index(run: AnalysisRun, rollout: Rollout) -> int | None:
    """A step's run carries its index as the last part of its name (Argo's naming)."""
    parts = run.name.removeprefix(f"{rollout.name}-").split("-")
    return int(parts[2]) if len(parts) > 2 else None  # noqa: PLR2004 — hash, revision, index


def _unit(name: str) -> str:
    return next((unit for suffix, unit in _UNITS.items() if name.endswith(suffix)), "")


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _middle(ordered: Sequence[float]) -> float | None:
    return round(ordered[len(ordered) // 2], 1) if ordered else None
