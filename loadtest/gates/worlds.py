"""Many releases at once, as the counters that a scrape would see: numpy, no waiting, no database.

A world is `n` releases of one fault. Each slot between two scrapes holds, for every release, how
many requests the canary and the stable pods answered, how many failed and how many were slow.
Requests arrive as a Poisson process and are shared by the pods that are ready; failures cluster by
`overdispersion`, the intra-class correlation of requests in a slot (0: independent).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gates.walking import Life

Counts = NDArray[np.float64]


@dataclass(frozen=True)
class Traffic:
    """What users send, and how good the service is when it is well."""

    requests_per_s: float
    error_rate: float = 0.001
    slow_share: float = 0.005
    cpu: float = 0.2
    overdispersion: float = 0.0


@dataclass(frozen=True)
class Fault:
    """What the canary does instead, from `onset_s` of the release on; None leaves the baseline."""

    error_rate: float | None = None
    slow_share: float | None = None
    cpu: float | None = None
    restarts: float = 0.0
    onset_s: float = 0.0

    def __str__(self) -> str:
        parts = (("errors", self.error_rate), ("slow", self.slow_share), ("cpu", self.cpu))
        named = [f"{name}={value:.3g}" for name, value in parts if value is not None]
        return ", ".join(named + ["crash"] * bool(self.restarts)) or "healthy"


@dataclass(frozen=True)
class Track:
    """One ReplicaSet's answers: arrays of n releases × slots; `pods` counts scraped pods."""

    requests: Counts
    failed: Counts
    slow: Counts
    pods: NDArray[np.float64]
    cpu: Counts
    restarts: float


@dataclass(frozen=True)
class World:
    """`n` releases of one fault, seen every `scrape_s` seconds."""

    n: int
    scrape_s: float
    canary: Track
    stable: Track
    cpu_limit: float
    errors_seen: Counts

    @property
    def both(self) -> Track:
        """Canary and stable as one, as an unscoped query sees them."""
        a, b = self.canary, self.stable
        pods = a.pods + b.pods
        weight = np.divide(a.pods, pods, out=np.zeros_like(pods), where=pods > 0)
        return Track(
            requests=a.requests + b.requests,
            failed=a.failed + b.failed,
            slow=a.slow + b.slow,
            pods=pods,
            cpu=a.cpu * weight + b.cpu * (1 - weight),
            restarts=a.restarts,
        )

    def slots(self, at_s: float, window_s: float) -> tuple[int, int]:
        """The slots between the first and the last scrape inside a window."""
        first = int(np.ceil(round((at_s - window_s) / self.scrape_s, 6)))
        last = int(np.floor(round(at_s / self.scrape_s, 6)))
        return max(first, 0), min(max(last, 0), self.canary.requests.shape[1])


# Relative noise of a CPU reading over a window, from the rehearsals (0.92 ± 0.02 at 0.9).
CPU_NOISE = 0.03


def make(
    pods: Sequence[Life],
    end_s: float,
    traffic: Traffic,
    fault: Fault,
    n: int,
    *,
    scrape_s: float = 5.0,
    cpu_limit: float = 1.0,
    seed: int = 0,
) -> World:
    """Draws `n` releases whose pods live as in a walk."""
    rng = np.random.default_rng(seed)
    slots = int(np.ceil(end_s / scrape_s)) + 1
    seen = {
        canary: _exposure(pods, slots, scrape_s, canary, scraped=True) for canary in (True, False)
    }
    real = {canary: _exposure(pods, slots, scrape_s, canary) for canary in (True, False)}
    everything = np.maximum(real[True] + real[False], 1e-9)
    per_slot = traffic.requests_per_s * scrape_s
    bad = Traffic(
        traffic.requests_per_s,
        traffic.error_rate if fault.error_rate is None else fault.error_rate,
        traffic.slow_share if fault.slow_share is None else fault.slow_share,
        traffic.cpu if fault.cpu is None else fault.cpu,
        traffic.overdispersion,
    )
    canary = _track(rng, n, per_slot * seen[True] / everything, bad, seen[True], fault.restarts)
    stable = _track(rng, n, per_slot * seen[False] / everything, traffic, seen[False], 0.0)
    # What users met counts from the first request, scraped or not.
    unseen = per_slot * (real[True] - seen[True]) / everything * bad.error_rate
    errors_seen = np.cumsum(canary.failed + unseen, axis=1)
    return World(n, scrape_s, canary, stable, cpu_limit, errors_seen)


def _exposure(
    pods: Sequence[Life], slots: int, scrape_s: float, canary: bool, *, scraped: bool = False
) -> NDArray[np.float64]:
    """Pods of one ReplicaSet answering in each slot; `scraped` from their first scrape on only."""
    starts = np.arange(slots) * scrape_s
    total = np.zeros(slots)
    for pod in pods:
        if pod.canary is not canary:
            continue
        ready = np.ceil(pod.ready_s / scrape_s) * scrape_s if scraped else pod.ready_s
        gone = np.inf if pod.gone_s is None else pod.gone_s
        held = np.minimum(starts + scrape_s, gone) - np.maximum(starts, ready)
        total += np.clip(held, 0.0, scrape_s) / scrape_s
    return total


def _track(
    rng: np.random.Generator,
    n: int,
    mean: NDArray[np.float64],
    rates: Traffic,
    pods: NDArray[np.float64],
    restarts: float,
) -> Track:
    requests = rng.poisson(mean, size=(n, len(mean)))
    share = (rates.error_rate, rates.slow_share)
    failed, slow = (
        rng.binomial(requests, _clustered(rng, p, rates.overdispersion, requests.shape)).astype(
            float
        )
        for p in share
    )
    cpu = rates.cpu * (1 + CPU_NOISE * rng.standard_normal(requests.shape))
    return Track(requests.astype(float), failed, slow, pods, cpu, restarts)


def _clustered(
    rng: np.random.Generator, p: float, correlation: float, shape: tuple[int, ...]
) -> Counts | float:
    """Beta-binomial rates: the same mean, with requests of a slot correlated."""
    if correlation <= 0 or not 0 < p < 1:
        return p
    strength = 1 / correlation - 1
    return rng.beta(p * strength, (1 - p) * strength, size=shape)
