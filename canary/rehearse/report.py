"""The report of a rehearsal: one self-contained page, made from `result.json` and nothing else."""

import base64
import hashlib
import math
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from canary.plot import Band, Frame
from canary.rehearse import evidence, units
from canary.rehearse.evidence import Route
from canary.rehearse.result import Gate, Result
from canary.rehearse.verdict import may_time

PHASES = {
    "Successful": "good",
    "Failed": "bad",
    "Error": "error",
    "Inconclusive": "unsure",
    "Running": "plain",
    "Pending": "plain",
}
# What needs a person first; what was not measured is last.
_URGENCY = {"bad": 0, "error": 0, "unsure": 1, "good": 2}
OUTCOMES = {
    "promoted": ("good", "Promoted"),
    "rolled-back": ("bad", "Rolled back"),
    "not-released": ("bad", "Not released"),
    "unusable": ("error", "Input that cannot be used"),
    "not-measured": ("error", "Not measured"),
    "inconclusive": ("unsure", "Paused: inconclusive"),
    "unjudged": ("unsure", "Not judged"),
    "fault": ("fault", "Harness or machine at fault"),
    "interrupted": ("plain", "Interrupted"),
}


def write(document: Result, path: Path) -> Path:
    """Writes the page; returns its path."""
    path.write_text(render(document), encoding="utf-8")
    return path


def environment(package: str) -> Environment:
    """The templates of a package, for HTML."""
    return Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(document: Result) -> str:
    """The page as text: no request leaves it, whatever it is opened with."""
    templates = environment("canary.rehearse")
    templates.filters["number"] = number
    templates.filters["shown"] = units.shown
    templates.filters["sha256"] = _sha256
    templates.filters["milliseconds"] = units.milliseconds
    templates.filters["phase_style"] = lambda phase: PHASES.get(phase, "plain")
    style, words = OUTCOMES[document.verdict.outcome]
    last = {metric.name: metric.measurements[-1].phase for _, metric in document.measured}
    gates = sorted(document.gates, key=lambda gate: urgency(last.get(gate.name, "")))
    return templates.get_template("report.html.j2").render(
        document=document,
        worse=worse_routes(document),
        style=_part("report.css"),
        script=_part("report.js"),
        outcome_style=style,
        outcome_words=words,
        pods_plot=pods_plot(document),
        requests_plot=requests_plot(document),
        latency_plot=latency_plot(document),
        gates=[(gate, gate_plot(document, gate)) for gate in gates],
        measured=last,
    )


def _part(name: str) -> str:
    return (resources.files("canary.rehearse") / "templates" / name).read_text(encoding="utf-8")


def _sha256(text: str) -> str:
    """As a content security policy names what stands in the page itself."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def number(value: float | None, digits: int = 4) -> str:
    """A number as a person reads it; nothing for nothing."""
    return "–" if value is None else f"{value:,.{digits}g}"


def urgency(phase: str) -> int:
    """Where a gate in this phase comes among the others."""
    return _URGENCY.get(PHASES.get(phase, ""), len(_URGENCY))


def worse_routes(document: Result) -> list[Route]:
    """The routes that the canary answered worse than stable."""
    said = document.verdict
    told = said.outcome == "rolled-back" and said.gate is not None and may_time(said.gate.name)
    timed = document.machine.honest or told
    return [route for route in document.evidence.routes if evidence.worse(route, timed=timed)]


def pods_plot(document: Result) -> Markup:
    """Available pods over time, stable below canary, weights behind and measurements on top."""
    series = document.series
    if not series.at_s:
        return Markup("")
    times = series.at_s
    stable = list(zip(times, series.stable_available, strict=True))
    both = [(t, s + c) for (t, s), c in zip(stable, series.canary_available, strict=True)]
    frame = Frame(span(document), (0, max([1, *(count for _, count in both)])), height=190)
    frame.bands(_weight_bands(document))
    frame.area([(t, 0.0) for t in times], stable, "stable", "stable pods available")
    frame.area(stable, both, "canary", "canary pods available")
    return _moments(frame, document).svg("available pods over time")


def requests_plot(document: Result) -> Markup:
    """What users sent a second, and what failed."""
    series = document.series
    both = zip(series.client_failed, series.client_lost, strict=True)
    return _lines(
        document,
        "requests a second over time",
        (series.client_requests, "plain", "requests a second, all pods"),
        (series.canary_requests, "canary", "requests a second that the canary answered"),
        ([(failed or 0) + (lost or 0) for failed, lost in both], "bad", "failed or lost a second"),
    )


def latency_plot(document: Result) -> Markup:
    """Latency as users met it, second by second."""
    series = document.series
    return _lines(
        document,
        "latency over time, in milliseconds",
        (series.client_p95_ms, "users", "95th percentile, ms"),
        (series.client_p50_ms, "users second", "median, ms"),
    )


def _lines(document: Result, words: str, *lines: tuple[Sequence[float | None], str, str]) -> Markup:
    """A plot of values that each sample has, with the style and the title of each line."""
    at_s = document.series.at_s
    if not at_s:
        return Markup("")
    top = max([1.0, *(value for values, *_ in lines for value in values if value is not None)])
    frame = Frame(span(document), (0, top * 1.1))
    frame.bands(_weight_bands(document))
    for values, style, title in lines:
        points = zip(at_s, values, strict=True)
        frame.line([(t, float(y)) for t, y in points if y is not None], style, title)
    return _moments(frame, document).svg(words)


def gate_plot(document: Result, gate: Gate) -> Markup:
    """One gate's measurements against its threshold, with what the same query said of stable."""
    measurements = [
        (measurement, measurement.number, run)
        for run, metric in document.measured
        if metric.name == gate.name
        for measurement in metric.measurements
        if measurement.number is not None
    ]
    limit = gate.threshold
    values = [value for _, value, _ in measurements] + ([limit] if limit is not None else [])
    if not measurements or not all(math.isfinite(value) for value in values):
        return Markup("")
    factor, unit = units.scale(gate.name)
    shown_top = (max(values) or 1.0) * 1.25
    frame = Frame(
        span(document), (0, factor * shown_top), width=350, height=130, unit=f" {unit}".rstrip()
    )
    if limit is not None:
        frame.level(factor * limit, f"{gate.comparison} {units.shown(limit, gate.name)}")
    for measurement, value, run in measurements:
        control = measurement.control
        if control is not None and math.isfinite(control) and control <= shown_top:
            frame.dots(
                [(measurement.at_s, factor * control)],
                "control",
                [f"stable: {units.shown(control, gate.name)}"],
            )
        title = f"{run.name}: {units.shown(value, gate.name)}, {measurement.phase}"
        frame.dots([(measurement.at_s, factor * value)], PHASES[measurement.phase], [title])
    return frame.svg(f"measurements of {gate.name}")


def _weight_bands(document: Result) -> list[Band]:
    """The stretches of time in which one weight was in force."""
    series = document.series
    bands: list[Band] = []
    ends = [*series.at_s[1:], series.at_s[-1]]
    for start, end, weight in zip(series.at_s, ends, series.weight, strict=True):
        label = "" if weight is None else f"{weight} %"
        if bands and bands[-1].label == label:
            bands[-1] = Band(bands[-1].start, end, label)
        elif label:
            bands.append(Band(start, end, label))
    return bands


def _moments(frame: Frame, document: Result) -> Frame:
    for run in document.analysis_runs:
        if run.kind == "step" and run.ended_s is not None:
            words = f"{run.name}: {run.phase}"
            frame.moment(run.ended_s, words, PHASES[run.phase])
    decided = document.verdict.decided_after_s
    if decided is not None:
        frame.moment(decided, "decided", "decided")
    return frame


def span(document: Result) -> tuple[float, float]:
    """When the record begins and ends, a second later at the least."""
    times = document.series.at_s or [0.0]
    return (min(times), max([*times, min(times) + 1]))
