"""The power curves as one self-contained HTML page with SVG."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from rehearsal.plot import Frame

from gates.sweep import Curve, Power

# Which gate's limit is drawn into which curve, by a word in its name; slow is judged by share.
_LIMIT_WORDS = {"errors": ("error",), "cpu": ("cpu", "saturation")}


def write(power: Power, path: Path) -> None:
    """Writes the page."""
    environment = Environment(
        loader=PackageLoader("gates"), autoescape=True, undefined=StrictUndefined
    )
    plots = [(curve, plot(power, curve)) for curve in power.curves]
    text = environment.get_template("power.html.j2").render(power=power, plots=plots)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def plot(power: Power, curve: Curve) -> Markup:
    """Probability of rollback against the size of the fault, in per cent both."""
    points = [(row.size * 100, row.rolled_back * 100) for row in curve.rows]
    last = next((x for x, y in points if y >= 99.9), points[-1][0])  # noqa: PLR2004 — flat beyond
    shown = [(x, y) for x, y in points if x <= last * 1.5]
    frame = Frame((0.0, max(x for x, _ in shown)), (0.0, 100.0), width=420, height=190)
    frame.level(95.0, "95 %", "goal")
    limit = _limit(power, curve.kind)
    if limit is not None and limit * 100 <= frame.x[1]:
        frame.moment(limit * 100, f"limit {limit:.3g}", "bad")
    titles = [f"{x:.3g} %: rolled back {y:.1f} %" for x, y in shown]
    frame.line(shown, "canary", f"{curve.kind}: share of releases rolled back")
    frame.dots(shown, "canary", titles)
    return frame.svg(f"share of releases rolled back against {curve.kind}, in per cent")


def _limit(power: Power, kind: str) -> float | None:
    words = _LIMIT_WORDS.get(kind, ())
    return next(
        (limit for gate, limit in power.limits.items() if any(word in gate for word in words)),
        0.05 if kind == "slow" else None,
    )
