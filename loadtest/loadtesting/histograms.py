"""HDR histograms of latencies: three exact digits from a microsecond to a hundred seconds."""

import math

import numpy as np
from hdrh.histogram import HdrHistogram
from numpy.typing import NDArray

LOWEST_US, HIGHEST_US, DIGITS = 1, 100_000_000, 3


def empty() -> HdrHistogram:
    """A histogram of microseconds."""
    return HdrHistogram(LOWEST_US, HIGHEST_US, DIGITS)


def record(histogram: HdrHistogram, seconds: float) -> None:
    """Counts one latency; one beyond the range counts as its end."""
    histogram.record_value(min(max(round(seconds * 1e6), LOWEST_US), HIGHEST_US))


def quantile_s(histogram: HdrHistogram, quantile: float) -> float | None:
    """The latency in seconds that this share stayed at or below; None when it is empty."""
    total = histogram.get_total_count()
    if not total:
        return None
    # A rounding error of the product must not reach the next rank.
    return at_rank_s(histogram, max(1, math.ceil(quantile * total - 1e-9)))


def at_rank_s(histogram: HdrHistogram, rank: int) -> float:
    """The rank-th smallest latency in seconds, counted from 1, to three digits."""
    index = int(np.searchsorted(np.cumsum(_counts(histogram)), rank))
    return _microseconds(histogram, index) / 1e6


def to_text(histogram: HdrHistogram) -> str:
    """The standard's compressed text (HdrHistogram V2)."""
    return str(histogram.encode().decode("ascii"))


def from_text(text: str) -> HdrHistogram:
    """Reads `to_text`'s."""
    return HdrHistogram.decode(text.encode("ascii"))


def bins(histogram: HdrHistogram) -> dict[int, int]:
    """How many lie in each of its bins, by the bin's highest microsecond."""
    counts = _counts(histogram)
    filled = np.flatnonzero(counts)
    return {_microseconds(histogram, int(index)): int(counts[index]) for index in filled}


def _counts(histogram: HdrHistogram) -> NDArray[np.uint64]:
    # The library walks its bins in Python, a hundred times slower than this view of them.
    return np.ctypeslib.as_array(histogram.counts)


def _microseconds(histogram: HdrHistogram, index: int) -> int:
    value = histogram.get_value_from_index(index)
    return int(histogram.get_highest_equivalent_value(value))
