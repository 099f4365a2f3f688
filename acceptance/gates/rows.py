"""What the shipped gates must make of each kind of release: the table of docs/gates.md."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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


def _row(
    name: str,
    rps: float,
    fault: Fault | None = None,
    error_rate: float = 0.001,
    *,
    computed: bool = True,
    **targets: float,
) -> Row:
    traffic = Traffic(rps, error_rate=error_rate, routes=ROUTES)
    scenario = Scenario(f"{name}, {rps:g}/s", fault or Fault(), traffic)
    return Row(scenario, computed=computed, **targets)


_OUTAGE, _ROUTE = Fault(outage_s=2.0), Fault(route_broken=True)

# A/A first: what no release is to blame for.
ROWS = (
    *(_row("healthy", rps, most=0.005) for rps in (20.0, 100.0)),
    *(_row("half of the limit everywhere", rps, None, 0.005, most=0.005) for rps in (20.0, 100.0)),
    *(_row("both fail for 2 s", rps, _OUTAGE, most=0.01) for rps in (20.0, 100.0)),
    _row("3 % slow", 20.0, Fault(slow_share=0.03), most=0.01),
    _row("4 % slow", 20.0, Fault(slow_share=0.04), most=0.05),
    *(
        _row(f"first {s} s slow", 20.0, Fault(warm_up_s=s), most=0.01, computed=False)
        for s in (3, 4)
    ),
    *(_row("healthy", rps, most=0.01, computed=False) for rps in (10.0, 12.0, 14.0)),
    _row("a route of 0.5 % fails", 20.0, _ROUTE, least=0.95, by_s=150),
    _row("a route of 0.5 % fails", 100.0, _ROUTE, least=0.95, by_s=60),
    _row("5 % fail", 100.0, Fault(error_rate=0.05), least=0.95, by_s=25, users=10),
    _row("2 % fail", 20.0, Fault(error_rate=0.02), least=0.95, by_s=130, users=12),
    _row("1.5 % fail", 20.0, Fault(error_rate=0.015), least=0.95),
    _row("1 % fail", 100.0, Fault(error_rate=0.01), least=0.95, users=40),
    # Between half of the limit and the limit: no target, but a figure.
    *(_row("0.5 % fail", rps, Fault(error_rate=0.005)) for rps in (20.0, 100.0)),
    _row("1 % fail", 20.0, Fault(error_rate=0.01)),
    _row("8 % slow", 20.0, Fault(slow_share=0.08), least=0.99),
    _row("p95 of 240 ms", 20.0, Fault(slow_share=1, slow_s=0.24), least=0.95, computed=False),
    _row("20 % refused", 20.0, Fault(refused_share=0.2), least=0.95, computed=False),
    _row("60 % lost", 20.0, Fault(lost_share=0.6), least=0.95, computed=False),
)


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
