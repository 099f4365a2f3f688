"""The report of a run: one self-contained page, made from its document and nothing else."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from openarrivals import shapes

from canary.plot import Frame, Point
from loadtesting import output
from loadtesting.result import Document

STYLES = {"PASS": "good", "FAIL": "bad", "INCONCLUSIVE": "unsure"}
FAILURES = ("failed", "gateway", "lost")
# Of the line that a shape is drawn as.
STEPS = 200


def write(document: Document, path: Path) -> Path:
    """Writes the page; returns its path."""
    path.write_text(render(document), encoding="utf-8")
    return path


def render(document: Document) -> str:
    """The page as text: no request leaves it, whatever it is opened with."""
    environment = Environment(
        loader=PackageLoader("loadtesting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["ms"] = output.milliseconds
    environment.globals["interval"] = output.interval
    return environment.get_template("report.html.j2").render(
        document=document,
        styles=STYLES,
        groups=output.groups(document),
        latency=latency_plot(document),
        curve=curve_plot(document),
        arrivals=arrivals_plot(document),
        lost=failures_plot(document),
    )


def latency_plot(document: Document) -> Markup:
    """p50 and p95 over time, by when requests were due, with the limit drawn in."""
    limit = document["limits"]["max_latency_s"]
    p95 = _points(document, "p95_s")
    top = _top([limit * 1000, *(y for _, y in p95)])
    frame = Frame((0, _seconds(document)), (0, top), height=190, unit=" ms")
    label = f"p{document['limits']['quantile'] * 100:g} < {limit * 1000:g} ms"
    frame.level(limit * 1000, label)
    frame.line(_points(document, "p50_s"), "p50", "p50, ms")
    frame.line(p95, "p95", "p95, ms")
    return frame.svg("latency over time")


def curve_plot(document: Document) -> Markup:
    """The percentile curve: each further step to the right is a tenth of the requests left."""
    points = [
        (-math.log10(1 - q), v * 1000) for q, v in document["curve"] if v is not None and q < 1
    ]
    limits = document["limits"]
    top = _top([limits["max_latency_s"] * 1000, *(y for _, y in points)])
    frame = Frame((0, 4), (0, top), height=190, unit=" ms", along=percentile_name)
    at = -math.log10(1 - limits["quantile"])
    frame.level(limits["max_latency_s"] * 1000, f"{limits['max_latency_s'] * 1000:g} ms")
    frame.moment(at, f"p{limits['quantile'] * 100:g}", "limit")
    frame.line(points, "p95", "latency by percentile")
    return frame.svg("latency by percentile")


def percentile_name(nines: float) -> str:
    """The label of the percentile curve's axis."""
    if nines != int(nines):
        return ""
    return ("0 %", "p90", "p99", "p99.9", "p99.99")[int(nines)]


def arrivals_plot(document: Document) -> Markup:
    """What was wanted, what was due and what ended, a second."""
    length = document["slice_s"]
    due = [(at, (s["requests"] + s["dropped"]) / length) for at, s in _slices(document)]
    ended = [(at, s["finished"] / length) for at, s in _slices(document)]
    shape = shapes.parse(document["shape"])
    # A run that was stopped early wanted more than the frame shows.
    seconds = min(shape.seconds, _seconds(document))
    instants = (seconds * step / STEPS for step in range(STEPS))
    wanted = [(at, shape.rate_at(at)) for at in instants]
    top = _top([y for _, y in (*due, *ended, *wanted)])
    frame = Frame((0, _seconds(document)), (0, top), height=150, unit="/s")
    frame.line(wanted, "wanted", "wanted by the shape")
    frame.line(due, "p50", "due (arrivals), answered or dropped")
    frame.line(ended, "p95", "ended (completions)")
    return frame.svg("arrivals against completions")


def failures_plot(document: Document) -> Markup:
    """Failed, lost and dropped requests a slice; nothing where there were none."""
    counts = [
        (at, float(sum(s["outcomes"].get(kind, 0) for kind in FAILURES) + s["dropped"]))
        for at, s in _slices(document)
    ]
    if not any(count for _, count in counts):
        return Markup("")
    top = _top([count for _, count in counts])
    frame = Frame((0, _seconds(document)), (0, top), height=110)
    frame.line(counts, "failures", "failed, lost or dropped")
    return frame.svg("failed, lost and dropped requests")


def _slices(document: Document) -> Iterator[tuple[float, Document]]:
    """Each slice of time with its middle second."""
    for piece in document["slices"]:
        yield (piece["index"] + 0.5) * document["slice_s"], piece


def _points(document: Document, key: str) -> list[Point]:
    return [(at, s[key] * 1000) for at, s in _slices(document) if s[key] is not None]


def _seconds(document: Document) -> float:
    last = max((s["index"] for s in document["slices"]), default=0)
    return float((last + 1) * document["slice_s"])


def _top(values: Sequence[float]) -> float:
    """A little above the highest."""
    return max([*values, 1e-9]) * 1.12
