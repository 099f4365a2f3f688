"""What came of simulated releases: counts, intervals, and their words."""

import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from canary import tables
from canary.argo.virtual_rollout import PAUSED, PROMOTED, ROLLED_BACK, VirtualRollout
from canary.power import simulation, stats
from canary.power.simulation import Released


@dataclass(frozen=True)
class Tally:
    """One kind of release: counts, and seconds to the median rollback."""

    scenario: str
    releases: int
    promoted: int
    rolled_back: int
    paused: int
    stuck: int
    low: float
    high: float
    by_gate: Mapping[str, int]
    by_step: Mapping[str, int]
    detect_s: float | None


@dataclass(frozen=True)
class Summary:
    """All kinds."""

    release: str
    elapsed_s: float
    tallies: tuple[Tally, ...]


def summarise(release: str, results: Released, elapsed_s: float) -> Summary:
    """Counts the results of each kind, in the order in which they were asked for."""
    tallies = tuple(_tally(*kind) for kind in simulation.by_kind(results).items())
    return Summary(release, round(elapsed_s, 1), tallies)


def _tally(name: str, virtual_runs: Sequence[VirtualRollout]) -> Tally:
    outcomes = Counter(virtual_run.outcome for virtual_run in virtual_runs)
    stopped = [virtual_run for virtual_run in virtual_runs if virtual_run.outcome == ROLLED_BACK]
    low, high = stats.ratio(len(stopped), len(virtual_runs))
    return Tally(
        scenario=name,
        releases=len(virtual_runs),
        promoted=outcomes[PROMOTED],
        rolled_back=len(stopped),
        paused=outcomes[PAUSED],
        stuck=len(virtual_runs) - outcomes[PROMOTED] - len(stopped) - outcomes[PAUSED],
        low=low,
        high=high,
        by_gate=dict(
            Counter(virtual_run.tripped[0] for virtual_run in stopped if virtual_run.tripped)
        ),
        by_step=dict(Counter(f"step {w.step}" if w.step >= 0 else "background" for w in stopped)),
        detect_s=round(statistics.median(w.ended_s for w in stopped), 1) if stopped else None,
    )


HEAD = ("release", "of", "promoted", "rolled back", "95 % interval", "paused", "median s", "by")


def _row(tally: Tally) -> tuple[object, ...]:
    return (
        tally.scenario,
        tally.releases,
        tally.promoted,
        tally.rolled_back,
        f"{tally.low:.2%} – {tally.high:.2%}",
        tally.paused + tally.stuck,
        "—" if tally.detect_s is None else tally.detect_s,
        ", ".join(f"{gate} {count}" for gate, count in tally.by_gate.items()),
    )


def table(summary: Summary) -> str:
    """For people at a terminal."""
    everything = sum(tally.releases for tally in summary.tallies)
    foot = f"{everything} releases of {summary.release} in {summary.elapsed_s:.0f} s"
    return "\n".join([*tables.text(HEAD, map(_row, summary.tallies), left=(0, 7)), "", foot])


def markdown(summary: Summary) -> str:
    """For a pull request, without how many were promoted and by which gates others were not."""
    title = f"**canary simulate** · {summary.release}"
    rows = [(*row[:2], *row[3:7]) for row in (HEAD, *map(_row, summary.tallies))]
    return "\n".join([title, "", *tables.markdown(rows[0], rows[1:])])


FORMATS: Mapping[str, Callable[[Summary], str]] = {
    "table": table,
    "json": tables.document,
    "markdown": markdown,
}
