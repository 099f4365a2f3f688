"""What the gates of other tools would make of the same kinds of release, errors alone.

Each peer is taken as its documentation shows it, with weights, intervals and limits of its own:

- Argo Rollouts' example of a background analysis (docs/features/analysis.md): 20 % more every 10
  minutes; from 40 % on the success of the last two scrapes must be 95 %, every 5 minutes, and the
  fourth failure ends the release. Its condition is read as `result[0] >= 0.95`.
- Flagger's (docs/gitbook/usage/metrics.md): 10 % more every minute up to 50 %; the success of the
  last minute must be 99 %, the weight stays while it is not, and five such minutes end the release.
- Kayenta's Mann-Whitney judge (NetflixACAJudge.scala): for an hour a baseline and a canary of 10 %
  each, a point a minute, confidence 98 % and tolerance 25 %, judged at the end.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from canary.power.samples import Fault, Traffic

Numbers = NDArray[np.float64]

MINUTE_S = 60.0
SCRAPES_S = 5.0
# Of the standard normal distribution at 99 %, for an interval of 98 %.
Z_98 = 2.326


@dataclass(frozen=True)
class Verdicts:
    """Of each release: whether it was rolled back, after how long, and the errors until its end."""

    rolled_back: NDArray[np.bool_]
    ended_s: Numbers
    errors: Numbers

    def __str__(self) -> str:
        share = self.rolled_back.mean()
        if not share:
            return f"0 %, {np.median(self.errors):.0f} users"
        ended, errors = (np.median(each[self.rolled_back]) for each in (self.ended_s, self.errors))
        return f"{share:.2%}, {ended:.0f} s, {errors:.0f} users"


class _Releases:
    """n releases of one fault: what a share of the traffic meets in a stretch of time."""

    def __init__(self, traffic: Traffic, fault: Fault, n: int, lasts_s: float) -> None:
        self.n, self._traffic, self._fault = n, traffic, fault
        self._rng = np.random.default_rng(1)
        self._outage = self._rng.uniform(0.0, lasts_s - fault.outage_s, n)

    def meet(
        self, share: Numbers | float, start_s: float, for_s: float, *, sick: bool = True
    ) -> tuple[Numbers, Numbers]:
        """Requests, and failures among them, of the canary or of stable pods."""
        traffic, fault = self._traffic, self._fault
        sent = np.broadcast_to(np.asarray(share) * traffic.requests_per_s * for_s, self.n)
        requests = self._rng.poisson(sent)
        rate = traffic.error_rate
        if sick and fault.error_rate is not None:
            rate = fault.error_rate
        if sick and fault.route_broken:
            rate = 1 - (1 - rate) * (1 - traffic.routes[-1])
        last = np.minimum(start_s + for_s, self._outage + fault.outage_s)
        out = np.clip(last - np.maximum(start_s, self._outage), 0.0, None) / for_s
        failed = self._rng.binomial(requests, 1 - (1 - rate) * (1 - out))
        return requests.astype(float), failed.astype(float)


def _ratio(requests: Numbers, failed: Numbers) -> Numbers:
    found: Numbers = np.full(len(requests), np.nan)
    return np.divide(failed, requests, out=found, where=requests > 0)


def argo_example(traffic: Traffic, fault: Fault, n: int) -> Verdicts:
    """Argo Rollouts' documented background analysis."""
    lasts_s = 40 * MINUTE_S
    releases = _Releases(traffic, fault, n, lasts_s)
    failures, errors = np.zeros(n), np.zeros(n)
    ended = np.full(n, lasts_s)
    for start_s in np.arange(0.0, lasts_s, 5 * MINUTE_S):
        share = 0.2 * (1 + start_s // (10 * MINUTE_S))
        open_ = ended == lasts_s
        if start_s >= 10 * MINUTE_S:
            requests, failed = releases.meet(share, start_s - SCRAPES_S, SCRAPES_S)
            bad = ~(1 - _ratio(requests, failed) >= 0.95)
            failures += bad & open_
            ended[open_ & (failures > 3)] = start_s
            open_ = ended == lasts_s
        errors += releases.meet(share, start_s, 5 * MINUTE_S)[1] * open_
    return Verdicts(failures > 3, ended, errors)


def flagger(traffic: Traffic, fault: Fault, n: int) -> Verdicts:
    """Flagger's documented analysis; nobody waits for longer than it takes to fail five times."""
    minutes = 5 + 5
    releases = _Releases(traffic, fault, n, 5 * MINUTE_S)
    weight, failures, errors = np.full(n, 0.1), np.zeros(n), np.zeros(n)
    ended, open_ = np.zeros(n), np.ones(n, dtype=bool)
    for minute in range(minutes):
        requests, failed = releases.meet(weight, minute * MINUTE_S, MINUTE_S)
        errors += failed * open_
        good = 1 - _ratio(requests, failed) >= 0.99
        failures += ~good & open_
        promoted = open_ & good & (weight > 0.49)
        weight = np.where(good, weight + 0.1, weight)
        ended[open_] = (minute + 1) * MINUTE_S
        open_ &= ~promoted & (failures < 5)
    return Verdicts(failures >= 5, ended, errors)


def kayenta(traffic: Traffic, fault: Fault, n: int) -> Verdicts:
    """Kayenta's judge, after an hour."""
    points = 60
    releases = _Releases(traffic, fault, n, points * MINUTE_S)
    canary, baseline = (
        [releases.meet(0.1, minute * MINUTE_S, MINUTE_S, sick=sick) for minute in range(points)]
        for sick in (True, False)
    )
    a, b = (np.nan_to_num([_ratio(*each) for each in side]).T for side in (canary, baseline))
    away = Z_98 * np.sqrt(points * points * (2 * points + 1) / 12)
    rank = int(points * points / 2 - away)
    high = np.zeros(n, dtype=bool)
    for release in range(n):
        differences = np.sort(np.subtract.outer(a[release], b[release]), axis=None)
        # The Hodges-Lehmann estimate and the lower end of its interval.
        high[release] = differences[rank - 1] > 0.25 * abs(np.median(differences))
    errors = np.sum([failed for _, failed in canary], axis=0)
    return Verdicts(high, np.full(n, points * MINUTE_S), errors)


PEERS: Mapping[str, Callable[[Traffic, Fault, int], Verdicts]] = {
    "Argo's example": argo_example,
    "Flagger": flagger,
    "Kayenta": kayenta,
}
