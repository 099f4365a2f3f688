"""The power curves as one self-contained HTML page with SVG."""

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from canary.plot import Frame
from canary.power.monte_carlo import Study
from canary.power.power_curve import Curve, Power
from canary.power.samples import Fault

# Which gate's limit is drawn into which curve, by a word in its name; slow is judged by share.
_LIMIT_WORDS = {"errors": ("error",), "cpu": ("cpu", "saturation")}


def write(power: Power, path: Path) -> None:
    """Writes the page."""
    environment = Environment(
        loader=PackageLoader("canary.power"), autoescape=True, undefined=StrictUndefined
    )
    plots = [(curve, plot(power, curve)) for curve in power.curves]
    text = environment.get_template("power.html.j2").render(power=power, plots=plots)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


# Shares of failed requests, dense where gates of a hundredth begin to see.
PICTURE_SIZES = (
    *(i / 400 for i in range(17)),
    *(0.05, 0.06, 0.08, 0.1, 0.12, 0.14, 0.16, 0.18, 0.2, 0.21, 0.22, 0.23, 0.24, 0.25, 0.26, 0.31),
)
STYLES = ("canary", "before")


def picture(studies: Sequence[tuple[str, Study]], path: Path) -> None:
    """Writes one SVG: how likely each release's first step stops a share of failing requests."""
    frame = _frame(31.0, 720, 300)
    for (name, study), style in zip(studies, STYLES, strict=False):
        until_s = min(m.at_s for m in study.measurements if m.step >= 0)
        begun, points, share = study.until(until_s), [], 0.0
        for size in PICTURE_SIZES:
            if share < 1:  # where all are stopped, all with more failures are
                outcomes = begun.outcomes(Fault(error_rate=size))
                share = outcomes.rollback_rate_by_s(until_s)
            points.append((100 * size, 100 * share))
        frame.line(points, style, name)
        middle = next(((x, y) for x, y in points if y >= 50), points[-1])  # noqa: PLR2004 — half
        frame.name((middle[0] + 0.6, 50.0), style, name)
    title = "share of releases stopped at the first step, against the share of its failures"
    _draw(frame, title, path)


def roc(points: Sequence[tuple[float, float]], now: tuple[float, float], path: Path) -> None:
    """Writes one SVG: the faulty releases that a limit stops, against the healthy ones it stops.

    Args:
        points: Shares of healthy and of faulty releases, one for each limit.
        now: Those of the limit as it is.
        path: The file.
    """
    frame = _frame(100.0, 480, 320)
    frame.line([(100 * x, 100 * y) for x, y in points], "canary", "one point a limit")
    title = f"as it is: {now[1]:.1%} of faulty ones stopped, {now[0]:.2%} of healthy ones"
    frame.dots([(100 * now[0], 100 * now[1])], "canary", [title])
    _draw(frame, "faulty releases stopped, against healthy releases stopped", path)


def _frame(most: float, width: float, height: float) -> Frame:
    """Per cent against per cent, of which the plot shows so many."""
    bounds = (0.0, most), (0.0, 100.0)
    return Frame(*bounds, width, height, unit=" %", along="{:g} %".format)


def _draw(frame: Frame, title: str, path: Path) -> None:
    """Writes a picture that stands alone."""
    svg = frame.svg(title)
    opening, _, rest = str(svg).partition(">")
    named = opening.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{named}><style>{SVG_STYLE}</style>{rest}\n", encoding="utf-8")


# Readable on a light page and on a dark one.
SVG_STYLE = """
text { fill: #7a8490; font: 12px system-ui, sans-serif; }
.axis line { stroke: #7a8490; stroke-opacity: .3; }
.line { fill: none; stroke-width: 2.5; }
.dot.canary { fill: #e08a00; }
.line.canary { stroke: #e08a00; } .line.before { stroke: #c0271d; stroke-dasharray: 6 4; }
text.canary { fill: #e08a00; font-weight: 600; } text.before { fill: #c0271d; font-weight: 600; }
"""


def plot(power: Power, curve: Curve) -> Markup:
    """Probability of rollback against the size of the fault, in per cent both."""
    points = [(row.size * 100, row.rolled_back * 100) for row in curve.rows]
    last = next((x for x, y in points if y >= 99.9), points[-1][0])  # noqa: PLR2004 — flat beyond
    shown = [(x, y) for x, y in points if x <= last * 1.5]
    frame = _frame(max(x for x, _ in shown), 420, 190)
    frame.level(95.0, "95 %", "goal")
    words = _LIMIT_WORDS.get(curve.kind, ())
    limit = next(
        (limit for gate, limit in power.limits.items() if any(word in gate for word in words)),
        0.05 if curve.kind == "slow" else None,
    )
    if limit is not None and limit * 100 <= frame.x[1]:
        frame.moment(limit * 100, f"limit {limit:.3g}", "bad")
    titles = [f"{x:.3g} %: rolled back {y:.1f} %" for x, y in shown]
    frame.line(shown, "canary", f"{curve.kind}: share of releases rolled back")
    frame.dots(shown, "canary", titles)
    return frame.svg(f"share of releases rolled back against {curve.kind}, in per cent")
