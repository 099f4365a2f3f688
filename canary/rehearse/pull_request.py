"""A rehearsal as a pull request shows it: Markdown for people, JUnit for the machine.

Both are made from `result.json` and nothing else; neither names a path of the machine.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from canary import junit
from canary.junit import Case
from canary.rehearse import report
from canary.rehearse.result import AnalysisRun, MetricResult, Result
from canary.rehearse.units import milliseconds, shown

MARKDOWN, JUNIT = "report.md", "junit.xml"

_SIGNS = {"good": "✅", "bad": "❌", "unsure": "⚠️"}
_PHASE_SIGNS = {"Failed": "❌", "Error": "⛔", "Inconclusive": "⚠️"}


def write(document: Result, folder: Path) -> None:
    """Writes `report.md` and `junit.xml`."""
    (folder / MARKDOWN).write_text(markdown(document), encoding="utf-8")
    (folder / JUNIT).write_text(junit_xml(document), encoding="utf-8")


def markdown(document: Result) -> str:
    """The verdict first, then what each gate saw, then what it cost."""
    verdict = document.verdict
    sign = _SIGNS.get(report.OUTCOMES.get(verdict.outcome, ("",))[0], "⛔")
    parts = [
        f"### {sign} {_escape(verdict.headline)}",
        _cause(document),
        _escape(f"Shared: {document.evidence.shared}.") if document.evidence.shared else "",
        _release(document),
        *[f"> The candidate changes {_escape(c)}." for c in document.release.changes],
        *[f"> Assumed: {_escape(what)}." for what in document.assumed],
        _gates(document),
        _routes(document),
        _plot(document),
        f"{document.traffic.requests:,} requests; {document.budget.note}.",
        f"<sub>{_code(document.command)} · {document.elapsed_s:.0f} s · "
        f"×{document.time_scale:g} · {_escape(document.target)}</sub>",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _cause(document: Result) -> str:
    """Where the canary was worse than stable, and what changed there."""
    evidence = document.evidence
    lines = [f"- {_escape(cause)}" for cause in evidence.cause]
    if lines and evidence.changed:
        lines.append(f"- changed: {', '.join(_code(file) for file in evidence.changed[:5])}")
    if lines and document.verdict.outcome == "promoted":
        lines.insert(0, "Every gate passed, but the canary was worse than stable:\n")
    return "\n".join(lines)


def _routes(document: Result) -> str:
    """The routes that are worse on the canary, then what nobody asked for."""
    coverage = document.evidence.coverage
    worse = report.worse_routes(document)
    rows = [
        f"| {_escape(route.route)} | {route.canary.requests:,} ({route.stable.requests:,}) "
        f"| {route.canary.bad:,} ({route.stable.bad:,}) "
        f"| {route.canary.refused:,} ({route.stable.refused:,}) "
        f"| {milliseconds(route.canary.p95_ms)} "
        f"({milliseconds(route.stable.p95_ms)}) |"
        for route in worse
    ]
    head = "| route: canary (stable) | requests | failed | 4xx | 95 % within |"
    table = "\n".join([head, "|---|---:|---:|---:|---:|", *rows]) if rows else ""
    known = _escape(f"{coverage}.") if coverage.known else ""
    return "\n\n".join(part for part in (table, known) if part)


def _release(document: Result) -> str:
    release = document.release
    faults = _escape(", ".join(release.faults))
    sides = [release.candidate, release.stable]
    if not sides[0].commit:
        return f"A release with {faults}." if faults else "A healthy release of this checkout."
    new, old = (f"{_code(side.reference)} ({side.commit[:8]})" for side in sides)
    return f"{new} released over {old}" + (f", with {faults}." if faults else ".")


def _gates(document: Result) -> str:
    """A row for each gate, a column for each place it looked from: canary, and stable beside it."""
    measurements = list(_measured(document))
    if not measurements:
        return "No gate was measured."
    wheres = list(dict.fromkeys(where for where, _, _ in measurements))
    gates = {metric.name: wanted for _, metric, wanted in measurements}
    cells: dict[tuple[str, str], str] = {}
    for where, metric, _ in measurements:
        if _PHASE_SIGNS["Failed"] not in cells.get((metric.name, where), ""):
            cells[metric.name, where] = _cell(metric)  # a failed one stays failed
    rows = [
        f"| {_escape(name)} | {_escape(wanted)} | "
        + " | ".join(cells.get((name, w), "") for w in wheres)
        + " |"
        for name, wanted in gates.items()
    ]
    head = f"| canary (stable) | limit | {' | '.join(wheres)} |"
    return "\n".join([head, "|---|---" + "|---:" * len(wheres) + "|", *rows])


def _cell(metric: MetricResult) -> str:
    last = metric.measurements[-1]
    value = shown(last.number, metric.name)
    said = value if last.control is None else f"{value} ({shown(last.control, metric.name)})"
    sign = _PHASE_SIGNS.get(metric.phase, "")
    return f"**{said}** {sign}" if sign else said


def _measured(document: Result) -> Iterator[tuple[str, MetricResult, str]]:
    """Where each gate measured, what, and its limit as a person reads it."""
    limits = {
        gate.name: f"{gate.comparison} {shown(gate.threshold, gate.name)}"
        for gate in document.gates
        if gate.threshold is not None
    }
    for run, metric in document.measured:
        yield _where(document, run), metric, limits.get(metric.name, "–")


def _where(document: Result, run: AnalysisRun) -> str:
    """The weight that a run's step measures at, or that it ran beside the steps."""
    if run.step_index is None:
        return "background analysis"
    before = document.rollout.steps[: run.step_index]
    weights = [step.weight for step in before if step.kind == "setWeight"]
    return f"{weights[-1]} %" if weights else f"step {run.step_index}"


def _plot(document: Result) -> str:
    """What the canary answered and failed, as a chart that GitHub draws."""
    series = document.series
    times = series.at_s
    shown = [i for i, at in enumerate(times) if at >= 0]
    if not document.analysis_runs or len(shown) < 2:  # noqa: PLR2004 — a line needs two points
        return ""
    # More than about sixty points are drawn on top of each other.
    shown = shown[:: -(-len(shown) // 60)]
    answered: list[float] = [series.canary_requests[i] for i in shown]
    failed: list[float] = [series.client_failed[i] or 0 for i in shown]
    top = max(1.0, *answered, *failed)
    lines = "\n".join(
        f"  line [{', '.join(f'{value:g}' for value in values)}]" for values in (answered, failed)
    )
    return (
        "<details><summary>requests/s that the canary answered, and that failed for users"
        "</summary>\n\n```mermaid\nxychart-beta\n"
        f'  x-axis "seconds since the release" {times[shown[0]]:.0f} --> {times[shown[-1]]:.0f}\n'
        f'  y-axis "requests/s" 0 --> {top:g}\n{lines}\n```\n\n</details>'
    )


def junit_xml(document: Result) -> str:
    """A test case for the release and for each gate at each step, failed where it failed."""
    return junit.suite("rehearsal", _cases(document), time=str(document.elapsed_s))


def _cases(document: Result) -> Iterator[Case]:
    verdict = document.verdict
    wrong: Literal["", "failure", "error"] = ""
    if verdict.exit_code:
        judged = verdict.outcome in ("rolled-back", "not-released", "inconclusive")
        wrong = "failure" if judged else "error"
    cause = "\n".join(document.evidence.cause)
    yield Case("release", document.id, wrong, verdict.headline, cause)
    for where, metric, wanted in _measured(document):
        phase, last = metric.phase, metric.measurements[-1]
        because = metric.message or last.message
        said = f"{phase}: {shown(last.number, metric.name)}, limit {wanted}. {because}"
        wrong = ""
        if phase in _PHASE_SIGNS:
            wrong = "error" if phase == "Error" else "failure"
        yield Case(f"gate.{metric.name}", where, wrong, said)


def _escape(text: str) -> str:
    """Text that Markdown and HTML leave as it is, and that mentions nobody and links nowhere.

    GitHub looks for mentions in what entities stand for: a word joiner (8288) parts @ and name. It
    takes what begins with https:// or www. for a link.
    """
    marks = r"[^\w\s.,:;%()/+='-]|:(?=//)|(?<=www)\."
    plain = re.sub(marks, lambda c: f"&#{ord(c[0])};", junit.printable(text))
    return plain.replace("&#64;", "&#64;&#8288;")


def _code(text: str) -> str:
    """Text as a code span, which nothing in it can end."""
    return f"`{junit.printable(text).replace('`', chr(39))}`"
