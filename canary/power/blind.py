"""Which classes of fault the gates of a release see, the smallest they see, and which gate does.

A row is claimed only where the model of `monte_carlo` follows it. A class that some gate might see
in a way that is not modelled is unknown, and the row names the gate; a class that no gate's query
can tell from health is not seen, which needs no model.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum

import numpy as np

from canary import tables
from canary.argo import promql
from canary.argo.dialects import takes
from canary.argo.promql import PromqlError
from canary.power.monte_carlo import Outcomes, Study
from canary.power.samples import SLOW_S, Fault

# A refusal such as a client would get by its own fault, beside what a good request gets.
REFUSED = "404"
# When nobody comes: a request in a hundred seconds.
IDLE_RPS = 0.01
# Exporters that count no requests.
_OF_THE_PLATFORM = re.compile(r"container_|kube_|node_|up$")


class Sight(StrEnum):
    """What becomes of a class of faulty releases."""

    SEEN = "rolled back"
    PAUSED = "paused"
    BLIND = "not seen"
    UNKNOWN = "not known"


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

    @property
    def says_something(self) -> bool:
        """Whether any class is known."""
        return any(row.sight is not Sight.UNKNOWN for row in self.rows)


def find(study: Study, power: float, progress: Callable[[int, int], None]) -> Blindness:
    """Tries every class of fault.

    Args:
        study: The release and its traffic.
        power: The share of faulty releases that must be rolled back for a class to be seen.
        progress: Is told how many classes are done, of how many.
    """
    rows = []
    for row in _rows(study, power):
        rows.append(row)
        progress(len(rows), CLASSES)
    name = study.rollout.name
    return Blindness(name, study.traffic.requests_per_s, power, tuple(rows), study.unmodelled)


# As many rows as `_rows` makes.
CLASSES = 9


def _rows(study: Study, power: float) -> Iterator[Row]:
    yield _sized(study, power, "errors on all routes", "errors=3%", lambda s: Fault(error_rate=s))
    yield _route(study, power)
    slow = f"requests of {SLOW_S * 1000:.0f} ms"
    yield _sized(study, power, slow, "latency=400ms@10%", lambda s: Fault(slow_share=s))
    yield _sized(study, power, "CPU, of its limit", "cpu=90%", lambda s: Fault(cpu=s))
    crash = study.outcomes(Fault(restarts=1.0))
    yield _judged(study, power, Row("a crash, or a leak", "crash=500", Sight.BLIND), crash)
    yield _late(study, power)
    yield _refusals(study)
    yield _uncounted(study, power)
    yield _idle(study, power)


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


def _sized(
    study: Study, power: float, fault: str, word: str, make: Callable[[float], Fault]
) -> Row:
    """A class whose faults have a size from nothing to all."""
    size = study.smallest_detected(make, power)
    # What is not rolled back even if it is all may be paused.
    smallest = "100 %" if size is None else f"{100 * size:.2g} %"
    row = Row(fault, word, Sight.BLIND, smallest)
    return _judged(study, power, row, study.outcomes(make(1.0 if size is None else size)))


def _route(study: Study, power: float) -> Row:
    """One route that fails entirely: to gates that count all routes as one, a share of errors."""
    fault, word = "one route fails", "errors=100%@/v1/overloads"
    usual = study.traffic.error_rate
    row = _sized(study, power, fault, word, lambda s: Fault(error_rate=s + (1 - s) * usual))
    if row.smallest:
        return replace(row, smallest=f"{row.smallest} of the requests")
    return row


def _late(study: Study, power: float) -> Row:
    """Errors of every request that begin late, and when they must begin to be seen."""
    row = Row("all fail, but late", "errors=100%,after=90s", Sight.BLIND)
    step_s, end_s = 5.0, study.walk.ended_s
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


def _refusals(study: Study) -> Row:
    """Responses of 4xx: to a gate that tells them from good ones nowhere they are healthy."""
    row = Row("refused: 401, 404, 422", "status=404@100%", Sight.BLIND)
    if telling := [name for name, query in _queries(study) if _tells_refusals(study, query)]:
        why = f"{', '.join(telling)} tells 404 from 200, which is not modelled"
        return replace(row, sight=Sight.UNKNOWN, why=why)
    return replace(row, why="no query tells 404 from 200")


def _tells_refusals(study: Study, query: promql.Query) -> bool:
    for selector in query.selectors:
        dialect = study.vocabulary.of(selector.metric)
        if dialect is None and not _OF_THE_PLATFORM.match(selector.metric):
            return True  # for all that is known
        outcomes = dialect.outcomes if dialect else {}
        for matcher in selector.matchers:
            good = outcomes.get(matcher.label, ("", ""))[0]
            if good.isdecimal() and takes(matcher, REFUSED[: len(good)]) != takes(matcher, good):
                return True
    return False


def _queries(study: Study) -> Iterator[tuple[str, promql.Query]]:
    """Each gate with its query; one that no Prometheus would take tells nothing apart."""
    for metric in {look.metric.name: look.metric for look in study.looks}.values():
        with contextlib.suppress(PromqlError):
            yield metric.name, promql.parse(metric.query)


def _uncounted(study: Study, power: float) -> Row:
    """Requests that hang or are cut off: the service counts none, so that only their lack shows."""
    made = _sized(
        study, power, "hangs and resets", "reset=10%", lambda size: Fault(lost_share=size)
    )
    return replace(made, why=made.why or "a hang keeps a thread too, which is not modelled")


def _idle(study: Study, power: float) -> Row:
    """A canary that nobody asks."""
    idle = study.under(replace(study.traffic, requests_per_s=IDLE_RPS))
    row = Row("the canary gets no requests", "--without traffic", Sight.BLIND)
    return _judged(idle, power, row, idle.outcomes(Fault()))


# ------------------------------------------------------------------------------------- its words

HEAD = ("fault", "a rehearsal's word", "release", "smallest", "by", "median s")


def _cells(found: Blindness) -> list[tuple[str, ...]]:
    return [
        (
            row.fault,
            row.word,
            str(row.sight),
            row.smallest or "—",
            row.gate or "—",
            "—" if row.after_s is None else f"{row.after_s:.0f}",
        )
        for row in found.rows
    ]


def _notes(found: Blindness) -> list[str]:
    notes = [f"{row.fault}: {row.why}" for row in found.rows if row.why]
    return notes + [f"{gate} is not modelled: {why}" for gate, why in found.unmodelled.items()]


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


def document(found: Blindness) -> str:
    """JSON, everything."""
    return json.dumps(asdict(found), indent=2)


FORMATS: Mapping[str, Callable[[Blindness], str]] = {
    "table": table,
    "json": document,
    "markdown": markdown,
}
