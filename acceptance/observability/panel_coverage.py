"""Every panel's query asked of what a real rehearsal left in Prometheus.

A panel that shows nothing must say what it needs (`Panel.needs`); one that says so and shows
something anyway has a stale excuse.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import yaml
from observe import queries
from observe.panels import Dashboard, Panel, Source

from acceptance.rehearsed import canary, result
from canary.errors import MachineError
from canary.power import backfill
from canary.runtime.prometheus import Prometheus, QueryError

OUT = Path("out/acceptance/observability")
RULES = Path("observability/rules")
DESIGN = Path("canary/tests/power/design.yaml")
EVERY_S = 12.0


@dataclass(frozen=True)
class Covered:
    """One panel: whether each of its queries, the threshold's too, answered at any time."""

    dashboard: str
    panel: Panel
    answers: tuple[bool, ...]
    error: str = ""

    @property
    def good(self) -> bool:
        """Whether every query answered at some time, or the panel says why none could."""
        return not self.error and (all(self.answers) or bool(self.panel.needs))

    @property
    def stale(self) -> bool:
        """Whether it excuses itself although every query answers."""
        return bool(self.panel.needs) and all(self.answers)


@dataclass(frozen=True)
class Recorded:
    """A rehearsal's Prometheus data, and the time it spans."""

    folder: Path
    start_s: float
    end_s: float

    @property
    def instants(self) -> list[float]:
        """Every few seconds of it, the middle first, where most is to be seen."""
        count = int((self.end_s - self.start_s) / EVERY_S)
        times = [self.start_s + EVERY_S * index for index in range(1, count + 1)]
        middle = (self.start_s + self.end_s) / 2
        return sorted(times, key=lambda at_s: abs(at_s - middle))


def rehearse(out: Path, arguments: Sequence[str] = ()) -> Recorded:
    """Runs a rehearsal whose Prometheus evaluates our rules; returns what it recorded.

    Raises:
        MachineError: if it gives no verdict.
    """
    done = canary("rehearse", "--out", out, "--rules", RULES, *arguments)
    if done.returncode not in (0, 1):
        # The headline, which follows an empty line, and what it was told with.
        said = done.stderr or done.stdout.rpartition("\n\n")[2]
        raise MachineError(f"the rehearsal gave no verdict: {said.strip()[:400]}", "run it alone")
    run = (out / "latest").resolve()
    found = result(run)
    start, end = (
        datetime.fromisoformat(found[at]).timestamp() for at in ("started_at", "ended_at")
    )
    return Recorded(run / "prometheus", start, end)


def ask_all(record: Recorded, asked: Sequence[Dashboard]) -> list[Covered]:
    """Asks every Prometheus panel of every dashboard."""
    with backfill.serving(record.folder) as server:
        return [
            _ask(server, record, dashboard.title, panel)
            for dashboard in asked
            for panel in dashboard.panels
            if panel.source is Source.PROMETHEUS
        ]


def design_answers(record: Recorded) -> Iterator[tuple[str, str, float]]:
    """(name, query, value) of the design's three queries, word for word, late in the run.

    Raises:
        MachineError: if one of them answers nothing, or more than one number.
    """
    template = next(iter(yaml.safe_load_all(DESIGN.read_text(encoding="utf-8"))))
    at_s = record.end_s - (record.end_s - record.start_s) / 4
    with backfill.serving(record.folder) as server:
        for metric in template["spec"]["metrics"]:
            query = metric["provider"]["prometheus"]["query"]
            answer = server.query(query, at_s=at_s)
            yield metric["name"], query, _number(answer)


def _ask(server: Prometheus, record: Recorded, dashboard: str, panel: Panel) -> Covered:
    try:
        answers = tuple(
            any(_answers(server, query, at_s) for at_s in record.instants)
            for query in queries.of_panel(panel)
        )
    except QueryError as refused:
        return Covered(dashboard, panel, (), str(refused))
    return Covered(dashboard, panel, answers)


def _answers(server: Prometheus, query: str, at_s: float) -> bool:
    return server.query(queries.filled(query, rate="30s"), at_s=at_s) != ()


def _number(answer: float | tuple[float, ...]) -> float:
    if isinstance(answer, float):
        return answer
    if len(answer) != 1:
        raise MachineError(f"a query answered {len(answer)} numbers", "it must be one")
    return answer[0]
