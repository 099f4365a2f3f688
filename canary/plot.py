"""Small plots as inline SVG: a frame with axes, and marks drawn into it.

Colours are CSS classes, so that a page's light and dark themes both fit. All functions are pure;
coordinates in, markup out.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

LEFT, RIGHT, TOP, BOTTOM = 46.0, 10.0, 20.0, 22.0

Point = tuple[float, float]


@dataclass(frozen=True)
class Band:
    """A stretch of time with a name, drawn behind the marks."""

    start: float
    end: float
    label: str
    style: str = "band"


@dataclass
class Frame:
    """A plot's frame: data ranges, size in pixels, and what has been drawn so far."""

    x: tuple[float, float]
    y: tuple[float, float]
    width: float = 720.0
    height: float = 150.0
    unit: str = ""
    along: Callable[[float], str] = "{:g} s".format
    _marks: list[Markup] = field(default_factory=list)

    def bands(self, bands: Iterable[Band]) -> None:
        """Draws named stretches; a name that does not fit is left to the hover title."""
        for index, band in enumerate(bands):
            left, right = self._x(max(band.start, self.x[0])), self._x(min(band.end, self.x[1]))
            if right <= left:
                continue
            height = self.height - TOP - BOTTOM
            self._add(
                '<g class="{} n{}"><title>{}</title><rect x="{:.1f}" y="{:.1f}" width="{:.1f}" '
                'height="{:.1f}"/>',
                band.style,
                index % 2,
                band.label,
                left,
                TOP,
                right - left,
                height,
            )
            if right - left > 6.2 * len(band.label):
                self._add('<text x="{:.1f}" y="{:.1f}">{}</text>', left + 3, TOP - 6, band.label)
            self._add("</g>")

    def area(self, lower: Sequence[Point], upper: Sequence[Point], style: str, title: str) -> None:
        """Fills between two step lines over the same times."""
        path = self._steps(upper) + "L" + self._steps(lower, backwards=True)[1:] + "Z"
        self._add('<path class="area {}" d="{}"><title>{}</title></path>', style, path, title)

    def line(self, points: Sequence[Point], style: str, title: str) -> None:
        """Joins points by straight lines; a single one is drawn as a dot."""
        inside = [(x, y) for x, y in points if not math.isnan(y)]
        if len(inside) == 1:
            self.dots(inside, style, [title])
        elif inside:
            path = "M" + "L".join(f"{self._x(x):.1f},{self._y(y):.1f}" for x, y in inside)
            self._add('<path class="line {}" d="{}"><title>{}</title></path>', style, path, title)

    def dots(self, points: Sequence[Point], style: str, titles: Sequence[str]) -> None:
        """A dot for each point, each with its own hover title."""
        for (x, y), title in zip(points, titles, strict=True):
            self._add(
                '<circle class="dot {}" cx="{:.1f}" cy="{:.1f}" r="4"><title>{}</title></circle>',
                style,
                self._x(x),
                self._y(y),
                title,
            )

    def level(self, y: float, label: str, style: str = "limit") -> None:
        """A horizontal line across the plot, such as a threshold, with its name at the right."""
        at = self._y(y)
        # Near the top there is no room above it.
        below = at - TOP < 14  # noqa: PLR2004 — a line of text
        self._add(
            '<g class="{}"><line x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>'
            '<text x="{:.1f}" y="{:.1f}" text-anchor="end">{}</text></g>',
            style,
            LEFT,
            self.width - RIGHT,
            at,
            at,
            self.width - RIGHT - 2,
            at + (13 if below else -4),
            label,
        )

    def moment(self, x: float, label: str, style: str) -> None:
        """A vertical line at an instant."""
        at = self._x(x)
        self._add(
            '<g class="moment {}"><title>{}</title><line x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" '
            'y2="{:.1f}"/></g>',
            style,
            label,
            at,
            at,
            TOP,
            self.height - BOTTOM,
        )

    def name(self, at: Point, style: str, text: str) -> None:
        """A word beside a line, in the line's own colour."""
        x, y = at
        template = '<text class="{}" x="{:.1f}" y="{:.1f}">{}</text>'
        self._add(template, style, self._x(x), self._y(y), text)

    def svg(self, title: str) -> Markup:
        """The finished picture."""
        opening = Markup('<svg viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}">').format(
            self.width, self.height, title
        )
        return opening + self._axes() + Markup("").join(self._marks) + Markup("</svg>")

    def _axes(self) -> Markup:
        parts = [Markup('<g class="axis">')]
        for tick in ticks(*self.y, count=3):
            at = self._y(tick)
            parts.append(
                Markup(
                    '<line x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}"/>'
                    '<text x="{:.1f}" y="{:.1f}" text-anchor="end">{}</text>'
                ).format(LEFT, self.width - RIGHT, at, at, LEFT - 5, at + 4, f"{tick:g}{self.unit}")
            )
        along = Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="middle">{}</text>')
        at = self.height - 6
        parts += [
            along.format(self._x(tick), at, self.along(tick)) for tick in ticks(*self.x, count=8)
        ]
        return Markup("").join([*parts, Markup("</g>")])

    def _add(self, template: str, *values: object) -> None:
        self._marks.append(Markup(template).format(*values))  # noqa: S704 — templates are ours

    def _x(self, value: float) -> float:
        low, high = self.x
        return LEFT + (value - low) / ((high - low) or 1) * (self.width - LEFT - RIGHT)

    def _y(self, value: float) -> float:
        low, high = self.y
        share = (min(max(value, low), high) - low) / ((high - low) or 1)
        return self.height - BOTTOM - share * (self.height - TOP - BOTTOM)

    def _steps(self, points: Sequence[Point], *, backwards: bool = False) -> str:
        corners: list[Point] = []
        for index, (x, y) in enumerate(points):
            if index:
                corners.append((x, points[index - 1][1]))
            corners.append((x, y))
        ordered = corners[::-1] if backwards else corners
        return "M" + "L".join(f"{self._x(x):.1f},{self._y(y):.1f}" for x, y in ordered)


def ticks(low: float, high: float, count: int) -> list[float]:
    """Round numbers between two bounds, about `count` of them."""
    span = high - low
    if span <= 0:
        return [low]
    rough = span / count
    power = 10 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
    first = math.ceil(low / step)
    return [round(step * index, 10) for index in range(first, math.floor(high / step + 1e-9) + 1)]
