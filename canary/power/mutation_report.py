"""The matrix of `canary mutate`: which broken gate was noticed, and by what."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from canary.power.mutation import Mutant, Verdict


@dataclass(frozen=True)
class Matrix:
    """What the gates as they are did wrong (nothing, one hopes), and every mutant's verdict."""

    own: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    equivalent: tuple[Mutant, ...]
    endings: Mapping[int, Mapping[str, str]]

    @property
    def survivors(self) -> tuple[Verdict, ...]:
        """Mutants that no release noticed."""
        return tuple(verdict for verdict in self.verdicts if not verdict.killed_by)

    @property
    def complete(self) -> bool:
        """Whether the gates do what is demanded and every mutant was noticed."""
        return not self.own and not self.survivors


def introduction(equivalent: Sequence[Mutant]) -> str:
    """The mutants that no release can tell from the gates, said before any is tried."""
    lines = [f"equivalent, not counted: {m.name}: {m.equivalent}" for m in equivalent]
    return "\n".join([*lines, ""]) if lines else ""


def table(matrix: Matrix) -> str:
    """For people at a terminal."""
    width = max((len(v.mutant.name) for v in matrix.verdicts), default=0) + 2
    rows = [
        f"{v.mutant.name:<{width}}{_first(v.killed_by) or 'LIVES':<44}{', '.join(v.linted) or '—'}"
        for v in matrix.verdicts
    ]
    head = f"{'mutant':<{width}}{'killed by running':<44}lint"
    return "\n".join([*_own(matrix), head, *rows, "", *_endings(matrix), "", _summary(matrix)])


def _endings(matrix: Matrix) -> list[str]:
    """How each kind of release ends, by the number of replicas."""
    cells = [cell for column in matrix.endings.values() for cell in column.values()]
    width = max(map(len, cells), default=0) + 2
    head = f"{'release':<24}" + "".join(f"{f'{n} replicas':<{width}}" for n in matrix.endings)
    names = next(iter(matrix.endings.values()), {})
    return [
        head,
        *(
            f"{name:<24}"
            + "".join(f"{column[name]:<{width}}" for column in matrix.endings.values())
            for name in names
        ),
    ]


def markdown(matrix: Matrix) -> str:
    """For a pull request."""
    rows = [
        f"| {v.mutant.name} | {_first(v.killed_by) or '**lives**'} | {', '.join(v.linted) or '—'} |"
        for v in matrix.verdicts
    ]
    head = ["| mutant | killed by running | lint |", "|---|---|---|"]
    equivalent = [f"- equivalent: {m.name}: {m.equivalent}" for m in matrix.equivalent]
    title = f"**canary mutate**: {_summary(matrix)}"
    return "\n".join([title, "", *_own(matrix), *head, *rows, "", *equivalent])


def document(matrix: Matrix) -> str:
    """JSON, everything."""
    return json.dumps(
        {
            "own": list(matrix.own),
            "mutants": [
                {"name": v.mutant.name, "killed_by": v.killed_by, "lint": v.linted}
                for v in matrix.verdicts
            ],
            "releases": matrix.endings,
            "equivalent": [{"name": m.name, "reason": m.equivalent} for m in matrix.equivalent],
        },
        indent=2,
        ensure_ascii=False,
    )


def junit(matrix: Matrix) -> str:
    """JUnit XML: a case for each mutant, failed where it lives."""
    suite = ET.Element("testsuite", name="canary mutate", tests=str(len(matrix.verdicts)))
    for verdict in matrix.verdicts:
        case = ET.SubElement(suite, "testcase", classname="mutant", name=verdict.mutant.name)
        if not verdict.killed_by:
            ET.SubElement(case, "failure", message="no release notices it")
    suite.set("failures", str(len(matrix.survivors)))
    return ET.tostring(suite, encoding="unicode")


FORMATS: Mapping[str, Callable[[Matrix], str]] = {
    "table": table,
    "json": document,
    "markdown": markdown,
    "junit": junit,
}


def _own(matrix: Matrix) -> list[str]:
    return [f"the gates as they are: {complaint}" for complaint in matrix.own]


def _first(killed_by: Sequence[str]) -> str:
    more = f" (+{len(killed_by) - 1})" if len(killed_by) > 1 else ""
    return f"{killed_by[0]}{more}" if killed_by else ""


def _summary(matrix: Matrix) -> str:
    killed = len(matrix.verdicts) - len(matrix.survivors)
    noticed = sum(bool(verdict.linted) for verdict in matrix.verdicts)
    return (
        f"{killed} of {len(matrix.verdicts)} killed by running, {noticed} noticed by lint, "
        f"{len(matrix.equivalent)} equivalent"
    )
