"""What the shipped gates must make of each kind of release: the table of docs/gates.md."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from canary.argo.virtual_rollout import PROMOTED, ROLLED_BACK, VirtualRollout
from canary.power import stats
from canary.power.monte_carlo import Outcomes
from canary.power.mutation import ROUTES
from canary.power.samples import Fault, Traffic
from canary.power.simulation import Scenario


@dataclass(frozen=True)
class Row:
    """A kind of release with its targets.

    Attributes:
        least: The share of such releases that are rolled back, at least; `most`: at most.
        by_s: The median from the release to its rollback.
        users: The median of the errors that users of the canary meet until then.
        computed: Whether the model follows it; what it does not is simulated alone.
    """

    scenario: Scenario
    least: float = 0.0
    most: float = 1.0
    by_s: float = math.inf
    users: float = math.inf
    computed: bool = True

    @property
    def target(self) -> str:
        """In words."""
        parts = [f"≥ {self.least:.0%}"] * (self.least > 0) + [f"≤ {self.most:.1%}"] * (
            self.most < 1
        )
        parts += [f"≤ {self.by_s:g} s"] * math.isfinite(self.by_s)
        return ", ".join(parts + [f"≤ {self.users:g} users"] * math.isfinite(self.users))


def _rows(
    name: str,
    *,
    rates: Sequence[float],
    fault: Mapping[str, Any] | None = None,
    error_rate: float = 0.001,
    **targets: Any,
) -> Iterator[Row]:
    for rps in rates:
        traffic = Traffic(float(rps), error_rate=error_rate, routes=ROUTES)
        yield Row(Scenario(f"{name}, {rps:g}/s", Fault(**(fault or {})), traffic), **targets)


FILE = Path(__file__).with_name("rows.yaml")
ROWS = [row for given in yaml.safe_load(FILE.read_text("utf-8")) for row in _rows(**given)]


def unmet_computed(row: Row, found: Outcomes) -> list[str]:
    """The targets that what is computed does not meet."""
    users = float(np.median(found.errors[found.rolled_back])) if found.rollback_rate else math.nan
    share, after_s = found.rollback_rate, found.detect_s()
    return _unmet(row, (share, share), after_s) + [f"{users:.0f} users"] * (
        round(users) > row.users if math.isfinite(users) else False
    )


def unmet_simulated(row: Row, virtual_runs: Sequence[VirtualRollout]) -> list[str]:
    """The targets that counts are beyond by more than chance."""
    ended = [
        virtual_run.ended_s for virtual_run in virtual_runs if virtual_run.outcome == ROLLED_BACK
    ]
    other = [
        virtual_run.outcome
        for virtual_run in virtual_runs
        if virtual_run.outcome not in (ROLLED_BACK, PROMOTED)
    ]
    low, high = stats.ratio(len(ended), len(virtual_runs))
    return _unmet(row, (low, high), float(np.median(ended)) if ended else math.nan) + other


def _unmet(row: Row, share: tuple[float, float], after_s: float) -> list[str]:
    low, high = share
    wrong = [f"rolled back in {low:.2%} or more"] * (low > row.most)
    wrong += [f"rolled back in {high:.2%} or less"] * (high < row.least)
    return wrong + [f"after {after_s:.0f} s"] * (
        math.isfinite(row.by_s) and round(after_s) > row.by_s
    )
