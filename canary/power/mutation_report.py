"""The matrix of `canary mutate`: which broken gate was noticed, and by what."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from canary import junit, tables
from canary.power.mutation import Verdict


@dataclass(frozen=True)
class Matrix:
    """What the gates as they are did wrong (nothing, one hopes), and every mutant's verdict."""

    own: tuple[str, ...]
    verdicts: tuple[Verdict, ...]

    @property
    def survivors(self) -> tuple[Verdict, ...]:
        """Mutants that nothing noticed."""
        return tuple(verdict for verdict in self.verdicts if not verdict.noticed)

    @property
    def complete(self) -> bool:
        """Whether the gates do what is demanded and every mutant was noticed."""
        return not self.own and not self.survivors


def table(matrix: Matrix) -> str:
    """For people at a terminal."""
    rows = [(v.mutant.name, _by(v) or "LIVES") for v in matrix.verdicts]
    verdicts = tables.text(("mutant", "noticed by"), rows, left=(0, 1))
    return "\n".join([*_own(matrix), *verdicts, "", _summary(matrix)])


def markdown(matrix: Matrix) -> str:
    """For a pull request."""
    rows = [(v.mutant.name, _by(v) or "**lives**") for v in matrix.verdicts]
    verdicts = tables.markdown(("mutant", "noticed by"), rows, left=(0, 1))
    return "\n".join([f"**canary mutate**: {_summary(matrix)}", "", *_own(matrix), *verdicts])


def document(matrix: Matrix) -> str:
    """JSON, everything."""
    return json.dumps(
        {
            "own": list(matrix.own),
            "mutants": [
                {
                    "name": v.mutant.name,
                    "killed_by": v.killed_by,
                    "lint": v.linted,
                    "laxer": v.laxer,
                }
                for v in matrix.verdicts
            ],
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
            if verdict.noticed
            else junit.Case("mutant", verdict.mutant.name, "failure", "nothing notices it")
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


def _by(verdict: Verdict) -> str:
    found = verdict.linted or verdict.killed_by or verdict.laxer
    more = f" (+{len(found) - 1})" if len(found) > 1 else ""
    how = "lint: " if verdict.linted else "laxer: " if verdict.laxer else ""
    return f"{how}{found[0]}{more}" if found else ""


def _summary(matrix: Matrix) -> str:
    linted = sum(bool(verdict.linted) for verdict in matrix.verdicts)
    killed = sum(bool(verdict.killed_by) for verdict in matrix.verdicts)
    laxer = sum(bool(verdict.laxer) for verdict in matrix.verdicts)
    return (
        f"{linted + killed + laxer} of {len(matrix.verdicts)} noticed: {linted} by lint, {killed}"
        f" of the others by a release that ends otherwise, {laxer} by lint --baseline alone"
    )
