"""Thousands of releases through the real query engine, without waiting.

Each release is taken through its steps twice: first with answers that always pass, to see when its
pods live, so that its samples can be written into a real Prometheus; then with the shipped queries,
asked at the instants at which the controller would ask them. Judging and stepping are the
rehearsal's own.
"""

import itertools
import math
import random
import tempfile
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Self

from canary.argo import analysis, promql, virtual_rollout
from canary.argo.model import Hashes, Measurement, Metric, Phase, Rollout
from canary.argo.promql import Selector
from canary.argo.releases import LATEST, STABLE
from canary.argo.virtual_rollout import VirtualRollout
from canary.power import backfill, synthetic_series
from canary.power.samples import Fault, Traffic
from canary.power.synthetic_series import Family, Names, ScrapeNoise
from canary.runtime import program
from canary.runtime.prometheus import Client, QueryError

# Where Prometheus's clock stands for the first release: a whole number of blocks, long past.
EPOCH_S = 1_700_006_400

# What an instant query may still see of a series that ended (Prometheus's look-back), and more.
GAP_S = 330.0

# Longer than the step of any subquery of a gate that reads several scrapes.
PHASES_S = 60.0

# How long the stable pods have been scraped before a release, where a query sees them.
HISTORY_S = 330.0

# Prometheus answers one query on one core; two in flight keep two cores busy.
THREADS = 2

# Prometheus tells instants apart to the millisecond.
SAME_INSTANT_S = 0.0005

# The samples of a release that waits are made anew at most so often.
MAX_WAITS = 100


@dataclass(frozen=True)
class Scenario:
    """A kind of release: its fault, its traffic and its scrapes."""

    name: str
    fault: Fault = field(default_factory=Fault)
    traffic: Traffic = field(default_factory=lambda: Traffic(100.0))
    weather: ScrapeNoise = field(default_factory=ScrapeNoise)
    prometheus_gone: bool = False
    never_ready: bool = False


@dataclass(frozen=True)
class Subject:
    """What is released, how its pods are called and limited, and where Prometheus listens.

    Without `addresses`, at any that a gate asks.
    """

    rollout: Rollout
    container: str
    cpu_limit: float = 1.0
    addresses: frozenset[str] = frozenset()
    families: tuple[Family, ...] = ()


@dataclass(frozen=True)
class Trial:
    """One release with its place in the database."""

    scenario: Scenario
    seed: int
    base_s: float
    virtual_run: VirtualRollout

    @property
    def hashes(self) -> Hashes:
        """Hashes of its own, so that releases do not meet in a scoped query."""
        return Hashes(f"c{self.seed:05d}", f"s{self.seed:05d}")

    def latency(self) -> Callable[[], float]:
        """Readiness of its pods: seeded, so both times see the same."""
        if self.scenario.never_ready:
            return lambda: math.inf
        draw = random.Random(self.seed)  # noqa: S311 — a simulation
        return lambda: draw.uniform(3.0, 8.0)


# Each release, with what came of it.
Released = list[tuple[Trial, VirtualRollout]]
# Is told how many releases are done, of how many.
Progress = Callable[[int, int], None]


def _untold(_done: int, _all: int) -> None:
    """Progress that nobody watches."""


class Recordings:
    """Servers over the samples of releases: what was written is found again, and asked once.

    Broken copies of a gate release the same pods under the same requests, and most of their
    queries are the same. While it `keeps`, what is written stays until the end.
    """

    def __init__(self, *, keeps: bool = False) -> None:
        self.keeps = keeps
        self._stack = ExitStack()
        self._held: list[tuple[synthetic_series.Release, Client]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._stack.close()

    @contextmanager
    def of(self, subject: Subject, trials: Sequence[Trial]) -> Iterator[dict[int, Client]]:
        """A server for each release, by its seed."""
        wanted = {trial.seed: _recorded(subject, trial) for trial in trials}
        found = {
            seed: client
            for seed, release in wanted.items()
            for held, client in self._held
            if replace(held, asked=release.asked) == release and release.asked <= held.asked
        }
        missing = [trial for trial in trials if trial.seed not in found]
        with nullcontext(self._stack) if self.keeps else ExitStack() as stack:
            if missing:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gates-")))
                prepare(subject, missing, folder)
                server = _Remembering(stack.enter_context(backfill.serving(folder)).url)
                found |= {trial.seed: server for trial in missing}
                if self.keeps:
                    self._held += [(wanted[trial.seed], server) for trial in missing]
            yield found


class _Remembering(Client):
    """Asks nothing twice: what was written does not change."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._query = cache(super().query)
        self._range = cache(super().query_range)

    def query(
        self, query: str, timeout_s: float = 30.0, at_s: float | None = None
    ) -> float | tuple[float, ...]:
        return self._query(query, timeout_s, at_s)

    def query_range(
        self, query: str, start_s: float, end_s: float, step_s: float
    ) -> dict[int, tuple[float, ...]]:
        return self._range(query, start_s, end_s, step_s)


def simulate(
    subject: Subject,
    scenarios: Sequence[Scenario],
    releases: int,
    progress: Progress = _untold,
    *,
    only: Container[str] = (),
    recordings: Recordings | None = None,
) -> Released:
    """Releases each scenario so many times; the trials with what came of each.

    `only` names those to release: each is the same release as among all of them.

    Raises:
        MachineError: if Prometheus or promtool cannot be had.
    """
    recordings = recordings or Recordings()
    released = _released(subject, plan(subject, scenarios, releases, only), recordings, progress)
    found = {trial.seed: (trial, virtual_run) for trial, virtual_run in released}
    # Who waited at a weight had other pods than was assumed, so its samples are made anew: each
    # time the first wait that differs is right, and a release has no more waits than measurements.
    for _ in range(MAX_WAITS):
        waited = [
            replace(trial, virtual_run=virtual_run)
            for trial, virtual_run in found.values()
            if _waited(trial, virtual_run)
        ]
        if not waited:
            break
        again = _released(subject, waited, recordings)
        found |= {trial.seed: (trial, virtual_run) for trial, virtual_run in again}
    return list(found.values())


def by_kind(released: Released) -> dict[str, list[VirtualRollout]]:
    """How the releases of each kind went, by its name, in the order of their first ones."""
    found: dict[str, list[VirtualRollout]] = {}
    for trial, virtual_run in released:
        found.setdefault(trial.scenario.name, []).append(virtual_run)
    return found


def _released(
    subject: Subject, trials: Sequence[Trial], recordings: Recordings, progress: Progress = _untold
) -> Released:
    """Takes each release through its steps with real answers, of the server for its seed."""
    scalars: dict[str, bool] = {}
    results: Released = []
    with recordings.of(subject, trials) as servers, program.threads(THREADS) as pool:
        virtual_runs = pool.map(
            lambda trial: _roll_out(subject, trial, servers[trial.seed], scalars), trials
        )
        for trial, virtual_run in zip(trials, virtual_runs, strict=True):
            results.append((trial, virtual_run))
            progress(len(results), len(trials))
    return results


def _waited(trial: Trial, virtual_run: VirtualRollout) -> bool:
    """Whether a release stayed at a weight for longer than its samples do."""
    came = [at for at in virtual_run.weights if at[1]]
    assumed = [at for at in trial.virtual_run.weights if at[0] < virtual_run.ended_s][: len(came)]
    return (
        came != assumed or virtual_run.ended_s > trial.virtual_run.ended_s + virtual_rollout.TICK_S
    )


def plan(
    subject: Subject, scenarios: Sequence[Scenario], releases: int, only: Container[str] = ()
) -> list[Trial]:
    """Gives each release its seed, its pods' lives and its place in time."""
    trials = []
    wanted = itertools.product(range(releases), scenarios)
    places = _places(subject.rollout)
    for seed, ((_, scenario), base_s) in enumerate(zip(wanted, places, strict=False)):
        if only and scenario.name not in only:
            continue
        trial = Trial(scenario, seed, base_s, _NOT_RUN)
        virtual_run = virtual_rollout.roll_out(
            subject.rollout, trial.hashes, virtual_rollout.always_passing, trial.latency()
        )
        trials.append(replace(trial, virtual_run=virtual_run))
    return trials


def prepare(subject: Subject, trials: Sequence[Trial], folder: Path) -> None:
    """Writes every release's samples into blocks in a folder."""

    def lines(inside: Iterable[Trial]) -> Iterator[str]:
        for trial in inside:
            program.heed()
            yield from synthetic_series.lines(_recorded(subject, trial))

    blocks = itertools.groupby(trials, key=lambda trial: int(trial.base_s) // backfill.BLOCK_S)
    with program.threads(THREADS) as pool:
        for done in [
            pool.submit(backfill.load, lines(list(inside)), folder, f"block-{block}")
            for block, inside in blocks
        ]:
            done.result()


def _roll_out(
    subject: Subject, trial: Trial, server: Client, scalars: dict[str, bool]
) -> VirtualRollout:
    ahead = _Ahead(trial, server, scalars)

    def measured(metric: Metric, now: float) -> Measurement:
        elsewhere = subject.addresses and metric.address not in subject.addresses
        if trial.scenario.prometheus_gone or elsewhere:
            return _error(now, "connection refused")
        result = ahead.answer(metric, now)
        if result is None:
            return measure(metric, _asked(metric.query, trial.hashes), server, trial.base_s, now)
        return _judged(metric, result, now)

    return virtual_rollout.roll_out(subject.rollout, trial.hashes, measured, trial.latency())


class _Ahead:
    """Answers asked for before their instants come.

    A release's background measurements are asked for many at once, since most of what an instant
    costs is a subquery that the next instant asks for again. `scalars` says of a query whether its
    answer is a number that is no series, once some release has asked.
    """

    def __init__(self, trial: Trial, server: Client, scalars: dict[str, bool]) -> None:
        self._trial, self._server, self._scalars = trial, server, scalars
        self._found: dict[tuple[str, int], tuple[float, ...]] = {}
        self._open = {
            metric.query: list(_evenly_spaced([m.started_at for m in found.measurements]))
            for run in trial.virtual_run.runs
            for metric in run.metrics
            if run.step_index is None and (found := run.results.get(metric.name))
        }

    def answer(self, metric: Metric, now: float) -> tuple[float, ...] | None:
        """The answer, if it can be had ahead."""
        key = (metric.query, self._millisecond(now))
        open_ = self._open.get(metric.query)
        while open_ and key not in self._found and open_[0][0][0] <= now:
            self._ask(metric.query, *open_.pop(0))
        return self._found.get(key)

    def _ask(self, query: str, instants: Sequence[float], step_s: float) -> None:
        text, base_s = _asked(query, self._trial.hashes), self._trial.base_s
        first, last = (base_s + instants[index] for index in (0, -1))
        try:
            # A number that is no series looks like one in a range, and is asked for in its turn.
            if query not in self._scalars:
                self._scalars[query] = isinstance(self._server.query(text, at_s=first), float)
            if self._scalars[query]:
                return
            found = self._server.query_range(text, first, last, step_s)
        except QueryError:
            return  # at one of the instants: each is asked in its turn
        for at_s in instants:
            key = self._millisecond(at_s)
            self._found[query, key] = found.get(key, ())

    def _millisecond(self, now: float) -> int:
        return round((self._trial.base_s + now) * 1000)


def _evenly_spaced(instants: Sequence[float]) -> Iterator[tuple[Sequence[float], float]]:
    """The instants in runs of one distance each, to the millisecond, with that distance."""
    left = list(instants)
    while left:
        step_s = left[1] - left[0] if len(left) > 1 else 1.0
        expected = (left[0] + index * step_s for index in range(len(left)))
        alike = [abs(at_s - at) < SAME_INSTANT_S for at_s, at in zip(left, expected, strict=True)]
        count = (*alike, False).index(False)
        yield left[:count], step_s
        del left[:count]


def measure(metric: Metric, query: str, server: Client, base_s: float, now: float) -> Measurement:
    """One measurement of a release that began at an instant of the server's clock."""
    try:
        result = server.query(query, at_s=base_s + now)
    except QueryError as wrong:
        return _error(now, str(wrong))
    return _judged(metric, result, now)


def _judged(metric: Metric, result: float | tuple[float, ...], now: float) -> Measurement:
    phase, message = analysis.judge(metric, result)
    values = result if isinstance(result, tuple) else (result,)
    number = values[0] if values else None
    return Measurement(phase, now, now + virtual_rollout.QUERY_S, str(values), message, number)


def _error(now: float, message: str) -> Measurement:
    return Measurement(Phase.ERROR, now, now + virtual_rollout.QUERY_S, "", message)


def _recorded(subject: Subject, trial: Trial) -> synthetic_series.Release:
    """What there is to write of a release; stable pods are left out where no query sees them."""
    rollout, hashes = subject.rollout, trial.hashes
    stable = not _names(rollout, LATEST)
    return synthetic_series.Release(
        names=Names(
            rollout.name, rollout.namespace, subject.container, hashes.latest, hashes.stable
        ),
        pods=trial.virtual_run.pods,
        traffic=trial.scenario.traffic,
        fault=trial.scenario.fault,
        weather=trial.scenario.weather,
        base_s=trial.base_s,
        end_s=trial.virtual_run.ended_s + 10.0,
        cpu_limit=subject.cpu_limit,
        seed=trial.seed,
        history_s=HISTORY_S if stable else 0.0,
        stable=stable,
        families=subject.families,
        # None if that is not known.
        asked=frozenset(selector.metric for selector in _selectors(rollout) or ()),
    )


def _places(rollout: Rollout) -> Iterator[float]:
    """Starting instants. Where a query is not scoped, releases must follow one another."""
    length = virtual_rollout.roll_out(
        rollout, Hashes("latest", "stable"), virtual_rollout.always_passing, lambda: 8.0
    ).ended_s
    apart = 0.0 if _names(rollout, LATEST, STABLE) else HISTORY_S + length + GAP_S
    fit = 25 if not apart else max(int((backfill.BLOCK_S - 1) // apart), 1)
    # A subquery's instants are multiples of its step, and a release begins anywhere between them.
    draw = random.Random(0)  # noqa: S311 — a simulation
    for index in itertools.count():
        block, place = divmod(index, fit)
        begins = round(draw.uniform(0.0, PHASES_S), 3)
        yield EPOCH_S + block * backfill.BLOCK_S + HISTORY_S + place * apart + begins


def _names(rollout: Rollout, *tokens: str) -> bool:
    """Whether every selector of every gate singles out one of these ReplicaSets."""
    found = _selectors(rollout)
    return found is not None and all(selector.mentions(tokens) for selector in found)


def _selectors(rollout: Rollout) -> list[Selector] | None:
    queries = (m.query for what in rollout.analyses for m in what.metrics)
    try:
        return [selector for query in queries for selector in promql.parse(query).selectors]
    except promql.PromqlError:
        return None


def _asked(query: str, hashes: Hashes) -> str:
    """The query with this release's own hashes in place of the stand-ins."""
    return query.replace(LATEST, hashes.latest).replace(STABLE, hashes.stable)


_NOT_RUN = VirtualRollout("", 0.0, 0, "", (), (), ())
