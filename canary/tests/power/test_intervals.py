"""Intervals hold what they say they hold."""

import numpy as np
import pytest

from canary.power import stats


def test_no_failure_in_n_leaves_the_rule_of_three():
    assert stats.ratio(0, 300) == (0.0, pytest.approx(3.7 / 300, rel=0.02))


def test_nothing_asked_is_nothing_known():
    assert stats.ratio(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize("truth", [0.002, 0.03, 0.5])
def test_the_truth_lies_within_at_least_as_often_as_said(truth):
    counts = np.random.default_rng(1).binomial(400, truth, 2000)
    bounds = {count: stats.ratio(int(count), 400) for count in set(counts)}
    held = np.mean([bounds[count][0] <= truth <= bounds[count][1] for count in counts])
    assert held >= 0.95


@pytest.mark.parametrize("quantile", [0.5, 0.95, 0.99])
def test_the_ranks_hold_the_true_quantile(quantile):
    random, size = np.random.default_rng(1), 1000
    low, high = stats.ranks(quantile, size)
    drawn = np.sort(random.random((2000, size)), axis=1)
    held = np.mean((drawn[:, low - 1] <= quantile) & (quantile <= drawn[:, high - 1]))
    assert held >= 0.945


def test_ranks_stay_within_a_small_sample():
    assert stats.ranks(0.99, 3) == (1, 3) or stats.ranks(0.99, 3)[1] == 3
    assert stats.ranks(0.5, 1) == (1, 1)


@pytest.mark.parametrize("truth", [(0.01, 0.01), (0.01, 0.05), (0.3, 0.2)])
def test_the_true_difference_lies_within(truth):
    random = np.random.default_rng(1)
    firsts, seconds = (random.binomial(500, p, 1000) for p in truth)
    held = [
        low <= truth[1] - truth[0] <= high
        for a, b in zip(firsts, seconds, strict=True)
        for low, high in [stats.difference((int(a), 500), (int(b), 500))]
    ]
    assert np.mean(held) >= 0.94
