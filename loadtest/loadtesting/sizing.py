"""How many requests a verdict needs so that chance does not make it.

A run fails when count / requests ≥ limit. Of two releases, one below the limit and one above, both
must get the right verdict with the stated certainty. The chance is the exact binomial one; it goes
up and down with the rounding of limit × requests, so the answer is the least size from which on
every larger one is enough too, as far as the search looks.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special

from canary.errors import UsageError

CERTAINTY = 0.999
# Above this the two sides are closer than a run of any sensible length can tell.
MOST_REQUESTS = 20_000_000


def requests_needed(limit: float, good: float, bad: float, certainty: float = CERTAINTY) -> int:
    """The requests that tell a release at `good` from one at `bad`; all are ratios of one.

    Raises:
        UsageError: if the limit is not strictly between them, or they are too close to be told.
    """
    if not 0 <= good < limit < bad <= 1:
        raise UsageError(
            f"the limit {limit:.3%} is not between {good:.3%} and {bad:.3%}",
            "give one ratio on either side of it",
        )
    rough = _rough(limit, good, bad, certainty)
    if rough > MOST_REQUESTS:
        raise UsageError(
            f"{good:.3%} and {bad:.3%} would need about {rough:,.0f} requests",
            "choose ratios further from the limit",
        )
    return _exact(limit, good, bad, certainty, rough)


def certainty_of(limit: float, good: float, bad: float, requests: int) -> float:
    """The lesser of the two chances of a right verdict."""
    return float(_certainties(limit, good, bad, np.array([requests]))[0])


def _rough(limit: float, good: float, bad: float, certainty: float) -> float:
    """By the normal approximation."""
    z = float(special.ndtri(certainty))
    sides = (z * z * p * (1 - p) / (limit - p) ** 2 for p in (good, bad))
    return max(*sides, 1 / limit)


def _exact(limit: float, good: float, bad: float, certainty: float, rough: float) -> int:
    # The sawtooth's period is 1/limit requests; ten of them beyond the rough answer are looked at.
    last = math.ceil(rough * 1.5 + 10 / limit)
    first = max(1, math.floor(rough * 0.5))
    stride = max(1, (last - first) // 20_000)
    sizes = np.arange(first, last + 1, stride)
    enough = _certainties(limit, good, bad, sizes) >= certainty
    too_few = np.flatnonzero(~enough)
    if not too_few.size:
        return int(sizes[0])
    return int(sizes[min(too_few[-1] + 1, sizes.size - 1)])


def _certainties(
    limit: float, good: float, bad: float, sizes: NDArray[np.int64]
) -> NDArray[np.float64]:
    # The least count that fails a run; a rounding error of the product must not move it.
    fails = np.ceil(limit * sizes - 1e-9)
    passes_good = special.bdtr(fails - 1, sizes, good)
    fails_bad = special.bdtrc(fails - 1, sizes, bad)
    return np.asarray(np.minimum(passes_good, fails_bad))
