"""The matrix of `canary mutate`: which broken gate was noticed, and by what."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from canary import junit, tables
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
    rows = [
        (v.mutant.name, _first(v.killed_by) or "LIVES", ", ".join(v.linted) or "—")
        for v in matrix.verdicts
    ]
    verdicts = tables.text(("mutant", "killed by running", "lint"), rows, left=(0, 1, 2))
    return "\n".join([*_own(matrix), *verdicts, "", *_endings(matrix), "", _summary(matrix)])


def _endings(matrix: Matrix) -> list[str]:
    """How each kind of release ends, by the number of replicas."""
    head = ("release", *(f"{n} replicas" for n in matrix.endings))
    names = next(iter(matrix.endings.values()), {})
    rows = [(name, *(column[name] for column in matrix.endings.values())) for name in names]
    return tables.text(head, rows, left=range(len(head)))


def markdown(matrix: Matrix) -> str:
    """For a pull request."""
    rows = [
        (v.mutant.name, _first(v.killed_by) or "**lives**", ", ".join(v.linted) or "—")
        for v in matrix.verdicts
    ]
    verdicts = tables.markdown(("mutant", "killed by running", "lint"), rows, left=(0, 1, 2))
    equivalent = [f"- equivalent: {m.name}: {m.equivalent}" for m in matrix.equivalent]
    title = f"**canary mutate**: {_summary(matrix)}"
    return "\n".join([title, "", *_own(matrix), *verdicts, "", *equivalent])


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


def junit_xml(matrix: Matrix) -> str:
    """JUnit XML: a case for each mutant, failed where it lives."""
    return junit.suite(
        "canary mutate",
        (
            junit.Case("mutant", verdict.mutant.name)
            if verdict.killed_by
            else junit.Case("mutant", verdict.mutant.name, "failure", "no release notices it")
            for verdict in matrix.verdicts
        ),
    )


FORMATS: Mapping[str, Callable[[Matrix], str]] = {
    "table": table,
    "json": document,
    "markdown": markdown,
    "junit": junit_xml,
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
