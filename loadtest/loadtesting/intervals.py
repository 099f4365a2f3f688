"""What a count says about the truth behind it. Pure; numbers in, numbers out."""

from __future__ import annotations

import math

# Not scipy.stats, which takes a second to import.
from scipy import special

CONFIDENCE = 0.95


def ratio(count: int, of: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Clopper–Pearson: where the true ratio lies, exact at any size; all of it without requests."""
    if not of:
        return 0.0, 1.0
    tail = (1 - confidence) / 2
    low = float(special.betaincinv(count, of - count + 1, tail)) if count else 0.0
    high = float(special.betaincinv(count + 1, of - count, 1 - tail)) if count < of else 1.0
    return low, high


def ranks(quantile: float, of: int, confidence: float = CONFIDENCE) -> tuple[int, int]:
    """Which two order statistics (from 1) hold the true quantile between them."""
    tail = (1 - confidence) / 2
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
