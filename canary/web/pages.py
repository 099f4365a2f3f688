"""The pages, rendered: a run's record and what is known of one under way → HTML."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from jinja2.runtime import Macro
from markupsafe import Markup

from canary.rehearse import report, units
from canary.rehearse.evidence import Route, worse
from canary.rehearse.result import Gate, Result, Step
from canary.rehearse.target import ROUTES_S
from canary.web import charts
from canary.web.charts import Board, Chart

PHASES = {
    **report.PHASES,
    **{outcome: style for outcome, (style, _) in report.OUTCOMES.items()},
    "fault": "error",
    "Healthy": "good",
    "Degraded": "bad",
}
SECTIONS = ("head", "status", "actions", "steps", "releases", "gates", "routes", "log", "events")


@dataclass(frozen=True)
class Button:
    """What a person can do; `pressed` is None for what is done once."""

    name: str
    title: str
    possible: bool
    pressed: bool | None = None


@dataclass(frozen=True)
class Now:
    """What a record does not hold of a run under way, until there is anything to see."""

    routes: Sequence[Route]
    buttons: Sequence[Button]
    on_buttons: str
    phase: str = "Starting"
    message: str = ""
    promoted: bool = False
    step: int | None = None
    remaining: str = ""
    since: str = "–"
    waiting: str = "The stable release is being started."


@dataclass(frozen=True)
class GateRow:
    """A gate's latest measurement, and the chart of all."""

    name: str
    chart: Chart
    canary: str
    limit: str
    stable: str
    phase: str
    count: int
    dry_run: bool


@dataclass(frozen=True)
class View:
    """A run as its page shows it; `live` is None for a run of the past."""

    run: Result
    live: Now | None = None
    log: Sequence[str] = ()
    files: Sequence[str] = ()
    routes_s: float = ROUTES_S

    @property
    def style(self) -> str:
        """The tone of its head."""
        return PHASES.get(self.live.phase if self.live else self.run.verdict.outcome, "plain")

    @property
    def outcome(self) -> str:
        """The outcome in words."""
        return self.run.verdict.outcome.replace("-", " ").capitalize()

    def step_label(self, index: int) -> str:
        """A step as people say it, at the durations of this run."""
        steps = self.run.rollout.steps
        return _step(steps[index]) if index < len(steps) else "promoted"

    def step_state(self, index: int) -> str:
        """Whether a step is done, is now, stopped the release, or is still to come."""
        reached = self._reached
        promoted = self.live.promoted if self.live else self.run.verdict.outcome == "promoted"
        if index < reached or promoted:
            return "done"
        if index > reached:
            return "to come"
        return "now" if self.live and self.live.step is not None else "stopped"

    @cached_property
    def _reached(self) -> int:
        """The index of the step that the release is at, or came to."""
        if self.live and self.live.step is not None:
            return self.live.step
        gate = self.run.verdict.gate
        if gate and gate.step_index is not None:
            return gate.step_index
        indices = [index for index in self.run.series.step_index if index is not None]
        return max(indices, default=-1)

    @property
    def releases(self) -> Iterator[Mapping[str, Any]]:
        """Stable and canary, at the latest sample; of a run of the past the last one undecided."""
        series = self.run.series
        decided = None if self.live else self.run.verdict.decided_after_s
        before = [i for i, at in enumerate(series.at_s) if decided is None or at < decided]
        if not before:
            return
        now = before[-1]
        total = series.stable_requests[now] + series.canary_requests[now]
        for name in ("stable", "canary"):
            requests = getattr(series, f"{name}_requests")[now]
            yield {
                "name": name,
                "available": getattr(series, f"{name}_available")[now],
                "desired": getattr(series, f"{name}_desired")[now],
                "requests": requests,
                "failed": getattr(series, f"{name}_failed")[now],
                "share": 100 * requests / total if total else None,
                "weight": series.weight[now] if name == "canary" else None,
            }

    @property
    def routes(self) -> Sequence[Route]:
        """What was asked of each route, lately or since the release; the worse ones first."""
        routes = self.live.routes if self.live else self.run.evidence.routes
        return [*self.worse, *(route for route in routes if route not in self.worse)]

    @cached_property
    def worse(self) -> Sequence[Route]:
        """The routes that the canary answered worse than stable, as the report has them."""
        if self.live:
            return [route for route in self.live.routes if worse(route)]
        return report.worse_routes(self.run)

    @cached_property
    def gates(self) -> Sequence[GateRow]:
        """Each gate's latest measurement against its limit; what objects is first."""
        unmeasured = "Pending" if self.live else "not measured"
        rows = [_gate(self.run, gate, unmeasured) for gate in self.run.gates]
        return sorted(rows, key=lambda row: report.urgency(row.phase))

    @cached_property
    def charts(self) -> Sequence[Chart]:
        """Of the release."""
        return charts.of(self.run)

    @cached_property
    def gate_charts(self) -> Sequence[Chart]:
        """Of the gates, in the order of their rows."""
        return [row.chart for row in self.gates]

    @property
    def chart_data(self) -> Markup:
        """All charts, for the script."""
        return as_json(map(as_data, [*self.gate_charts, *self.charts]))


def _step(step: Step) -> str:
    if step.kind == "setWeight":
        return f"{step.weight} %"
    if step.kind == "pause":
        return "pause" if step.rehearsed_s is None else f"pause {step.rehearsed_s:g} s"
    return step.label


def _gate(run: Result, gate: Gate, unmeasured: str) -> GateRow:
    chart = charts.of_gate(run, gate)
    metrics = [metric for analysis in run.analysis_runs for metric in analysis.metrics]
    taken = sorted(charts.measurements(run, gate.name), key=lambda one: one.at_s)
    last = taken[-1] if taken else None
    return GateRow(
        name=gate.name,
        chart=chart,
        canary=units.shown(last.number, gate.name, "no data") if last else "–",
        limit=chart.limit_words or "–",
        stable=units.shown(last.control, gate.name, "no data") if last else "–",
        phase=last.phase if last else unmeasured,
        count=len(taken),
        dry_run=any(metric.dry_run for metric in metrics if metric.name == gate.name),
    )


def as_data(chart: Chart, prefix: str = "", top: float | None = None) -> Mapping[str, Any]:
    """A chart as the script takes it."""
    found = asdict(chart)
    return {**found, "id": f"{prefix}{chart.id}", "words": chart.words, "top": top}


def as_json(what: Any) -> Markup:
    """Data within a page: nothing in it can end its element."""
    text = json.dumps([*what], allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))  # noqa: S704 — escaped on this line


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f} ms"


class Pages:
    """Renders pages; `nav` is what each of them needs to know of its server."""

    def __init__(self, nav: Mapping[str, Any]) -> None:
        self.nav = nav
        self._environment = report.environment("canary.web")
        filters = {"style": lambda word: PHASES.get(word, "plain"), "ms": _ms}
        self._environment.filters.update(filters)

    def render(self, name: str, here: str = "", **values: Any) -> bytes:
        """A page; `here` is the link of the navigation that leads to it."""
        template = self._environment.get_template(f"{name}.html.j2")
        return template.render(nav=self.nav, here=here, **values).encode()

    def panels(self, board: Board) -> Mapping[str, str]:
        """The panels of a dashboard, by the places that they have on its page."""
        template = self._environment.get_template("parts.html.j2")
        macro: Macro = template.make_module({"nav": self.nav}).panel  # type: ignore[attr-defined]
        return {panel.id: str(macro(panel)) for panel in board.panels}

    def sections(self, view: View) -> Mapping[str, str]:
        """The parts of a run's page that change while it is under way."""
        template = self._environment.get_template("sections.html.j2")
        module = template.make_module({"nav": self.nav, "view": view})
        macros: dict[str, Macro] = {name: getattr(module, name) for name in SECTIONS}
        return {name: str(macro()) for name, macro in macros.items()}
