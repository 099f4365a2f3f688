"""A/A releases of the past: some stable pods play the canary, the others stable.

Nothing was released, so each rollback is a false one. The step machine takes a release from many
instants of a Prometheus's history, and each gate is asked at its times with the pods' names in
place of the pod-template hashes. What no history can show: a gate that reads counters from a pod's
start reads more of an old pod than of a canary's, and no pod of the past was new.
"""

import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from canary import tables
from canary.argo import promql, virtual_rollout
from canary.argo.model import Measurement, Metric, Rollout
from canary.argo.promql import Selector
from canary.argo.releases import HASHES, LATEST, STABLE
from canary.argo.virtual_rollout import PROMOTED, ROLLED_BACK, PodLifetime, VirtualRollout
from canary.errors import UsageError
from canary.power import simulation, stats
from canary.power.monte_carlo import READY_S
from canary.runtime.prometheus import Client, QueryError

POD = "pod"
# How far around an instant a pod must have been scraped to count as there.
SCRAPED_S = 60.0
# A canary of one pod beside one of stable.
LEAST_PODS = 2
MONTH_DAYS = 30

_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Span:
    """A stretch of history on the Unix clock."""

    start_s: float
    end_s: float

    @property
    def days(self) -> float:
        """How long it is."""
        return (self.end_s - self.start_s) / 86_400


@dataclass(frozen=True)
class Tally:
    """How the releases of a stretch ended; `low` and `high` hold the true rate of false rollbacks.

    `by_gate` counts the gates that ended one; `left_out` the instants from which none could begin,
    by the reason.
    """

    release: str
    days: float
    releases: int
    promoted: int
    rolled_back: int
    paused: int
    low: float
    high: float
    by_gate: Mapping[str, int]
    left_out: Mapping[str, int]


def find(
    rollout: Rollout,
    client: Client,
    span: Span,
    releases: int,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Tally:
    """Releases the past onto itself, so many times, evenly over a stretch.

    Raises:
        UsageError: if the Prometheus cannot be asked, or no query tells pods apart.
    """
    selectors = _telling(rollout)
    whole = virtual_rollout.roll_out(
        rollout, HASHES, virtual_rollout.always_passing, lambda: READY_S
    )
    room_s = span.end_s - span.start_s - whole.ended_s
    virtual_runs: list[VirtualRollout] = []
    left_out: Counter[str] = Counter()
    for number in range(releases):
        draw = random.Random(number)  # noqa: S311 — repeatable on purpose
        base_s = span.start_s + max(room_s, 0.0) * (number + draw.random()) / releases
        pods, why = _pods(client, selectors, base_s, base_s + whole.ended_s)
        if why:
            left_out[why] += 1
        else:
            draw.shuffle(pods)
            virtual_runs.append(_roll_out(rollout, client, base_s, whole.pods, pods))
        progress(number + 1, releases)
    outcomes = Counter(virtual_run.outcome for virtual_run in virtual_runs)
    ended = [
        virtual_run.tripped[0]
        for virtual_run in virtual_runs
        if virtual_run.outcome != PROMOTED and virtual_run.tripped
    ]
    low, high = stats.ratio(outcomes[ROLLED_BACK], len(virtual_runs))
    return Tally(
        release=rollout.name,
        days=span.days,
        releases=len(virtual_runs),
        promoted=outcomes[PROMOTED],
        rolled_back=outcomes[ROLLED_BACK],
        paused=len(virtual_runs) - outcomes[PROMOTED] - outcomes[ROLLED_BACK],
        low=low,
        high=high,
        by_gate=dict(Counter(ended).most_common()),
        left_out=dict(left_out),
    )


def _telling(rollout: Rollout) -> tuple[Selector, ...]:
    """The selectors by which gates tell the canary's pods from others.

    Raises:
        UsageError: if there is none.
    """
    found: dict[Selector, None] = {}
    for metric in (m for run in rollout.analyses for m in run.metrics):
        selectors = promql.read(metric.query).selectors
        found |= {s: None for s in selectors if s.mentions((LATEST,)) and s.metric}
    if not found:
        raise UsageError(
            f"no gate of {rollout.name} reads the canary's pods by their pod-template hash",
            "scope its queries: canary lint says how",
        )
    return tuple(found)


def _pods(
    client: Client, selectors: Sequence[Selector], start_s: float, end_s: float
) -> tuple[list[str], str]:
    """The stable pods that were there from one instant to another, or why there are none."""
    others = (
        f'{m.label}{m.sign}"{m.value}"'
        for m in selectors[0].matchers
        if LATEST not in m.value and m.label != "__name__"
    )
    asked = f"{selectors[0].metric}{{{', '.join(others)}}}"
    label = next(m.label for m in selectors[0].matchers if LATEST in m.value)
    there: list[dict[str, str]] = []
    for at_s in (start_s, end_s):
        try:
            found = client.series(asked, (at_s - SCRAPED_S, at_s))
        except QueryError as wrong:
            raise UsageError(str(wrong), "name a Prometheus that answers by --prometheus") from None
        if found and not any(POD in series for series in found):
            raise UsageError(f"{asked} has no label {POD}", "keep it when pods are scraped")
        there.append({series[POD]: series.get(label, "") for series in found if POD in series})
    first, last = there
    stayed = sorted(first.keys() & last.keys())
    if not (first and last):
        return [], "no series"
    if label != POD and len({*first.values(), *last.values()}) > 1:
        return [], "a release was under way"
    if len(stayed) < LEAST_PODS:
        return [], f"fewer than {LEAST_PODS} pods stayed"
    return stayed, ""


def _roll_out(
    rollout: Rollout,
    client: Client,
    base_s: float,
    lives: Sequence[PodLifetime],
    pods: Sequence[str],
) -> VirtualRollout:
    """A release from one instant on, of which a part of the pods is the canary's."""

    def measure(metric: Metric, now: float) -> Measurement:
        alive = [life.canary for life in lives if life.ready_s <= now < (life.gone_s or now + 1)]
        part = sum(alive) / max(len(alive), 1)
        # No fewer than one, and one is left to be stable while there is a stable release.
        canary = min(max(round(part * len(pods)), 1), len(pods) - (part < 1))
        query = cast(metric.query, pods[:canary], pods[canary:])
        return simulation.measure(metric, query, client, base_s, now)

    return virtual_rollout.roll_out(rollout, HASHES, measure, lambda: READY_S)


def cast(query: str, canary: Sequence[str], stable: Sequence[str]) -> str:
    """The query with these pods in the roles of the two ReplicaSets."""

    def matcher(found: re.Match[str]) -> str:
        _, sign, value = found.groups()
        if LATEST in value or STABLE in value:
            pods = canary if LATEST in value else stable
            # A pod's name has no other character that a pattern would read.
            names = "|".join(pod.replace(".", r"\\.") for pod in pods)
            return f'{POD}{"!~" if sign.startswith("!") else "=~"}"{names}"'
        return found[0]

    return _MATCHER.sub(matcher, query)


# ------------------------------------------------------------------------------------- its words


def a_month(tally: Tally, per_day: float) -> tuple[float, float, float]:
    """False rollbacks in a month of so many releases a day: as counted, and its 95 % interval."""
    released = per_day * MONTH_DAYS
    rate = tally.rolled_back / tally.releases if tally.releases else 0.0
    return rate * released, tally.low * released, tally.high * released


def table(tally: Tally, per_day: float) -> str:
    """For people at a terminal."""
    return "\n".join(_lines(tally, per_day, tables.text))


def markdown(tally: Tally, per_day: float) -> str:
    """For a pull request."""
    return "\n".join(_lines(tally, per_day, tables.markdown))


def _lines(tally: Tally, per_day: float, rows: Callable[..., list[str]]) -> Iterator[str]:
    yield f"{tally.release}: {tally.releases} A/A releases in {tally.days:.3g} days of history"
    if tally.releases:
        count, low, high = a_month(tally, per_day)
        yield (
            f"promoted {tally.promoted}, rolled back {tally.rolled_back} "
            f"({tally.low:.2%} to {tally.high:.2%} with 95 %), paused {tally.paused}"
        )
        yield (
            f"false rollbacks a month, at {per_day:g} releases a day: {count:.2g} "
            f"({low:.2g} to {high:.2g})"
        )
    if tally.by_gate:
        yield ""
        yield from rows(("ended by", "releases"), tally.by_gate.items())
    if tally.left_out:
        yield ""
        yield from rows(("no release could begin", "instants"), tally.left_out.items())


def document(tally: Tally, per_day: float) -> str:
    """JSON, everything."""
    count, low, high = a_month(tally, per_day)
    month = {"per_day": per_day, "false_rollbacks": count, "low": low, "high": high}
    return json.dumps({**asdict(tally), "month": month}, indent=2)


FORMATS: Mapping[str, Callable[[Tally, float], str]] = {
    "table": table,
    "json": document,
    "markdown": markdown,
}
