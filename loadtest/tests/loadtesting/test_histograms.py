"""Histograms are exact to three digits."""

import numpy as np
import pytest
from loadtesting import histograms

LATENCIES = np.sort(np.random.default_rng(1).gamma(2, 0.05, 5000))


@pytest.fixture(scope="module")
def histogram():
    filled = histograms.empty()
    for latency in LATENCIES:
        histograms.record(filled, float(latency))
    return filled


@pytest.mark.parametrize("quantile", [0.5, 0.95, 0.99, 0.999])
def test_quantiles_are_those_of_the_sorted_values(histogram, quantile):
    exact = LATENCIES[int(np.ceil(quantile * len(LATENCIES))) - 1]
    assert histograms.quantile_s(histogram, quantile) == pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize("rank", [1, 2, 2500, 4999, 5000])
def test_ranks_are_those_of_the_sorted_values(histogram, rank):
    assert histograms.at_rank_s(histogram, rank) == pytest.approx(LATENCIES[rank - 1], rel=1e-3)


def test_246_and_254_ms_are_not_the_same():
    filled = histograms.empty()
    for latency in (0.246, 0.254):
        histograms.record(filled, latency)
    assert histograms.quantile_s(filled, 0.5) == pytest.approx(0.246, rel=1e-3)
    assert histograms.quantile_s(filled, 1.0) == pytest.approx(0.254, rel=1e-3)


def test_a_histogram_survives_as_text(histogram):
    again = histograms.from_text(histograms.to_text(histogram))
    assert histograms.bins(again) == histograms.bins(histogram)
    assert sum(histograms.bins(histogram).values()) == len(LATENCIES)


def test_what_is_beyond_the_range_is_counted_at_its_end():
    filled = histograms.empty()
    histograms.record(filled, 1e6)
    histograms.record(filled, 0.0)
    assert filled.get_total_count() == 2


def test_an_empty_one_has_no_quantile():
    assert histograms.quantile_s(histograms.empty(), 0.5) is None
