"""What is asked of Prometheus: really asked, and honest when there is no answer."""

import numpy as np
import pytest
from loadtesting import monitoring
from loadtesting.model import Result

LIMIT = 256 * 2.0**20


def points(slope_bytes_s, noise=2e5, seconds=1800):
    random = np.random.default_rng(1)
    times = np.arange(0, seconds, 15.0)
    values = 60e6 + slope_bytes_s * times + random.normal(0, noise, len(times))
    return list(zip(times, values, strict=True))


@pytest.mark.parametrize(
    ("address", "seconds", "said"),
    [
        (None, 30, "--prometheus"),
        ("http://127.0.0.1:9", 30, "does not answer"),
        ("http://127.0.0.1:9", 15, "too short"),  # for four scrapes
    ],
)
def test_without_an_answer_cpu_is_inconclusive_and_says_why(limits, address, seconds, said):
    check = monitoring.cpu(address, limits, ".+", seconds)
    assert check.result is Result.INCONCLUSIVE
    assert said in check.message


def loaded_at(second, leaps=0.0, leaks=0.0):
    """Memory of a short soak that leaps once, or grows from then on."""
    steady = points(0, noise=1000 if leaps else 2e5, seconds=900)
    return [(at, y + leaps * (at >= second) + leaks * max(at - second, 0)) for at, y in steady]


@pytest.mark.parametrize(
    ("found", "result"),
    [
        pytest.param(points(0), Result.PASS, id="steady"),
        pytest.param(points(5000), Result.FAIL, id="fills the container in a day"),
        pytest.param(points(100, noise=1000), Result.PASS, id="would take weeks"),
        pytest.param(loaded_at(300, leaps=15e6), Result.PASS, id="loaded once in the first third"),
        pytest.param(loaded_at(300, leaks=5000), Result.FAIL, id="leaks after the first third"),
        pytest.param(points(5000, seconds=60), Result.INCONCLUSIVE, id="a few points"),
    ],
)
def test_memory_is_judged_by_its_growth_after_the_first_third(found, result):
    assert monitoring.growth(found, LIMIT).result is result


def test_growth_is_told_by_the_hour():
    assert "MiB/h" in monitoring.growth(points(5000), LIMIT).message


def test_a_soak_too_short_to_rule_a_leak_out_is_inconclusive_and_says_so():
    check = monitoring.growth(points(0, noise=1e6, seconds=240), LIMIT)
    assert check.low < check.limit < check.high
    assert check.result is Result.INCONCLUSIVE
    assert "more of the same soak" in check.message
