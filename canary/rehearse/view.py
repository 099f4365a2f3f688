"""What a person sees of a running rehearsal: a live picture on a terminal, else plain lines."""

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from canary.argo import threshold
from canary.argo.model import AnalysisRun, Phase, Rollout
from canary.rehearse import units
from canary.rehearse.result import Machine, Result
from canary.rehearse.target import Event, Observation
from canary.rehearse.timeline import Timeline

STYLES = {
    Phase.SUCCESSFUL: "green",
    Phase.FAILED: "bold red",
    Phase.ERROR: "magenta",
    Phase.INCONCLUSIVE: "yellow",
    Phase.RUNNING: "cyan",
    Phase.PENDING: "dim",
}
OUTCOME_STYLES = {
    0: "bold green",
    1: "bold red",
    2: "bold magenta",
    3: "bold yellow",
    4: "bold white on red",
    130: "bold",
}
CAUSE_STYLE = "bold"
SHOWN_EVENTS = 8
MAX_CHANGED = 5
# Without a terminal: a line of figures no more often than this.
PLAIN_EVERY_S = 10.0


@dataclass(frozen=True)
class Gate:
    """A gate's latest measurement, as the table shows it."""

    name: str
    value: str
    wanted: str
    stable: str
    phase: Phase


class View:
    """Shows a rehearsal; use it as a context manager around the run."""

    def __init__(
        self,
        title: str,
        rollout: Rollout,
        stream: TextIO | None = None,
        *,
        terminal: bool | None = None,
    ) -> None:
        """Shows on `stream` (standard output); `terminal` overrides whether it is one."""
        stream = stream or sys.stdout
        self._console = Console(file=stream, force_terminal=terminal, highlight=False)
        self._title = title
        self._steps = [str(step).split(":")[0] + _amount(str(step)) for step in rollout.steps]
        self._live = Live(console=self._console, refresh_per_second=4, transient=True)
        self._plain_at = 0.0
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        self._console.print(f"[bold]{self._title}[/bold]")
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def watch(self, record: Timeline, seen: Observation, fresh: Sequence[Event]) -> None:
        """Shows the latest observation; `fresh` is what was not told before."""
        if self._console.is_terminal:
            self._live.update(self._picture(record, seen))
            return
        for event in fresh:
            self._console.print(_line(event), markup=False, soft_wrap=True)
        if time.monotonic() - self._plain_at >= PLAIN_EVERY_S:
            self._plain_at = time.monotonic()
            self._console.print(_figures(record, seen), markup=False, soft_wrap=True)

    def conclude(self, lines: Iterable[tuple[str, str]], headline: str, exit_code: int) -> None:
        """Prints the verdict and what belongs to it."""
        self._live.stop()
        terminal = self._console.is_terminal
        self._console.print()
        self._console.print(Text(headline, style=OUTCOME_STYLES[exit_code]), soft_wrap=not terminal)
        if terminal:
            table = Table.grid(padding=(0, 1))
            table.add_column(style="dim", min_width=19)
            table.add_column(overflow="fold")
            for name, value in lines:
                table.add_row(f"  {name}", Text(value, CAUSE_STYLE if name == "cause" else ""))
            self._console.print(table)
            return
        for name, value in lines:
            self._console.print(f"  {name:<22}{value}", markup=False, soft_wrap=True)

    def _picture(self, record: Timeline, seen: Observation) -> RenderableType:
        elapsed = time.monotonic() - self._started
        head = Text.assemble(
            (f"{elapsed:5.0f} s  ", "dim"), (seen.phase, "bold"), f"  {seen.message}"
        )
        body = Group(
            head,
            self._step_line(seen),
            _replica_line(seen),
            Text(_figures(record, seen)),
            _gate_table(seen.runs),
            *(Text(_line(event), style="dim") for event in record.events[-SHOWN_EVENTS:]),
        )
        return Panel(body, title=self._title, title_align="left")

    def _step_line(self, seen: Observation) -> Text:
        line = Text()
        for index, label in enumerate([*self._steps, "100%"]):
            current = seen.step_index
            done = current is not None and index < current
            style = "green" if done else ("bold reverse" if index == current else "dim")
            remaining = (
                f" {seen.step_remaining_s:.0f}s" if seen.step_remaining_s is not None else ""
            )
            line.append(f" {label}{remaining if index == current else ''} ", style=style)
            line.append(" ")
        return line


def gates(runs: Sequence[AnalysisRun]) -> list[Gate]:
    """The latest measurement of each gate, over all runs so far."""
    latest: dict[str, Gate] = {}
    for run in runs:
        for metric in run.metrics:
            result = run.results.get(metric.name)
            if result is None or not result.measurements:
                continue
            measurement = result.measurements[-1]
            limit = threshold.of(metric)
            latest[metric.name] = Gate(
                name=metric.name,
                value=units.shown(measurement.number, metric.name, "no data"),
                wanted=f"{limit.comparison} {units.shown(limit.value, metric.name)}"
                if limit
                else "",
                stable=units.shown(measurement.control, metric.name, ""),
                phase=measurement.phase,
            )
    return list(latest.values())


def _gate_table(runs: Sequence[AnalysisRun]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("gate", "canary", "limit", "stable", "phase"):
        table.add_column(column, justify="left" if column in ("gate", "phase") else "right")
    for gate in gates(runs):
        style = STYLES[gate.phase]
        phase = Text(str(gate.phase), style=style)
        table.add_row(gate.name, Text(gate.value, style=style), gate.wanted, gate.stable, phase)
    return table


def _replica_line(seen: Observation) -> Text:
    """One character a pod: stable, then canary; hollow while it is not available."""
    line = Text("pods  ")
    for counts, style in ((seen.stable, "blue"), (seen.canary, "yellow")):
        missing = max(0, counts.current - counts.available)
        line.append("■" * counts.available + "□" * missing, style=style)
    line.append(f"  stable {seen.stable.available}  canary {seen.canary.available}", style="dim")
    return line


def _figures(record: Timeline, seen: Observation) -> str:
    second = record.seconds[-1] if record.seconds else None
    if second is None:
        return f"stable {seen.stable.available}, canary {seen.canary.available} available"
    failed = sum(s.failed + s.lost for s in record.seconds)
    p95 = "–" if second.p95_ms is None else f"{second.p95_ms:.0f} ms"
    return (
        f"{second.requests} requests/s, p95 {p95}, {failed} failed of "
        f"{sum(s.requests for s in record.seconds)}; canary answered {seen.canary_traffic.requests}"
    )


def _line(event: Event) -> str:
    return f"{event.at_s:6.1f} s  {event.kind:<8}  {event.text}"


def _amount(step: str) -> str:
    """What a step's short label shows: its weight or its wait."""
    kind, _, amount = step.partition(": ")
    if kind == "setWeight":
        return f" {amount}%"
    return f" {amount}" if kind == "pause" else ""


def lines(made: Result, file: Path, page: Path) -> Iterator[tuple[str, str]]:
    """What stands below the verdict: why and when, what the run cost, and where to read on."""
    said, found = made.verdict, made.evidence
    for cause in found.cause:
        yield ("cause" if said.exit_code else "worse than stable"), cause
    if found.shared:
        yield "shared", found.shared
    for raised in found.exceptions[:1]:
        yield "canary's log", f"{file.parent / raised.log}:{raised.line}"
    if said.exit_code and found.changed:
        yield "changed", ", ".join(found.changed[:MAX_CHANGED])
    if found.coverage.known:
        yield "routes", str(found.coverage)
    yield "Rollout", f"{said.rollout_phase}  {said.rollout_message}"
    if said.gate:
        yield "gate", said.gate.name
        yield "measured", f"{said.requests_seen} canary requests in the measurement's window"
    if said.decided_after_s is not None:
        yield "decided after", f"{said.decided_after_s:.1f} s"
    if said.last_canary_response_after_s is not None and said.exit_code == 1:
        yield "last canary response", f"{said.last_canary_response_after_s:.1f} s"
    if made.assumed:
        yield "assumed", "; ".join(made.assumed)
    yield "users", f"{made.traffic.requests:,} requests; {made.budget.note}"
    yield "machine", _machine(made.machine)
    yield "torn down", ", ".join(made.torn_down)
    yield "report", str(page)
    yield "pull request", f"{page.with_name('report.md')}, {page.with_name('junit.xml')}"
    yield "result", str(file)


def _machine(machine: Machine) -> str:
    """What the run cost and how well the machine kept up, on one line."""
    spent = sorted(machine.cpu_seconds.items(), key=lambda item: -item[1])
    parts = ", ".join(f"{program} {seconds:.0f}" for program, seconds in spent if seconds >= 1)
    parts = f" ({parts})" if parts else ""
    trouble = f"; {machine.because}" if machine.because else ""
    return (
        f"{machine.cpu_seconds_total:.0f} CPU-seconds{parts}, "
        f"{machine.cpu_busy_share:.0%} busy, harness {machine.harness_lag_p99_ms:.0f} ms late "
        f"(p99), {machine.scrapes_lost} of {machine.scrapes} scrapes lost{trouble}"
    )
