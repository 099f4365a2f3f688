"""Many releases at once, as the counters that a scrape would see: numpy, no waiting, no database.

A world is `n` releases of one fault. Each slot between two scrapes holds, for every release, how
many requests the canary and the stable pods answered, how many failed and how many were slow.
Requests arrive as a Poisson process and are shared by the pods that are ready; failures cluster by
`overdispersion`, the intra-class correlation of requests in a slot (0: independent).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from canary.argo.virtual_rollout import PodLifetime

Counts = NDArray[Any]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# A fast request of the service, and a slow one: 6 ms at the client, 400 ms injected (rehearsals).
FAST_S, SLOW_S = 0.02, 0.4


@dataclass(frozen=True)
class Traffic:
    """What users send, and how good the service is when it is well."""

    requests_per_s: float
    error_rate: float = 0.001
    slow_share: float = 0.005
    cpu: float = 0.2
    overdispersion: float = 0.0
    # The shares of the service's routes; empty: not known.
    routes: tuple[float, ...] = ()


@dataclass(frozen=True)
class Fault:
    """What the canary does instead, from `onset_s` of the release on; None leaves the baseline.

    `slow_s` is how long its slow requests take. `route_broken`: the last of the traffic's routes
    fails always. `outage_s` is no fault of the canary: for so long, some time in the release,
    every request fails, of stable as well. `warm_up_s`: a new pod's first requests are slow.
    `crash_s`: a pod that restarts does so that long after its first scrape, or before it.
    """

    error_rate: float | None = None
    slow_share: float | None = None
    slow_s: float = SLOW_S
    cpu: float | None = None
    restarts: float = 0.0
    crash_s: float = 20.0
    onset_s: float = 0.0
    # Of the container beside its own in each pod.
    proxy_restarts: float = 0.0
    # Of its requests, never answered or cut off: what serves them counts none of these.
    lost_share: float = 0.0
    # Of its requests, answered with a 4xx: in series of a real Prometheus alone.
    refused_share: float = 0.0
    route_broken: bool = False
    outage_s: float = 0.0
    warm_up_s: float = 0.0
    # For so long some of a new pod's requests fail: in series of a real Prometheus alone.
    failing_s: float = 0.0
    failing_share: float = 0.1
    # Of its second pod and every third one after it: in series of a real Prometheus alone.
    third_cpu: float | None = None

    def __str__(self) -> str:
        parts = (("errors", self.error_rate), ("slow", self.slow_share), ("cpu", self.cpu))
        named = [f"{name}={value:.3g}" for name, value in parts if value is not None]
        return ", ".join(named + ["crash"] * bool(self.restarts)) or "healthy"


@dataclass(frozen=True)
class Late:
    """Failures whose series begin with them: arrays of slots × n releases.

    The first failures that a scrape of a pod shows are its series' first sample, so they are no
    growth. Pods that are there from the beginning have had theirs long ago.

    Attributes:
        sums: What the series grew by over the first 0, 1, 2 … slots.
        unseen: Of each slot's growth, what came after the scrape within it.
        series: How many pods have a series after 0, 1, 2 … slots.
    """

    sums: Counts
    unseen: Counts
    series: Counts

    def grown(self, first: int, last: int) -> Counts:
        """Between the samples of slots `first` to `last` - 1."""
        if last <= first:
            return np.zeros_like(self.sums[0])
        found: Counts = self.sums[last] - self.sums[first] - self.unseen[last - 1]
        return found


@dataclass(frozen=True)
class First:
    """What pods that became ready in the release had counted when they were first scraped.

    Attributes:
        at_s: When each pod was first scraped: n releases × pods.
        mean_s: The same on average, as the slots have it.
        seen_s: When its first sample is, as the counts have it.
        counts: The answers of each pod until then: arrays of n releases × pods.
    """

    at_s: Floats
    mean_s: tuple[float, ...]
    seen_s: Floats
    counts: Trajectory


@dataclass(frozen=True)
class Trajectory:
    """One ReplicaSet's answers: arrays of n releases × slots; `pods` counts scraped pods.

    `split` divides it by routes. `since_start` is the same with what pods answered before their
    first scrape: their counters hold that, and no rate of them does. `first` is that pod by pod,
    where a pod's first scrape comes at random.
    """

    requests: Counts
    failed: Counts
    slow: Counts
    pods: Floats
    cpu: Counts
    restarts: float = 0.0
    split: Callable[[Trajectory], tuple[Trajectory, ...]] = lambda _: ()
    since_start: Trajectory | None = None
    first: First | None = None

    @cached_property
    def routes(self) -> tuple[Trajectory, ...]:
        """The answers of each route; empty if it is not known how requests divide."""
        parts = self.split(self)
        if self.since_start is not None:
            pairs = zip(parts, self.since_start.routes, strict=True)
            parts = tuple(replace(part, since_start=own) for part, own in pairs)
        if self.first is not None:
            firsts = zip(parts, self.first.counts.routes, strict=True)
            first = self.first
            parts = tuple(replace(part, first=replace(first, counts=own)) for part, own in firsts)
        return parts

    def total(self, what: str, first: int, last: int) -> Counts:
        """The sum of `requests`, `failed`, `slow` or `busy` over slots `first` to `last` - 1."""
        sums: Counts = getattr(self, f"_{what}_sums")
        between: Counts = sums[max(first, last)] - sums[first]
        return between

    def running(self, what: str, release: int) -> Floats:
        """One release's sums of the same over its first 0, 1, 2 … slots."""
        sums: Counts = getattr(self, f"_{what}_sums")
        return np.asarray(sums[:, release], dtype=float)

    # Every gate asks for the same few sums at every measurement; running ones make each a
    # subtraction.

    @cached_property
    def _requests_sums(self) -> Counts:
        return _running(self.requests)

    @cached_property
    def _failed_sums(self) -> Counts:
        return _running(self.failed)

    @cached_property
    def late(self) -> Late:
        """Failures whose series begin with them."""
        whole, rng = self.since_start or self, np.random.default_rng(0)
        noticed, without = self.failed.copy(), np.zeros(len(self.failed))
        before = self.pods[0] if self.first is None else 0.0
        series = [(1 - without) * before]
        for slot, pods in enumerate(self.pods.tolist()):
            if pods > before:
                new, at = pods - before, max(slot - 1, 0)
                at = at if whole.pods[at] > self.pods[at] else slot
                # What they answered in the scrape before their first one is in its series.
                early = whole.failed[:, at] - self.failed[:, at]
                without = (without * before + new * (1 - 1 / max(new, 1.0)) ** early) / pods
            noticed[:, slot] = rng.binomial(self.failed[:, slot], np.clip(1 - without, 0.0, 1.0))
            without = without * (1 - 1 / max(pods, 1.0)) ** whole.failed[:, slot]
            before = pods
            series.append((1 - without) * pods)
        return Late(_running(noticed), rng.binomial(noticed, 0.5).T, np.array(series))

    @cached_property
    def _slow_sums(self) -> Counts:
        return _running(self.slow)

    @cached_property
    def _busy_sums(self) -> Counts:
        """Cores used by all pods, as shares of one pod's limit."""
        return _running(self.cpu * self.pods)


def _together(a: Trajectory, b: Trajectory, pods: Floats) -> Trajectory:
    """The answers of both, as those of so many pods."""

    def split(_whole: Trajectory) -> tuple[Trajectory, ...]:
        return tuple(_together(*each, pods) for each in zip(a.routes, b.routes, strict=True))

    return replace(
        a,
        requests=a.requests + b.requests,
        failed=a.failed + b.failed,
        slow=a.slow + b.slow,
        pods=pods,
        split=split,
    )


def _undivided(_whole: Trajectory) -> tuple[Trajectory, ...]:
    return ()


def _running(counts: Counts) -> Counts:
    """Sums of each release's first 0, 1, 2 … slots: an array of slots + 1 × releases."""
    n, slots = counts.shape
    sums = np.zeros((slots + 1, n), dtype=np.result_type(counts, np.float64))
    np.cumsum(counts.T, axis=0, out=sums[1:])
    return sums


@dataclass(frozen=True)
class Samples:
    """`n` releases of one fault, seen every `scrape_s` seconds from `start_s` of the release on."""

    n: int
    start_s: float
    scrape_s: float
    canary: Trajectory
    draw_stable: Callable[[], Trajectory]
    cpu_limit: float
    errors_seen: Counts
    # What subqueries found, which later measurements ask for again.
    found: dict[tuple[str, float], Any] = field(default_factory=dict, compare=False)
    # Where in a step the instants of subqueries lie: each phase has its part of the releases.
    phases: tuple[float, ...] = (0.25, 0.75)
    # The same releases' other pods, which are scraped at other instants.
    others: tuple[Samples, ...] = ()

    @property
    def turns(self) -> tuple[Samples, ...]:
        """All pods, by when they are scraped."""
        return (self, *self.others)

    @property
    def stable(self) -> Trajectory:
        """The stable pods' answers; drawn when first asked for, since most gates never do."""
        return self.draw_stable()

    def slots(self, at_s: float, window_s: float) -> tuple[int, int]:
        """The slots between the first and the last scrape inside a window.

        No pod is scraped just when a window begins, so one that holds n intervals has n scrapes.
        """
        first = int(np.floor(round((at_s - window_s - self.start_s) / self.scrape_s, 6))) + 1
        last = int(np.floor(round((at_s - self.start_s) / self.scrape_s, 6)))
        return max(first, 0), min(max(last, 0), self.canary.requests.shape[1])


# Of pods that are measured more often than scraped: at so many instants of an interval.
TURNS = 6

# A new pod is found within so long, whatever the scrape interval (discovery, in Prometheus).
DISCOVERY_S = 5.0

# Clients that keep connections alive load pods unevenly: the coefficient of variation.
SKEW = 0.1

# Relative noise of a CPU reading over a window, from the rehearsals (0.92 ± 0.02 at 0.9).
CPU_NOISE = 0.03


@dataclass(eq=False)
class RandomDraws:
    """The chance that all faults of one rollout share; `world` adds a fault to it.

    Every fault meets the same arrivals and the same noise, so curves over sizes are smooth.

    Attributes:
        pods: As a virtual rollout left them.
        end_s: How long to measure, in seconds of the release.
        traffic: What users send.
        n: How many releases.
        scrape_s: Seconds between two scrapes.
        cpu_limit: Cores that a container may use.
        history_s: How long stable pods have been scraped before the release.
        seed: The same seed, the same releases.
        turns: At how many instants of an interval some of the pods are scraped. One stands for
            all where each measurement finds as many scrapes of every pod.
        shift: By how many of these instants each pod is scraped later than with none.
        turn: At which of them the pods here are scraped; those of the first know the others.
    """

    pods: Sequence[PodLifetime]
    end_s: float
    traffic: Traffic
    n: int
    _: KW_ONLY
    scrape_s: float = 5.0
    cpu_limit: float = 1.0
    history_s: float = 0.0
    seed: int = 0
    turns: int = 1
    shift: int = 0
    turn: int = 0

    def __post_init__(self) -> None:
        self.begin_s = -float(np.ceil(self.history_s / self.scrape_s)) * self.scrape_s
        self.slots = int(np.ceil((self.end_s - self.begin_s) / self.scrape_s)) + 1
        later = () if self.turn else range(1, self.turns)
        self.others = tuple(replace(self, turn=turn) for turn in later)

    @property
    def start_s(self) -> float:
        """When the first slot begins: a slot of each turn holds the beginning."""
        return self.begin_s - (-self.turn / self.turns % 1.0) * self.scrape_s

    def world(self, fault: Fault) -> Samples:
        """`n` releases of a fault."""
        canary, stable = self._faulty(self._canary, fault), lambda: self._stable_track
        early = self._faulty(self._early, fault, "early ")
        first_s, ready_s = self._first.seen_s, np.array([pod.ready_s for pod in self._new])
        first = self._faulty(self._first.counts, fault, "first ", ready_s)
        if fault.outage_s:
            canary = self._with_outage(canary, fault, "canary", self._starts, self.scrape_s)
            early = self._with_outage(early, fault, "early canary", self._starts, self.scrape_s)
            first = self._with_outage(first, fault, "first canary", ready_s, first_s - ready_s)
            stable = cache(
                lambda: self._with_outage(
                    self._stable_track, fault, "stable", self._starts, self.scrape_s
                )
            )
        counters = _together(canary, early, self._held(canary=True).sum(axis=0))
        canary = replace(canary, since_start=counters, first=replace(self._first, counts=first))
        errors = np.cumsum(counters.failed, axis=1)
        others = tuple(other.world(fault) for other in self.others)
        return Samples(
            self.n,
            self.start_s,
            self.scrape_s,
            canary,
            stable,
            self.cpu_limit,
            errors,
            others=others,
        )

    def _faulty(
        self, canary: Trajectory, fault: Fault, when: str = "", starts: Floats | None = None
    ) -> Trajectory:
        """What a fault makes of the canary's answers, which begin at `starts`: of each slot."""
        usual = self.traffic
        begun = (self._starts if starts is None else starts) >= fault.onset_s
        if fault.lost_share:
            canary = self._thinned(canary, np.where(begun, fault.lost_share, 0.0), when)
        if fault.error_rate is not None:
            rates = np.where(begun, fault.error_rate, usual.error_rate)
            canary = replace(canary, failed=self._some(canary.requests, rates, f"{when}failed"))
        if fault.slow_share is not None:
            rates = np.where(begun, fault.slow_share, usual.slow_share)
            canary = replace(canary, slow=self._some(canary.requests, rates, f"{when}slow"))
        if fault.cpu is not None:
            rates = np.where(begun, fault.cpu, usual.cpu)
            canary = replace(canary, cpu=canary.cpu * (rates / max(usual.cpu, 1e-9)))
        broken: Counts | None = None
        if fault.route_broken:
            rng, share = self._rng(f"{when}broken"), self.traffic.routes[-1]
            broken = rng.binomial(canary.requests, share)
            canary = replace(canary, failed=rng.binomial(canary.failed, 1 - share) + broken)
        return replace(
            canary,
            restarts=fault.restarts,
            split=lambda whole: self._by_route(whole, broken, when),
        )

    def _with_outage(
        self, track: Trajectory, fault: Fault, who: str, starts: Floats, length_s: float | Floats
    ) -> Trajectory:
        """The same with an outage, at the same instants of a release for canary and stable."""
        end_s = self.begin_s + self.slots * self.scrape_s
        began = self._rng("outage", shared=True).uniform(
            0.0, end_s - fault.outage_s, size=(self.n, 1)
        )
        last = np.minimum(starts + length_s, began + fault.outage_s)
        out = np.clip(last - np.maximum(starts, began), 0.0, None) / length_s
        good: Counts = track.requests - track.failed
        lost = self._rng(f"outage of {who}").binomial(good, out)
        return replace(track, failed=track.failed + lost)

    def _by_route(
        self, whole: Trajectory, broken: Counts | None = None, when: str = ""
    ) -> tuple[Trajectory, ...]:
        """Each route's part: every request has one, and those of a broken route failed."""
        shares, found = self.traffic.routes, []
        rng, there = self._rng(f"{when}routes"), whole.requests.any(axis=0)
        good: Counts = (whole.requests - whole.failed)[:, there]
        failed: Counts = (whole.failed if broken is None else whole.failed - broken)[:, there]
        others = shares if broken is None else shares[:-1]
        left = sum(others)
        for share in others:
            part = min(share / left, 1.0) if left > share else 1.0
            left -= share
            fine, bad = rng.binomial(good, part), rng.binomial(failed, part)
            good, failed = good - fine, failed - bad
            requests, failures = np.zeros_like(whole.requests), np.zeros_like(whole.requests)
            requests[:, there], failures[:, there] = fine + bad, bad
            found.append(replace(whole, requests=requests, failed=failures, split=_undivided))
        if broken is not None:
            found.append(replace(whole, requests=broken, failed=broken, split=_undivided))
        return tuple(found)

    def _thinned(self, whole: Trajectory, lost: Floats, when: str) -> Trajectory:
        """What is left where requests are lost, whatever would have become of them."""
        rng, kept = self._rng(f"{when}lost"), 1 - lost
        failed, slow = rng.binomial(whole.failed, kept), rng.binomial(whole.slow, kept)
        good = rng.binomial(whole.requests - whole.failed, kept)
        return replace(whole, requests=good + failed, failed=failed, slow=np.minimum(slow, good))

    @property
    def _starts(self) -> Floats:
        """When each slot begins, in seconds of the release."""
        return self.start_s + np.arange(self.slots, dtype=np.float64) * self.scrape_s

    @cached_property
    def _canary(self) -> Trajectory:
        return self._track(canary=True)

    @cached_property
    def _stable_track(self) -> Trajectory:
        return self._track(canary=False)

    @cached_property
    def _early(self) -> Trajectory:
        """What canary pods answer before their first scrape."""
        held = self._held(canary=True) - self._held(canary=True, scraped=True)
        return self._answered(held.sum(axis=0), self._share(held), "early canary")

    @property
    def _new(self) -> list[PodLifetime]:
        """The canary's pods that become ready in the release."""
        return [pod for pod in self._mine if pod.canary and 0 < pod.ready_s < np.inf]

    @cached_property
    def _mine(self) -> list[PodLifetime]:
        """The pods that are scraped at this turn: of each ReplicaSet as many as at any other."""
        mine = (self.turn - self.shift) % self.turns
        order = [*range(0, self.turns, 2), *range(1, self.turns, 2)]
        found = []
        for side in (True, False):
            pods = [pod for pod in self.pods if pod.canary is side]
            found += [pod for pod, turn in zip(pods, itertools.cycle(order)) if turn == mine]
        return found

    @cached_property
    def _first(self) -> First:
        """The first scrapes of pods, each found late and scraped in its turn."""
        ready_s = np.array([pod.ready_s for pod in self._new])
        draw, size = self._rng("first scrapes"), (self.n, len(ready_s))
        age_s = draw.uniform(0, DISCOVERY_S, size) + draw.uniform(0, self.scrape_s, size)
        mean_s = np.array([self._first_scrape_s(pod) for pod in self._new])
        # In one of many turns, the slots say when it is scraped.
        seen_s = ready_s + age_s if self.turns == 1 else np.broadcast_to(mean_s, size)
        slots = ((mean_s - self.start_s) / self.scrape_s).astype(int)
        slots = np.minimum(slots, self.slots - 1)
        new = [pod in self._new for pod in self.pods]
        each = self._weights[:, new] * self._per_weight[:, slots]
        counts = self._answered(
            np.ones(len(ready_s)), each * (seen_s - ready_s) / self.scrape_s, "first of canary"
        )
        return First(ready_s + age_s, tuple(mean_s.tolist()), seen_s, counts)

    def _first_scrape_s(self, pod: PodLifetime) -> float:
        """When a pod that becomes ready is first scraped on average: it must be found first."""
        if self.turns == 1:
            return pod.ready_s + (DISCOVERY_S + self.scrape_s) / 2
        found_s = pod.ready_s + DISCOVERY_S / 2 - self.start_s
        return self.start_s + float(np.ceil(found_s / self.scrape_s)) * self.scrape_s

    def _track(self, *, canary: bool) -> Trajectory:
        held = self._held(canary=canary, scraped=True)
        who = "canary" if canary else "stable"
        return self._answered(held.sum(axis=0), self._share(held), who)

    def _answered(self, pods: Floats, expected: Counts, who: str) -> Trajectory:
        """So many requests as are expected, and what becomes of them in a healthy release."""
        size = (self.n, len(pods))
        requests = self._rng(f"{who} requests").poisson(expected, size=size)
        traffic = self.traffic
        noise = self._rng(f"{who} cpu").standard_normal(size, dtype=np.float32)
        return Trajectory(
            requests=requests,
            failed=self._some(requests, np.full(len(pods), traffic.error_rate), f"{who} failed"),
            slow=self._some(requests, np.full(len(pods), traffic.slow_share), f"{who} slow"),
            pods=pods,
            cpu=traffic.cpu * (1 + CPU_NOISE * noise),
            split=self._by_route,
        )

    @cached_property
    def _weights(self) -> Floats:
        """How much of the traffic each pod draws, beside the others: n releases × pods."""
        shape = 1 / SKEW**2
        return self._rng("weights", shared=True).gamma(shape, 1 / shape, (self.n, len(self.pods)))

    @cached_property
    def _per_weight(self) -> Floats:
        """The requests that a pod of weight 1 answers: n releases × slots."""
        everybody = self._weights @ sum(
            self._held(canary=side, everybody=True) for side in (True, False)
        )
        return self.traffic.requests_per_s * self.scrape_s / np.maximum(everybody, 1e-9)

    def _share(self, held: Floats) -> Floats:
        """The requests that pods answer which hold so much of each slot: n releases × slots."""
        return (self._weights @ held) * self._per_weight

    def _held(self, *, canary: bool, scraped: bool = False, everybody: bool = False) -> Floats:
        """How much of each slot each pod of a ReplicaSet answers: pods × slots, 0 of the other.

        `scraped`: from their first scrape on. `everybody`: of pods of other turns as well.
        """
        starts = self._starts
        held = np.zeros((len(self.pods), self.slots))
        for row, pod in zip(held, self.pods, strict=True):
            if pod.canary is canary and (everybody or pod in self._mine):
                ready = self._first_scrape_s(pod) if scraped else pod.ready_s
                # What was ready when the release began has been so for as long as one can look.
                ready = self.start_s if pod.ready_s <= 0 else ready
                gone = np.inf if pod.gone_s is None else pod.gone_s
                spent = np.minimum(starts + self.scrape_s, gone) - np.maximum(starts, ready)
                row[:] = np.clip(spent, 0.0, self.scrape_s) / self.scrape_s
        return held

    def _some(self, requests: Counts, rates: Floats, purpose: str) -> Counts:
        """Which requests fail, or are slow: binomial, or beta-binomial if they cluster."""
        rng = self._rng(purpose)
        correlation = self.traffic.overdispersion
        if correlation <= 0:
            return rng.binomial(requests, rates)
        strength = 1 / correlation - 1
        certain = (rates <= 0) | (rates >= 1)
        inner = np.where(certain, 0.5, rates)
        drawn = rng.beta(inner * strength, (1 - inner) * strength, size=requests.shape)
        return rng.binomial(requests, np.where(certain, rates, drawn))

    def _rng(self, purpose: str, *, shared: bool = False) -> np.random.Generator:
        """The draws of one purpose, which the pods of every turn share or have for themselves."""
        own = f" {self.turn}" if self.turn and not shared else ""
        return np.random.default_rng([self.seed, *f"{purpose}{own}".encode()])
