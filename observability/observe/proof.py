"""The table of `make prove-runbooks`: every alert, its cases, its route, and its page's walk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from observe import alertmanager, cases, rules
from observe.cost import Cost
from observe.filling import Filled
from observe.rules import Rule
from observe.walk import Walked

CASES = Path("observability/tests/alerts.cases.yaml")
CONFIGURATION = Path("observability/alertmanager/alertmanager.yaml")


@dataclass(frozen=True)
class Line:
    """One alert of the table."""

    alert: Rule
    fires: int
    silent: int
    routed: str
    walked: Walked | None


def lines(walked: Sequence[Walked]) -> list[Line]:
    """Every alert with its cases, its receivers by amtool, and its walk.

    Raises:
        RehearsalError: if rules, cases or routes cannot be read.
    """
    counted = Counter((case.alert, case.fires) for case in cases.read(CASES))
    program = alertmanager.amtool()
    by_alert = {one.alert: one for one in walked}
    table = []
    for alert in rules.alerts(rules.read(Path("observability/rules"))):
        labels = {"alertname": alert.name, "namespace": "gridos", **alert.labels}
        routed = ", ".join(alertmanager.receivers(program, CONFIGURATION, labels))
        fires, silent = counted[alert.name, True], counted[alert.name, False]
        table.append(Line(alert, fires, silent, routed, by_alert.get(alert.name)))
    return sorted(table, key=lambda line: (not (line.walked and line.walked.real), line.alert.name))


def render(table: Sequence[Line]) -> str:
    """The table as Markdown, real faults and stand-ins apart."""
    head = "| alert | severity | cases | routed to | fault | fired | told | over |\n"
    head += "|---|---|---|---|---|--:|---|--:|\n"
    real = [line for line in table if line.walked is None or line.walked.real]
    standing = [line for line in table if line.walked is not None and not line.walked.real]
    text = head + "".join(_row(line) for line in real)
    if standing:
        text += "\nOnly a cluster or Azure can bring these about; here series stand in, and they\n"
        text += "are not counted:\n\n" + head + "".join(_row(line) for line in standing)
    good = sum(line.walked is not None and line.walked.good for line in real)
    text += f"\n{good} of {len(real)} alerts walked by a real fault, "
    well = sum(line.walked is not None and line.walked.good for line in standing)
    return text + f"{well} of {len(standing)} by stand-in series.\n"


def render_panels(filled: Sequence[Filled]) -> str:
    """How many panels showed something, and each that did not, with its reason."""
    shown = [one for one in filled if not one.error and all(one.answers)]
    excused = [one for one in filled if one.panel.needs and one not in shown]
    text = f"{len(shown)} of {len(filled)} panels show data of the rehearsal, "
    text += f"{len(excused)} need what a rehearsal has not:\n"
    text += "".join(f"  {o.dashboard}, {o.panel.title}: {o.panel.needs}\n" for o in excused)
    bad = [one for one in filled if not one.good]
    text += "".join(f"EMPTY {o.dashboard}, {o.panel.title} {o.error}\n" for o in bad)
    stale = [one for one in filled if one.stale]
    return text + "".join(f"NEEDLESS EXCUSE {o.dashboard}, {o.panel.title}\n" for o in stale)


def render_cost(cost: Cost) -> str:
    """Seconds that all rules take, the dearest groups by name, and how much they had to read."""
    worst = sorted(cost.typical.items(), key=lambda pair: -pair[1])[:4]
    named = ", ".join(f"{name} {seconds * 1000:.0f} ms" for name, seconds in worst)
    text = f"Prometheus {cost.version}, {cost.series} series: all rules evaluate in "
    text += f"{cost.total_s:.2f} s ({named}), each group at its slowest in "
    return text + f"{sum(cost.slowest.values()):.2f} s"


def problems(table: Sequence[Line]) -> list[str]:
    """What is not as it should be, one line each."""
    found = []
    for line in table:
        name, walked = line.alert.name, line.walked
        if walked is None:
            found.append(f"{name}: not walked")
            continue
        if walked.fired_after_s is None:
            found.append(f"{name}: did not fire ({walked.scenario})")
            continue
        found += [f"{name}: {problem}" for problem in walked.problems]
        if not walked.told:
            found.append(f"{name}: nobody was told")
        if walked.must_end and walked.over_after_s is None:
            found.append(f"{name}: was not over in time")
    return found


def _row(line: Line) -> str:
    walked = line.walked
    silent = f"{line.silent} silent" if line.silent else "never silent"
    cells = [
        line.alert.name,
        line.alert.severity,
        f"{line.fires} fires, {silent}",
        line.routed,
        walked.scenario if walked else "",
        _seconds(walked.fired_after_s) if walked else "",
        walked.told if walked else "",
        _ending(walked) if walked else "",
    ]
    return "| " + " | ".join(cells) + " |\n"


def _ending(walked: Walked) -> str:
    return _seconds(walked.over_after_s) if walked.must_end else "stays"


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.0f} s"
