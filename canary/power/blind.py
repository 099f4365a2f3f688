"""Which classes of fault the gates of a release see, the smallest they see, and which gate does.

Most classes are drawn by the model of `monte_carlo`. Those at which gates wait and measure again,
or that it does not follow, are released through a real Prometheus: fewer times, so in coarser
sizes. What neither follows is not known, and the row names why.
"""

import math
import re
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial

import numpy as np

from canary import tables
from canary.argo import promql
from canary.argo.promql import PromqlError
from canary.argo.virtual_rollout import PROMOTED, ROLLED_BACK, VirtualRollout
from canary.power import effect_sizes, faults, simulation
from canary.power.monte_carlo import Outcomes, Study
from canary.power.samples import SLOW_S, Fault
from canary.power.simulation import Subject
from canary.power.synthetic_series import HASH_LABEL


class Sight(StrEnum):
    """What becomes of a class of faulty releases, or of innocent ones."""

    SEEN = "rolled back"
    PAUSED = "paused"
    BLIND = "not seen"
    SPARED = "promoted"
    BLAMED = "blamed"
    UNKNOWN = "not known"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Row:
    """One class of fault; `word` is how a rehearsal makes it.

    Attributes:
        smallest: The smallest that is rolled back with the power asked for, in words.
        gate: Which gate rolls back most of these.
        after_s: The median, from the release on.
        why: What a reader must know to believe it.
    """

    fault: str
    word: str
    sight: Sight = Sight.BLIND
    smallest: str = ""
    gate: str = ""
    after_s: float | None = None
    why: str = ""


@dataclass(frozen=True)
class Blindness:
    """The table of one release under one traffic."""

    release: str
    requests_per_s: float
    power: float
    rows: tuple[Row, ...]
    unmodelled: Mapping[str, str]
    assumed: Mapping[str, str]

    @property
    def says_something(self) -> bool:
        """Whether any class is known."""
        return any(row.sight not in (Sight.UNKNOWN, Sight.NOT_RUN) for row in self.rows)


@dataclass(frozen=True)
class Budget:
    """CPU-seconds that may be spent; what is begun is finished."""

    cpu_s: int
    spent_s: Callable[[], float]

    @property
    def over(self) -> bool:
        """Whether nothing more may be begun."""
        return self.spent_s() > self.cpu_s

    def __str__(self) -> str:
        return f"the {self.cpu_s} CPU-seconds were over (--cpu-seconds)"


def find(
    study: Study,
    subject: Callable[[], Subject],
    power: float,
    budget: Budget,
    progress: Callable[[int, int], None],
) -> Blindness:
    """Tries every class of fault.

    Args:
        study: The release and its traffic.
        subject: Makes the same release to be simulated, where its series can be.
        power: The share of faulty releases that must be rolled back for a class to be seen.
        budget: What is not begun before it is over is not run, and said to be so.
        progress: Is told how many classes are done, of how many.
    """
    rows = []
    for row in _Search(study, subject, power, budget).rows():
        rows.append(row)
        progress(len(rows), CLASSES)
    name = study.rollout.name
    rps = study.traffic.requests_per_s
    return Blindness(name, rps, power, tuple(rows), study.unmodelled, study.assumed)


# As many rows as a search makes.
CLASSES = 13
# Shares of the requests that one route may have, and lengths of an outage, to be tried.
ROUTES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
OUTAGES_S = (1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 80.0)
# So many innocent releases may be stopped.
MAX_BLAMED = 0.01
LOST_AFTER = "the pods count them as answered, and no gate reads what a gateway counts"
# Sizes to try, and of each so many releases.
SHARES = ("2%", "10%", "50%", "100%")
WARM_UPS = ("1s", "3s", "10s", "30s")
TRIED = 3
# What `synthetic_series` writes: metrics, and the labels of one of them or another.
_METRICS = re.compile(
    r"http_requests_total|request_duration_seconds_(bucket|count)|"
    r"container_cpu_usage_seconds_total|kube_pod_container_(resource_limits|status_restarts_total)"
)
_LABELS = {
    "__name__", "namespace", "pod", "container", HASH_LABEL, "method", "route", "status", "le",
    "image", "resource", "unit",
}  # fmt: skip


@dataclass(frozen=True)
class _Search:
    """What the classes of a release are tried with, as `find` is given it."""

    study: Study
    subject: Callable[[], Subject]
    power: float
    budget: Budget

    def rows(self) -> Iterator[Row]:
        """Every class; those that cost most come last."""
        slow = Row(f"requests of {SLOW_S * 1000:.0f} ms", "latency=400ms@10%")
        shared = Row("both lose a dependency", "database-down=2s@40s", Sight.BLAMED)
        drawn: Sequence[tuple[Row, Callable[[Row], Row]]] = (
            (Row("none: a healthy release", "", Sight.BLAMED), self._healthy),
            (Row("errors on all routes", "errors=3%"), partial(self._sized, "errors")),
            (Row("one route fails", "errors=100%@/v1/orders"), self._route),
            (slow, partial(self._sized, "slow")),
            (Row("CPU, of its limit", "cpu=90%"), partial(self._sized, "cpu")),
            (Row("a crash, or a leak", "crash=500"), self._crash),
            (Row("all fail, but late", "errors=100%,after=45s"), self._late),
            (shared, self._shared),
        )
        for row, find_out in drawn:
            yield self._not_run(row) if self.budget.over else find_out(row)
        yield from self._simulated()

    def _not_run(self, row: Row) -> Row:
        return replace(row, sight=Sight.NOT_RUN, why=f"not run: {self.budget}")

    def judged(self, row: Row, outcomes: Outcomes) -> Row:
        """The row with what came of its releases."""
        if outcomes.rollback_rate >= self.power:
            detect_s = outcomes.detect_s()
            after_s = None if math.isnan(detect_s) else round(detect_s, 1)
            return replace(row, sight=Sight.SEEN, gate=_first(outcomes), after_s=after_s)
        if self.study.unmodelled:
            return self._not_followed(replace(row, smallest=""))
        if outcomes.rollback_rate + outcomes.pause_rate >= self.power:
            return replace(row, sight=Sight.PAUSED, gate=_first(outcomes))
        return replace(row, sight=Sight.BLIND, smallest="")

    def _not_followed(self, row: Row) -> Row:
        why = f"not modelled: {', '.join(self.study.unmodelled)}"
        return replace(row, sight=Sight.UNKNOWN, why=why)

    def _healthy(self, row: Row) -> Row:
        """A release without a fault: the other rows mean little where it is stopped."""
        outcomes = self.study.outcomes(Fault())
        if outcomes.rollback_rate + outcomes.pause_rate > MAX_BLAMED:
            why = f"{outcomes.rollback_rate:.0%} are rolled back, {outcomes.pause_rate:.0%} paused"
            return replace(row, gate=_first(outcomes), why=why)
        if self.study.unmodelled:
            return self._not_followed(row)
        return replace(row, sight=Sight.SPARED)

    def _sized(self, kind: str, row: Row) -> Row:
        """A class whose faults have a size from nothing to all."""
        make = partial(effect_sizes.fault, kind)
        size = self.study.smallest_detected(make, self.power)
        # What is not rolled back even if it is all may be paused.
        smallest = "100 %" if size is None else f"{100 * size:.2g} %"
        outcomes = self.study.outcomes(make(1.0 if size is None else size))
        whole = outcomes if size is None else self.study.outcomes(make(1.0))
        if size is not None and whole.rollback_rate < self.power:
            ended = Sight.PAUSED if whole.pause_rate >= self.power else "not rolled back"
            row = replace(row, why=f"100 % is {ended}: no series is left that the query could read")
        return self.judged(replace(row, smallest=smallest), outcomes)

    def _route(self, row: Row) -> Row:
        """One route that fails entirely, and how much of the requests it must have to be seen."""
        for share in ROUTES:
            traffic = replace(self.study.traffic, routes=(1 - share, share))
            divided = replace(self, study=replace(self.study, traffic=traffic))
            broken = divided.study.outcomes(Fault(route_broken=True))
            sized = replace(row, smallest=f"{100 * share:g} % of the requests")
            if (judged := divided.judged(sized, broken)).sight is Sight.SEEN:
                break
        return judged

    def _crash(self, row: Row) -> Row:
        return self.judged(row, self.study.outcomes(Fault(restarts=1.0)))

    def _shared(self, row: Row) -> Row:
        """An outage of what stable and canary share: no release is to blame for it."""
        if self.study.unmodelled:
            return self._not_followed(row)
        spared = ""
        for outage_s in OUTAGES_S:
            outcomes = self.study.outcomes(Fault(outage_s=outage_s))
            if outcomes.rollback_rate + outcomes.pause_rate > MAX_BLAMED:
                return _blamed(row, spared, f"{_first(outcomes)} from {outage_s:g} s on")
            spared = f"up to {outage_s:g} s"
        return replace(row, sight=Sight.SPARED, smallest=spared)

    def _late(self, row: Row) -> Row:
        """Errors of every request that begin late, and when they must begin to be seen."""

        def begun(onset_s: float) -> Outcomes:
            return self.study.outcomes(Fault(error_rate=1.0, onset_s=onset_s))

        step_s, end_s = 5.0, self.study.virtual_run.ended_s
        low, high = 0, int(end_s // step_s)
        while low < high:
            middle = (low + high + 1) // 2
            seen = begun(middle * step_s).rollback_rate >= self.power
            low, high = (middle, high) if seen else (low, middle - 1)
        smallest = f"up to {low * step_s:.0f} s of {end_s:.0f} s"
        return self.judged(replace(row, smallest=smallest), begun(low * step_s))

    # ------------------------------------------------------------------- through a real Prometheus

    def _simulated(self) -> Iterator[Row]:
        rows = (
            (Row("refused: 401, 404, 422", "status=404@{}"), SHARES),
            (Row("hangs and resets", "reset={}"), SHARES),
            (Row("responses lost on the way", "cut={}", why=LOST_AFTER), ("1%",)),
            (Row("a new pod is slow at first", "warmup={}", Sight.BLAMED), WARM_UPS),
            (Row("the canary gets no requests", "idle"), ("",)),
        )
        why = next(_not_synthesised(self.study), "")
        for row, sizes in rows:
            named = replace(row, word=row.word.format(sizes[len(sizes) // 2]))
            if why:
                yield replace(named, sight=Sight.UNKNOWN, why=why)
            elif self.budget.over:
                yield self._not_run(named)
            elif row.why:
                yield named
            else:
                find_out = self._spared if row.sight is Sight.BLAMED else self._smallest
                yield replace(find_out(row, sizes), word=named.word)

    def _smallest(self, row: Row, sizes: Sequence[str]) -> Row:
        """The row of the smallest size of which enough releases are stopped."""
        low, high = 0, len(sizes) - 1
        judged = self._counted(row, sizes[high])
        while low < high and judged.sight is Sight.SEEN:
            if self.budget.over:
                judged = replace(judged, why=f"from {sizes[low]} on not run: {self.budget}")
                break
            middle = (low + high) // 2
            if (smaller := self._counted(row, sizes[middle])).sight is Sight.SEEN:
                judged, high = smaller, middle
            else:
                low = middle + 1
        known = judged.sight is not Sight.BLIND and sizes[high]
        return replace(judged, smallest=sizes[high].replace("%", " %") if known else "")

    def _spared(self, row: Row, sizes: Sequence[str]) -> Row:
        """The row of an innocent class: up to which size no release is stopped."""
        spared = ""
        for size in sizes:
            if spared and self.budget.over:
                row = replace(row, why=f"from {size} on not run: {self.budget}")
                break
            found = self._released(row, size)
            if any(virtual_run.outcome != PROMOTED for virtual_run in found):
                return _blamed(row, spared, f"{_most(found)} from {size} on")
            spared = f"up to {size}"
        return replace(row, sight=Sight.SPARED, smallest=spared)

    def _released(self, row: Row, size: str) -> list[VirtualRollout]:
        scenario = faults.scenario(row.word.format(size), self.study.traffic)
        return [run for _, run in simulation.simulate(self.subject(), [scenario], TRIED)]

    def _counted(self, row: Row, size: str) -> Row:
        virtual_runs = self._released(row, size)
        outcomes = Counter(virtual_run.outcome for virtual_run in virtual_runs)
        stopped = [run for run in virtual_runs if run.outcome == ROLLED_BACK]
        # Of so few, none may be the share that is allowed to slip.
        enough = math.ceil(self.power * TRIED)
        if len(stopped) >= enough:
            after_s = round(statistics.median(virtual_run.ended_s for virtual_run in stopped), 1)
            return replace(row, sight=Sight.SEEN, gate=_most(stopped), after_s=after_s)
        if TRIED - outcomes[PROMOTED] >= enough:
            return replace(row, sight=Sight.PAUSED, gate=_most(virtual_runs))
        return replace(row, sight=Sight.BLIND)


def _blamed(row: Row, spared: str, gate: str) -> Row:
    """An innocent class that a gate stops from some size on."""
    return replace(row, sight=Sight.SPARED if spared else Sight.BLAMED, smallest=spared, gate=gate)


def _first(outcomes: Outcomes) -> str:
    """The gate that ended most of the releases."""
    by = outcomes.by[outcomes.by >= 0]
    return outcomes.gates[int(np.bincount(by).argmax())] if len(by) else ""


def _not_synthesised(study: Study) -> Iterator[str]:
    """What some gate reads that is in no series here."""
    for metric in {
        measurement.metric.name: measurement.metric for measurement in study.measurements
    }.values():
        try:
            selectors = promql.parse(metric.query).selectors
        except PromqlError as wrong:
            yield f"{metric.name}: {wrong}"
            continue
        for selector in selectors:
            others = {m.label for m in selector.matchers} - _LABELS
            if not _METRICS.fullmatch(selector.metric) or others:
                read = selector.metric or "a selector without a name"
                by = f" by {', '.join(sorted(others))}" if others else ""
                yield f"{metric.name} reads {read}{by}, which is not synthesised"


def _most(virtual_runs: Sequence[VirtualRollout]) -> str:
    """The gate that ended most of the releases."""
    by = Counter(
        virtual_run.tripped[0]
        for virtual_run in virtual_runs
        if virtual_run.outcome != PROMOTED and virtual_run.tripped
    )
    return by.most_common(1)[0][0] if by else ""


# ------------------------------------------------------------------------------------- its words

HEAD = ("fault", "a rehearsal's word", "release", "smallest", "by", "median s")


def _cells(found: Blindness) -> list[tuple[str, ...]]:
    return [
        (
            row.fault,
            row.word or "—",
            str(row.sight),
            row.smallest or "—",
            row.gate or "—",
            "—" if row.after_s is None else f"{row.after_s:.0f}",
        )
        for row in found.rows
    ]


def _notes(found: Blindness) -> list[str]:
    notes = [f"{row.fault}: {row.why}" for row in found.rows if row.why]
    notes += [f"{gate} is not modelled: {why}" for gate, why in found.unmodelled.items()]
    return notes + [f"assumed of {metric}: {what}" for metric, what in found.assumed.items()]


def table(found: Blindness) -> str:
    """For people at a terminal."""
    head = (
        f"{found.release} at {found.requests_per_s:g} requests/s; a class is seen if "
        f"{found.power:.0%} of such releases are rolled back"
    )
    left = range(len(HEAD) - 1)
    return "\n".join([head, "", *tables.text(HEAD, _cells(found), left), "", *_notes(found)])


def markdown(found: Blindness) -> str:
    """For a pull request."""
    title = f"**canary blind** · {found.release} at {found.requests_per_s:g} requests/s"
    rows = tables.markdown(HEAD, _cells(found), range(len(HEAD) - 1))
    return "\n".join([title, "", *rows, "", *(f"- {note}" for note in _notes(found))])


FORMATS: Mapping[str, Callable[[Blindness], str]] = {
    "table": table,
    "json": tables.document,
    "markdown": markdown,
}
