"""Which classes of fault the gates of a release see, the smallest they see, and which gate does.

Most classes are drawn by the model of `monte_carlo`. Those at which gates wait and measure again,
or that it does not follow, are released through a real Prometheus: fewer times, so in coarser
sizes. What neither follows is not known, and the row names why.
"""

from __future__ import annotations

import math
import re
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from canary import tables
from canary.argo import promql
from canary.argo.promql import PromqlError
from canary.argo.virtual_rollout import PROMOTED, ROLLED_BACK, VirtualRollout
from canary.power import faults, simulation
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
    sight: Sight
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
    for row in _rows(study, subject, power, budget):
        rows.append(row)
        progress(len(rows), CLASSES)
    name = study.rollout.name
    rps = study.traffic.requests_per_s
    return Blindness(name, rps, power, tuple(rows), study.unmodelled, study.assumed)


# As many rows as `_rows` makes.
CLASSES = 13
# Shares of the requests that one route may have, and lengths of an outage, to be tried.
ROUTES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
OUTAGES_S = (1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 80.0)
# So many innocent releases may be stopped.
MAX_BLAMED = 0.01
LOST_AFTER = "the pods count them as answered, and no gate reads what a gateway counts"


def _rows(
    study: Study, subject: Callable[[], Subject], power: float, budget: Budget
) -> Iterator[Row]:
    """Every class; those that cost most come last."""
    slow = f"requests of {SLOW_S * 1000:.0f} ms"
    drawn: Sequence[tuple[Row, Callable[[Row], Row]]] = (
        (Row("none: a healthy release", "", Sight.BLAMED), lambda row: _healthy(study, row)),
        (
            Row("errors on all routes", "errors=3%", Sight.BLIND),
            lambda row: _sized(study, power, row, lambda s: Fault(error_rate=s)),
        ),
        (
            Row("one route fails", "errors=100%@/v1/orders", Sight.BLIND),
            lambda row: _route(study, power, row),
        ),
        (
            Row(slow, "latency=400ms@10%", Sight.BLIND),
            lambda row: _sized(study, power, row, lambda s: Fault(slow_share=s)),
        ),
        (
            Row("CPU, of its limit", "cpu=90%", Sight.BLIND),
            lambda row: _sized(study, power, row, lambda s: Fault(cpu=s)),
        ),
        (
            Row("a crash, or a leak", "crash=500", Sight.BLIND),
            lambda row: _judged(study, power, row, study.outcomes(Fault(restarts=1.0))),
        ),
        (
            Row("all fail, but late", "errors=100%,after=45s", Sight.BLIND),
            lambda row: _late(study, power, row),
        ),
        (
            Row("both lose a dependency", "database-down=2s@40s", Sight.BLAMED),
            lambda row: _shared(study, row),
        ),
    )
    for row, find_out in drawn:
        yield _not_run(row, budget) if budget.over else find_out(row)
    yield from _simulated(study, subject, power, budget)


def _not_run(row: Row, budget: Budget) -> Row:
    return replace(row, sight=Sight.NOT_RUN, why=f"not run: {budget}")


def _judged(study: Study, power: float, row: Row, outcomes: Outcomes) -> Row:
    """The row with what came of its releases."""
    if outcomes.rollback_rate >= power:
        detect_s = outcomes.detect_s()
        after_s = None if math.isnan(detect_s) else round(detect_s, 1)
        return replace(row, sight=Sight.SEEN, gate=_first(outcomes), after_s=after_s)
    if study.unmodelled:
        return replace(row, sight=Sight.UNKNOWN, smallest="", why=_not_followed(study))
    if outcomes.rollback_rate + outcomes.pause_rate >= power:
        return replace(row, sight=Sight.PAUSED, gate=_first(outcomes))
    return replace(row, sight=Sight.BLIND, smallest="")


def _first(outcomes: Outcomes) -> str:
    """The gate that ended most of the releases."""
    by = outcomes.by[outcomes.by >= 0]
    return outcomes.gates[int(np.bincount(by).argmax())] if len(by) else ""


def _not_followed(study: Study) -> str:
    return f"not modelled: {', '.join(study.unmodelled)}"


def _healthy(study: Study, row: Row) -> Row:
    """What becomes of a release without a fault: the other rows mean little where it is stopped."""
    outcomes = study.outcomes(Fault())
    if outcomes.rollback_rate + outcomes.pause_rate <= MAX_BLAMED:
        if study.unmodelled:
            return replace(row, sight=Sight.UNKNOWN, why=_not_followed(study))
        return replace(row, sight=Sight.SPARED)
    why = f"{outcomes.rollback_rate:.0%} are rolled back, {outcomes.pause_rate:.0%} paused"
    return replace(row, gate=_first(outcomes), why=why)


def _sized(study: Study, power: float, row: Row, make: Callable[[float], Fault]) -> Row:
    """A class whose faults have a size from nothing to all."""
    size = study.smallest_detected(make, power)
    # What is not rolled back even if it is all may be paused.
    smallest = "100 %" if size is None else f"{100 * size:.2g} %"
    outcomes = study.outcomes(make(1.0 if size is None else size))
    if size is not None and (whole := study.outcomes(make(1.0))).rollback_rate < power:
        ended = Sight.PAUSED if whole.pause_rate >= power else "not rolled back"
        row = replace(row, why=f"100 % is {ended}: no series is left that the query could read")
    return _judged(study, power, replace(row, smallest=smallest), outcomes)


def _route(study: Study, power: float, row: Row) -> Row:
    """One route that fails entirely, and how much of the requests it must have to be seen."""
    for share in ROUTES:
        divided = replace(study, traffic=replace(study.traffic, routes=(1 - share, share)))
        smallest = f"{100 * share:g} % of the requests"
        broken = divided.outcomes(Fault(route_broken=True))
        judged = _judged(divided, power, replace(row, smallest=smallest), broken)
        if judged.sight is Sight.SEEN:
            return judged
    return judged


def _shared(study: Study, row: Row) -> Row:
    """An outage of what stable and canary share: no release is to blame for it."""
    if study.unmodelled:
        return replace(row, sight=Sight.UNKNOWN, why=_not_followed(study))
    spared = ""
    for outage_s in OUTAGES_S:
        outcomes = study.outcomes(Fault(outage_s=outage_s))
        if outcomes.rollback_rate + outcomes.pause_rate > MAX_BLAMED:
            gate = f"{_first(outcomes)} from {outage_s:g} s on"
            return replace(
                row, sight=Sight.SPARED if spared else Sight.BLAMED, smallest=spared, gate=gate
            )
        spared = f"up to {outage_s:g} s"
    return replace(row, sight=Sight.SPARED, smallest=spared)


def _late(study: Study, power: float, row: Row) -> Row:
    """Errors of every request that begin late, and when they must begin to be seen."""
    step_s, end_s = 5.0, study.virtual_run.ended_s
    onset_s = 0.0
    low, high = 0, int(end_s // step_s)
    while low < high:
        middle = (low + high + 1) // 2
        outcomes = study.outcomes(Fault(error_rate=1.0, onset_s=middle * step_s))
        low, high = (middle, high) if outcomes.rollback_rate >= power else (low, middle - 1)
    onset_s = low * step_s
    outcomes = study.outcomes(Fault(error_rate=1.0, onset_s=onset_s))
    smallest = f"up to {onset_s:.0f} s of {end_s:.0f} s"
    return _judged(study, power, replace(row, smallest=smallest), outcomes)


# ------------------------------------------------------------------- through a real Prometheus

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


def _simulated(
    study: Study, subject: Callable[[], Subject], power: float, budget: Budget
) -> Iterator[Row]:
    rows = (
        (Row("refused: 401, 404, 422", "status=404@{}", Sight.BLIND), SHARES),
        (Row("hangs and resets", "reset={}", Sight.BLIND), SHARES),
        (Row("responses lost on the way", "cut={}", Sight.BLIND, why=LOST_AFTER), ("1%",)),
        (Row("a new pod is slow at first", "warmup={}", Sight.BLAMED), WARM_UPS),
        (Row("the canary gets no requests", "idle", Sight.BLIND), ("",)),
    )
    why = next(_not_synthesised(study), "")
    for row, sizes in rows:
        word = row.word.format(sizes[len(sizes) // 2])
        if why:
            yield replace(row, word=word, sight=Sight.UNKNOWN, why=why)
        elif budget.over:
            yield _not_run(replace(row, word=word), budget)
        elif row.why:
            yield replace(row, word=word)
        elif row.sight is Sight.BLAMED:
            yield replace(_spared(study, subject, row, sizes, budget), word=word)
        else:
            yield replace(_smallest(study, subject, row, sizes, power, budget), word=word)


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


def _smallest(
    study: Study,
    subject: Callable[[], Subject],
    row: Row,
    sizes: Sequence[str],
    power: float,
    budget: Budget,
) -> Row:
    """The row of the smallest size of which enough releases are stopped."""
    low, high = 0, len(sizes) - 1
    found = _released(study, subject, row.word.format(sizes[high]))
    judged = _counted(row, found, power)
    while low < high and judged.sight is Sight.SEEN:
        if budget.over:
            judged = replace(judged, why=f"from {sizes[low]} on not run: {budget}")
            break
        middle = (low + high) // 2
        found = _released(study, subject, row.word.format(sizes[middle]))
        if (smaller := _counted(row, found, power)).sight is Sight.SEEN:
            judged, high = smaller, middle
        else:
            low = middle + 1
    known = judged.sight is not Sight.BLIND and sizes[high]
    return replace(judged, smallest=sizes[high].replace("%", " %") if known else "")


def _spared(
    study: Study,
    subject: Callable[[], Subject],
    row: Row,
    sizes: Sequence[str],
    budget: Budget,
) -> Row:
    """The row of an innocent class: up to which size no release is stopped."""
    spared = ""
    for size in sizes:
        if spared and budget.over:
            row = replace(row, why=f"from {size} on not run: {budget}")
            break
        found = _released(study, subject, row.word.format(size))
        if any(virtual_run.outcome != PROMOTED for virtual_run in found):
            gate = f"{_most(found)} from {size} on"
            return replace(
                row, sight=Sight.SPARED if spared else Sight.BLAMED, smallest=spared, gate=gate
            )
        spared = f"up to {size}"
    return replace(row, sight=Sight.SPARED, smallest=spared)


def _released(study: Study, subject: Callable[[], Subject], words: str) -> list[VirtualRollout]:
    scenario = faults.scenario(words, study.traffic)
    return [virtual_run for _, virtual_run in simulation.simulate(subject(), [scenario], TRIED)]


def _counted(row: Row, virtual_runs: Sequence[VirtualRollout], power: float) -> Row:
    outcomes = Counter(virtual_run.outcome for virtual_run in virtual_runs)
    stopped = [virtual_run for virtual_run in virtual_runs if virtual_run.outcome == ROLLED_BACK]
    # Of so few, none may be the share that is allowed to slip.
    enough = math.ceil(power * len(virtual_runs))
    if len(stopped) >= enough:
        after_s = round(statistics.median(virtual_run.ended_s for virtual_run in stopped), 1)
        return replace(row, sight=Sight.SEEN, gate=_most(stopped), after_s=after_s)
    if len(virtual_runs) - outcomes[PROMOTED] >= enough:
        return replace(row, sight=Sight.PAUSED, gate=_most(virtual_runs))
    return replace(row, sight=Sight.BLIND)


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
