"""The runs of the past: listed, found by name, compared, and removed when newer ones have come."""

import re
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from canary import durations
from canary.errors import UsageError
from canary.rehearse import result as results
from canary.rehearse import units
from canary.rehearse.load import MAX_RUN
from canary.rehearse.result import Result

KEPT = 20
# The columns of `row`.
HEADS = ("run", "outcome", "decided", "requests", "failed", "p95")
# `plan.make` names a run so; nothing else in the folder is ever touched.
_ID = re.compile(r"\d{8}T\d{6}Z-[a-z0-9-]+")


@dataclass(frozen=True)
class Run:
    """A run's folder."""

    folder: Path

    @property
    def id(self) -> str:
        """Its name."""
        return self.folder.name

    @cached_property
    def result(self) -> Result | None:
        """Its record; None while it is under way, or where it ended before it could write one."""
        file = self.folder / "result.json"
        try:
            return _read(file, file.stat().st_mtime_ns)
        except (OSError, ValueError):
            return None

    @property
    def outcome(self) -> str:
        """How it ended, in a word."""
        return self.result.verdict.outcome if self.result else "no result"


@lru_cache(maxsize=256)
def _read(file: Path, _changed: int) -> Result:
    return results.read(file.read_text(encoding="utf-8"))


def listed(out: Path, word: str = "", outcome: str = "") -> list[Run]:
    """The runs of a folder, the newest first: those with this word and outcome."""
    if not out.is_dir():
        return []
    found = (Run(one) for one in out.iterdir() if _ID.fullmatch(one.name) and one.is_dir())
    runs = sorted(found, key=lambda run: run.id, reverse=True)
    return [run for run in runs if word in _words(run) and outcome in ("", run.outcome)]


def _words(run: Run) -> str:
    return f"{run.id} {run.result.verdict.headline} {run.result.command}" if run.result else run.id


def find(out: Path, name: str) -> Run:
    """The run with this id, or whose id alone holds this word; `latest` is the newest.

    Raises:
        UsageError: if there is none, several, or it left no result.
    """
    runs = listed(out)
    alike = [run for run in runs if run.id == name] or [run for run in runs if name in run.id]
    if name == "latest":
        alike = runs[:1]
    if len(alike) != 1:
        many = f"{len(alike)} runs of {out} are called" if alike else f"no run of {out} is called"
        raise UsageError(f"{many} {name!r}", f"name one that `canary runs --out {out}` lists")
    (run,) = alike
    if run.result is None:
        raise UsageError(f"{run.id} has no result", "it is running, or ended without one")
    return run


def prune(out: Path, keep: int = KEPT) -> list[Run]:
    """Removes all but the newest runs, and none that may be under way; returns the removed."""
    may_run = time.time() - durations.parse(MAX_RUN)
    old = [r for r in listed(out)[keep:] if r.result or r.folder.stat().st_mtime <= may_run]
    for run in old:
        shutil.rmtree(run.folder, ignore_errors=True)
    return old


@dataclass(frozen=True)
class Row:
    """One fact about two runs, as people read it."""

    what: str
    first: str
    second: str

    @property
    def differs(self) -> bool:
        """Whether it is another in each."""
        return self.first != self.second


def compare(first: Result, second: Result) -> list[Row]:
    """What two runs were, how they ended, and each gate's last measurement in both."""
    facts = zip(_facts(first), _facts(second), strict=True)
    rows = [Row(what, one, other) for (what, one), (_, other) in facts]
    one, other = last_measurements(first), last_measurements(second)
    return rows + [
        Row(f"gate {gate}", one.get(gate, "–"), other.get(gate, "–")) for gate in {**one, **other}
    ]


def _facts(run: Result) -> Iterator[tuple[str, str]]:
    said, traffic = run.verdict, run.traffic
    yield "outcome", said.outcome
    yield "verdict", said.headline
    yield "decided after", _shown(said.decided_after_s, "s")
    yield "faults", ", ".join(run.release.faults) or "none"
    yield "stable", run.release.stable.reference or "this checkout"
    yield "candidate", run.release.candidate.reference or "this checkout"
    yield "manifests", run.manifests
    yield "target", run.target
    yield "time scale", f"×{run.time_scale:g}"
    yield "requests a second", f"{traffic.requests_per_second:g}"
    yield "requests", f"{traffic.requests:,}"
    yield "failed", f"{traffic.failed:,}"
    yield "lost", f"{traffic.lost:,}"
    yield "canary requests", f"{traffic.canary_requests:,}"
    yield "canary failed", f"{traffic.canary_failed:,}"
    yield "median latency", _shown(traffic.p50_ms, "ms")
    yield "95th percentile", _shown(traffic.p95_ms, "ms")
    yield "error budget", f"{units.percent(run.budget.spent_share)} of a month's"
    yield "CPU-seconds", _shown(run.machine.cpu_seconds_total)
    yield "machine busy", units.percent(run.machine.cpu_busy_share)


def last_measurements(run: Result) -> dict[str, str]:
    """Each gate's last measurement with its unit and phase."""
    last = ((metric, metric.measurements[-1].number) for _, metric in run.measured)
    return {
        metric.name: f"{units.shown(number, metric.name, 'no data')} {metric.phase}"
        for metric, number in last
    }


def _shown(value: float | None, unit: str = "") -> str:
    return "–" if value is None else f"{value:.1f} {unit}".strip()


def row(run: Run) -> Sequence[str]:
    """A run in a line of a table."""
    if run.result is None:
        return (run.id, run.outcome, "", "", "", "")
    said, traffic = run.result.verdict, run.result.traffic
    return (
        run.id,
        said.outcome,
        _shown(said.decided_after_s, "s"),
        f"{traffic.requests:,}",
        f"{traffic.failed + traffic.lost:,}",
        _shown(traffic.p95_ms, "ms"),
    )
