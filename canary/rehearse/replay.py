"""A recorded run under other gates: the same pods and the same samples, judged again.

A recording is a run's `result.json` and its Prometheus data. The release is not repeated: each
measurement is asked at the instant at which the recorded release came to it, so a recording answers
only for the steps that it reached, and only for manifests with the same weights and pauses.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from canary import tables
from canary.argo import controller, virtual_rollout
from canary.argo.events import BY_HAND
from canary.argo.model import (
    NO_PODS,
    Analysis,
    AnalysisRun,
    Hashes,
    Measurement,
    Metric,
    Phase,
    Rollout,
    Switch,
)
from canary.errors import UsageError
from canary.rehearse import measurements, time_compression, units, verdict
from canary.rehearse import result as results
from canary.rehearse.result import Result
from canary.rehearse.target import Observation, Place
from canary.rehearse.verdict import Outcome, Verdict
from canary.runtime.prometheus import Prometheus

RESULT, DATA = "result.json", "prometheus/data"

# An analysis that was reached: its step (None: the background), what it is, when it began.
Reached = tuple[int | None, Analysis, float]


@dataclass(frozen=True)
class Recording:
    """A run's document, and the folder that holds its Prometheus data."""

    result: Result
    folder: Path

    @property
    def ended_s(self) -> float:
        """The moment that decided it, beyond which the canary is no longer what was released."""
        decided = self.result.verdict.decided_after_s
        return self.result.series.at_s[-1] if decided is None else decided


@dataclass(frozen=True)
class Replay:
    """The runs that other gates would have made of a recording.

    `complete` says that the recorded release passed its last step; one that did not answers only
    for what it reached.
    """

    runs: tuple[AnalysisRun, ...]
    last: Observation
    complete: bool


def pack(folder: Path, file: Path) -> None:
    """Writes a run's folder as one file that can be replayed elsewhere."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w:gz") as archive:
        for name in (RESULT, DATA):
            archive.add(folder / name, name)


@contextmanager
def opened(path: Path) -> Iterator[Recording]:
    """A recording from a run's folder or from a file that `pack` wrote; a copy, left untouched.

    Raises:
        UsageError: if it is neither, or the run ended before its release was applied, or a person
            has acted on it.
    """
    with TemporaryDirectory(prefix="replay-") as scratch:
        folder = Path(scratch)
        try:
            _unpack(path, folder)
            recorded = results.read((folder / RESULT).read_text(encoding="utf-8"))
        except (OSError, ValueError, KeyError, RecursionError, tarfile.TarError) as wrong:
            raise UsageError(
                f"{path} is not a recording ({' '.join(str(wrong).split())})",
                "name a folder of out/rehearsals, or a file that --record wrote",
            ) from None
        if not recorded.released_at:
            raise UsageError(f"{path} contains no release", "record a run that was released")
        if acts := ", ".join(_by_hand(recorded)):
            raise UsageError(
                f"{path} cannot be replayed: a person's {acts} decided, and not its gates",
                "replay a run that nobody promoted, aborted or retried",
            )
        yield Recording(recorded, folder)


def _by_hand(recorded: Result) -> Iterator[str]:
    """The acts of a person that came about, each as it was written down."""
    for event in recorded.events:
        act, _, rest = event.text.partition("@")
        if event.kind == "event" and act in BY_HAND and "never came" not in rest:
            yield event.text


def _unpack(path: Path, folder: Path) -> None:
    if path.is_dir():
        with TemporaryDirectory(prefix="pack-") as scratch:
            packed = Path(scratch) / "run.tar.gz"
            pack(path, packed)
            _unpack(packed, folder)
        return
    with tarfile.open(path) as archive:
        if hasattr(tarfile, "data_filter"):
            archive.extractall(folder, filter="data")
            return
        # Python 3.11.0 to 3.11.3 have no filter yet; what `pack` writes are files and folders.
        for member in archive:
            inside = (folder / member.name).resolve().is_relative_to(folder.resolve())
            if not inside or not (member.isreg() or member.isdir()):
                raise tarfile.ExtractError(f"{member.name} is not a file within it")
            archive.extract(member, folder, set_attrs=False)


def replay(recording: Recording, rollout: Rollout) -> Replay:
    """Judges a recording by a Rollout's gates; `rollout` is at the recording's time scale.

    Raises:
        UsageError: if its weights and pauses are not the recorded ones.
        MachineError: if Prometheus cannot be had.
    """
    begins = _begins(recording.result, rollout)
    reached = list(_analyses(rollout, begins))
    prometheus = Prometheus(recording.folder / "prometheus", jobs=[])
    prometheus.start()
    try:
        # When all users of a blueGreen left stable: the step after the switch began.
        after = zip(rollout.steps, begins[1:], strict=False)
        switched = next((at_s for step, at_s in after if isinstance(step, Switch)), None)
        judge = _Judge(recording.result, prometheus, rollout, switched)
        runs = judge.runs(reached, recording.ended_s)
        first = _first_bad(runs)
        if first is not None and first.completed_at is not None:
            # What would have come after it never does.
            runs = judge.runs(reached, first.completed_at)
    finally:
        prometheus.stop()
    complete = len(begins) > len(rollout.steps)
    return Replay(tuple(runs), _seen(runs, recording.ended_s, complete=complete), complete)


def decide(recording: Recording, judged: Replay) -> Verdict:
    """How the recorded release would have ended, or how far these gates let it go."""
    if judged.complete or _first_bad(judged.runs) is not None:
        return verdict.decide(judged.last, place=_place(recording.result, judged.last.at_s))
    headline = recording.result.verdict.headline
    return Verdict(
        Outcome.INCONCLUSIVE,
        f"Not stopped as far as it was recorded, {recording.ended_s:.0f} s: these gates pass what "
        f"was there {headline[0].lower()}{headline[1:]}",
    )


def judged_by_both(made: Result, folder: Path, others: Rollout, name: str) -> Result:
    """The record of a run with the verdict of other gates beside that of its own.

    A branch may loosen the gates that judge it. One that its own gates promote and the others would
    not is not promoted; whatever else the others say is one of its changes.

    Args:
        made: The record.
        folder: Where it was written, with its data.
        others: The Rollout that has the other gates, at real durations.
        name: Whose they are.
    """
    try:
        with opened(folder) as recording:
            judged = replay(recording, time_compression.scale(others, recording.result.time_scale))
            said = decide(recording, judged)
    except UsageError as why:
        said = Verdict(Outcome.UNUSABLE, f"they cannot say: {why}")
    told = f"the gates of {name}, asked of the same measurements: {said.headline}"
    stops = said.outcome in (Outcome.ROLLED_BACK, Outcome.INCONCLUSIVE, Outcome.NOT_MEASURED)
    changes = [*made.release.changes, told]
    update: dict[str, Any] = {"release": made.release.model_copy(update={"changes": changes})}
    if stops and made.verdict.exit_code == 0:
        headline = f"Promoted by its own gates, and not by those of {name}: {said.headline}"
        ended = {
            "outcome": str(said.outcome),
            "exit_code": said.outcome.exit_code,
            "headline": headline,
        }
        update["verdict"] = made.verdict.model_copy(update=ended)
    return made.model_copy(update=update)


def _place(recorded: Result, at_s: float) -> Place:
    """Where the recorded release was at an instant, and what had failed by then."""
    series = recorded.series
    until = [i for i, at in enumerate(series.at_s) if at <= at_s]

    def share(failed: Sequence[float], answered: Sequence[float]) -> float | None:
        total = sum(answered[i] for i in until)
        return sum(failed[i] for i in until) / total if total else None

    weights = [weight for i in until if (weight := series.weight[i])]
    return Place(
        weights[-1] if weights else None,
        at_s,
        share(series.canary_failed, series.canary_requests),
        share(series.stable_failed, series.stable_requests),
    )


@dataclass
class _Judge:
    """Asks the recorded Prometheus as the controller would have asked it."""

    recorded: Result
    prometheus: Prometheus
    rollout: Rollout
    switched_s: float | None

    def __post_init__(self) -> None:
        released = self.recorded.release
        self.hashes = Hashes(released.candidate.hash, released.stable.hash)
        self.zero_s = datetime.fromisoformat(self.recorded.released_at or "").timestamp()

    def runs(self, reached: Sequence[Reached], until_s: float) -> list[AnalysisRun]:
        """The AnalysisRuns that begin by an instant, each to its end or to that instant."""
        return [self._run(index, what, at, until_s) for index, what, at in reached if at <= until_s]

    def _run(self, index: int | None, what: Analysis, at_s: float, until_s: float) -> AnalysisRun:
        run = controller.start_run(self.rollout.name, what, self.hashes, at_s, index)
        decided = until_s == self.recorded.verdict.decided_after_s
        last_s = self._deciding_s if decided else None
        return virtual_rollout.follow(run, self._measure, until_s, last_s=last_s)

    @property
    def _deciding_s(self) -> float | None:
        """When the gate that decided was measured; asked a little later it might say otherwise.

        A controller's measurements come later each time, and a replay's are when they are due.
        """
        gate = self.recorded.verdict.gate
        taken = (
            one.at_s
            for run in self.recorded.analysis_runs
            for metric in run.metrics
            if gate is not None and metric.name == gate.name
            for one in metric.measurements
        )
        return max(taken, default=None)

    def _measure(self, metric: Metric, now: float) -> Measurement:
        if metric.json_path or metric.job:
            said = "what a web service or a Job said then is not recorded; it counts as passed"
            return Measurement(Phase.SUCCESSFUL, now, now, message=said)
        at_s = self.switched_s
        return measurements.measure(
            self.prometheus,
            self.hashes,
            metric,
            lambda: now,
            self.zero_s + now,
            sides=measurements.Sides.of(self.rollout),
            switched_at_s=None if at_s is None or now < at_s else self.zero_s + at_s,
        )


def _begins(result: Result, rollout: Rollout) -> list[float]:
    """When the recorded release came to each step of `rollout`; one more if it passed the last.

    A step that was not reached, and all after it, are left out. An analysis that the recorded
    Rollout did not have begins where the step before it ended.
    """
    recorded, reached = result.rollout.steps, _reached(result)
    before = [i for i, step in enumerate(recorded) if step.kind != "analysis"]
    wanted = [str(step) for step in rollout.steps if not isinstance(step, Analysis)]
    # At the scale at which it was rehearsed.
    given = [
        f"pause: {step.rehearsed_s:g}s" if step.kind == "pause" else step.label
        for step in map(recorded.__getitem__, before)
    ]
    if wanted != given:
        raise UsageError(
            f"the recorded steps are {'; '.join(given)} and not {'; '.join(wanted)}",
            "replay judges the same steps by other gates; rehearse to try other steps",
        )
    begins: list[float] = []
    position = 0
    for step in (*rollout.steps, None):
        index = before[position - 1] + 1 if position else 0
        own = before[position] if position < len(before) else len(recorded)
        at = reached.get(index if isinstance(step, Analysis) else own)
        if at is None:
            break
        begins.append(at)
        position += not isinstance(step, Analysis)
    return begins


def _reached(result: Result) -> dict[int, float]:
    """When each recorded step began; an AnalysisRun knows it better than the log's sampling."""
    reached = {
        int(event.text.removeprefix("step ")): event.at_s
        for event in result.events
        if event.kind == "step"
    }
    exact = {
        run.step_index: run.started_s for run in result.analysis_runs if run.step_index is not None
    }
    return reached | exact


def _analyses(rollout: Rollout, begins: Sequence[float]) -> Iterator[Reached]:
    """Each analysis that was reached."""
    for index, (step, at) in enumerate(zip(rollout.steps, begins, strict=False)):
        if isinstance(step, Analysis):
            yield index, step, at
    background = rollout.background
    if background is not None and background.starting_step < len(begins):
        yield None, background, begins[background.starting_step]


def _first_bad(runs: Sequence[AnalysisRun]) -> AnalysisRun | None:
    bad = [r for r in runs if r.phase in (Phase.FAILED, Phase.ERROR, Phase.INCONCLUSIVE)]
    return min(bad, key=lambda run: run.completed_at or 0.0, default=None)


def _seen(runs: Sequence[AnalysisRun], recorded_s: float, *, complete: bool) -> Observation:
    """What the last observation would have been; of the pods nothing is known but the recording."""
    first = _first_bad(runs)
    paused = first is not None and first.phase is Phase.INCONCLUSIVE
    return Observation(
        at_s=recorded_s if first is None else first.completed_at or 0.0,
        phase="",
        message=first.message if first else "",
        step_index=None,
        stable=NO_PODS,
        canary=NO_PODS,
        runs=tuple(runs),
        promoted=first is None and complete,
        aborted=first is not None and not paused,
        inconclusive=paused,
        settled=True,
    )


@dataclass(frozen=True)
class Rejudged:
    """A gate's last measurement at one place, as it was recorded and as other gates judge it."""

    step_index: int | None
    at_s: float
    gate: str
    recorded: float | None
    recorded_phase: str
    value: float | None
    phase: str

    @property
    def cells(self) -> tuple[str, ...]:
        """As a row of a table."""
        place = "background" if self.step_index is None else f"step {self.step_index}"
        return (
            f"{place}, {self.at_s:.0f} s",
            self.gate,
            units.shown(self.recorded, self.gate),
            self.recorded_phase,
            units.shown(self.value, self.gate),
            self.phase,
        )


def compared(recording: Recording, judged: Replay) -> list[Rejudged]:
    """Each gate's last measurement in each run, with the recorded one beside it."""
    before = {
        (run.step_index, metric.name): (metric.measurements[-1].number, metric.phase)
        for run, metric in recording.result.measured
    }
    return [
        Rejudged(
            run.step_index,
            round(result.measurements[-1].started_at, 1),
            result.name,
            *before.get((run.step_index, result.name), (None, "")),
            value=result.measurements[-1].number,
            phase=str(result.phase),
        )
        for run in judged.runs
        for result in run.results.values()
    ]


def table(rejudged: Sequence[Rejudged]) -> str:
    """The same as text."""
    head = ("measurement", "gate", "recorded", "", "these gates", "")
    return "\n".join(tables.text(head, [row.cells for row in rejudged], left=range(len(head))))
