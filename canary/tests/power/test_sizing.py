"""How many requests tell two releases apart: against the exact chance, and by drawing."""

import numpy as np
import pytest
from scipy.stats import binom

from canary.errors import UsageError
from canary.power import stats

PAIRS = [(0.01, 0.002, 0.03), (0.05, 0.02, 0.10), (0.01, 0.005, 0.015)]


def certainty(limit, good, bad, sizes):
    """The lesser of the two chances of a right verdict."""
    fails = np.ceil(limit * np.array(sizes) - 1e-9)
    return np.minimum(binom.cdf(fails - 1, sizes, good), binom.sf(fails - 1, sizes, bad))


@pytest.mark.parametrize("pair", PAIRS)
def test_the_size_is_enough_and_stays_enough(pair):
    needed = stats.requests_to_distinguish(*pair)
    later = range(needed, needed + 300, 7)
    assert all(certainty(*pair, later) >= stats.CERTAINTY)


@pytest.mark.parametrize("pair", PAIRS)
def test_a_tenth_fewer_is_not_enough_somewhere(pair):
    needed = stats.requests_to_distinguish(*pair)
    sooner = range(round(needed * 0.9), needed)
    assert min(certainty(*pair, sooner)) < stats.CERTAINTY


def test_drawn_releases_get_the_right_verdict_as_often_as_said():
    limit, good, bad = PAIRS[0]
    needed = stats.requests_to_distinguish(limit, good, bad)
    random = np.random.default_rng(1)
    wrong_good = (random.binomial(needed, good, 100_000) / needed >= limit).mean()
    wrong_bad = (random.binomial(needed, bad, 100_000) / needed < limit).mean()
    assert max(wrong_good, wrong_bad) < 1.5 * (1 - stats.CERTAINTY)


def test_closer_pairs_need_what_the_literature_would_say():
    assert stats.requests_to_distinguish(0.01, 0.005, 0.015) == pytest.approx(5_000, rel=0.1)
    assert stats.requests_to_distinguish(0.01, 0.009, 0.011) == pytest.approx(100_000, rel=0.05)


def test_a_pair_on_one_side_of_the_limit_is_refused():
    with pytest.raises(UsageError, match="either side"):
        stats.requests_to_distinguish(0.01, 0.02, 0.03)


def test_a_pair_that_no_run_can_tell_is_refused_with_its_size():
    with pytest.raises(UsageError, match="would need about"):
        stats.requests_to_distinguish(0.01, 0.00999, 0.01001)
