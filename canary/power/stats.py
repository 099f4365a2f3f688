"""What a count says about the truth behind it, and how many requests a verdict needs. Pure.

Two questions have two models. `requests_to_detect` asks about one measurement of a canary, whose
requests within a window are a random number: failed and good ones are Poisson counts.
`requests_to_distinguish` asks about a run that sends a fixed number: failures are binomial.
"""

import math

import numpy as np

# Not scipy.stats, which takes a second to import.
from scipy import special

from canary.errors import UsageError

CONFIDENCE = 0.95
CERTAINTY = 0.999
# Above this the two sides are closer than a run of any sensible length can tell.
MAX_REQUESTS = 20_000_000


def ratio(count: int, of: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Where the true ratio lies, exact at any size; anywhere without requests.

    Clopper and Pearson, Biometrika 26, 1934.
    """
    if not of:
        return 0.0, 1.0
    tail = (1 - confidence) / 2
    low = float(special.betaincinv(count, of - count + 1, tail)) if count else 0.0
    high = float(special.betaincinv(count + 1, of - count, 1 - tail)) if count < of else 1.0
    return low, high


def ranks(quantile: float, of: int) -> tuple[int, int]:
    """Which two order statistics (from 1) hold the true quantile between them."""
    tail = (1 - CONFIDENCE) / 2
    low = _binomial_quantile(tail, of, quantile)
    high = _binomial_quantile(1 - tail, of, quantile) + 1
    return max(1, low), min(of, high)


def _binomial_quantile(probability: float, of: int, share: float) -> int:
    """The least count that at most `of` draws reach with at least this probability."""
    count: int = math.ceil(special.bdtrik(probability, of, share))
    lower = max(count - 1, 0)
    return lower if special.bdtr(lower, of, share) >= probability else count


def difference(
    first: tuple[int, int], second: tuple[int, int], confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Newcombe's interval (1998, method 10) for the second ratio − the first, of (count, of)."""
    if not first[1] or not second[1]:
        return -1.0, 1.0
    a, b = first[0] / first[1], second[0] / second[1]
    low_a, high_a = _wilson(*first, confidence)
    low_b, high_b = _wilson(*second, confidence)
    down = math.hypot(b - low_b, high_a - a)
    up = math.hypot(high_b - b, a - low_a)
    return b - a - down, b - a + up


def _wilson(count: int, of: int, confidence: float) -> tuple[float, float]:
    z = float(special.ndtri(1 - (1 - confidence) / 2))
    share, z2 = count / of, z * z
    centre = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = z / (1 + z2 / of) * math.sqrt(share * (1 - share) / of + z2 / (4 * of * of))
    return max(0.0, centre - half), min(1.0, centre + half)


def chance(requests: float, error_rate: float, limit: float, minimum: float = 0.0) -> float:
    """Exactly: how likely an error ratio over Poisson traffic reaches its limit.

    Failed and good requests are independent Poisson counts; the measurement trips if failed ÷ all ≥
    limit and there are at least `minimum` of all.

    Args:
        requests: The expected number of requests in the window.
        error_rate: The true share of failures, 0 to 1.
        limit: The gate's threshold, 0 to 1.
        minimum: Below this many requests the measurement does not judge.
    """
    bad, good = requests * error_rate, requests * (1 - error_rate)
    most = int(bad + 12 * math.sqrt(bad) + 20)
    failed = np.arange(1, most + 1)
    weights = np.exp(failed * math.log(bad) - bad - special.gammaln(failed + 1)) if bad else 0.0
    # failed ≥ limit of all is the same as good ≤ failed (1 / limit - 1)
    ceiling = np.floor(failed * (1 - limit) / limit + 1e-9)
    floor = np.maximum(np.ceil(minimum - failed), 0.0) - 1
    tail = special.pdtr(np.maximum(ceiling, 0.0), good)
    below = np.where(floor >= 0, special.pdtr(np.maximum(floor, 0.0), good), 0.0)
    return float(np.sum(weights * np.clip(tail - below, 0.0, 1.0)))


def requests_to_detect(error_rate: float, limit: float, power: float = 0.95) -> int | None:
    """How many requests one measurement needs to fail with this power; None at the limit."""
    if error_rate <= limit:
        return None
    size = 20.0
    while size < 2e6:  # noqa: PLR2004 — beyond two million no canary goes
        if chance(int(size), error_rate, limit) >= power:
            return int(size)
        size *= 1.05
    return None


def requests_to_distinguish(limit: float, good: float, bad: float) -> int:
    """The requests that tell a release at `good` from one at `bad`; all are ratios of one.

    A run fails when count / requests ≥ limit, and both releases must get the right verdict. The
    chance is the exact binomial one; it goes up and down with the rounding of limit × requests, so
    the answer is the least size from which on every larger one is enough too, as far as the search
    measurements.

    Raises:
        UsageError: if the limit is not strictly between them, or they are too close to be told.
    """
    if not 0 <= good < limit < bad <= 1:
        raise UsageError(
            f"the limit {limit:.3%} is not between {good:.3%} and {bad:.3%}",
            "give one ratio on either side of it",
        )
    # By the normal approximation.
    z = float(special.ndtri(CERTAINTY))
    sides = (z * z * p * (1 - p) / (limit - p) ** 2 for p in (good, bad))
    rough = max(*sides, 1 / limit)
    if rough > MAX_REQUESTS:
        raise UsageError(
            f"{good:.3%} and {bad:.3%} would need about {rough:,.0f} requests",
            "choose ratios further from the limit",
        )
    return _exact(limit, good, bad, rough)


def _exact(limit: float, good: float, bad: float, rough: float) -> int:
    # The sawtooth's period is 1/limit requests; ten of them beyond the rough answer are looked at.
    last = math.ceil(rough * 1.5 + 10 / limit)
    first = max(1, math.floor(rough * 0.5))
    stride = max(1, (last - first) // 20_000)
    sizes = np.arange(first, last + 1, stride)
    # The least count that fails a run; a rounding error of the product must not move it.
    fails = np.ceil(limit * sizes - 1e-9)
    passes_good = special.bdtr(fails - 1, sizes, good)
    fails_bad = special.bdtrc(fails - 1, sizes, bad)
    too_few = np.flatnonzero(np.minimum(passes_good, fails_bad) < CERTAINTY)
    if not too_few.size:
        return int(sizes[0])
    return int(sizes[min(too_few[-1] + 1, sizes.size - 1)])
