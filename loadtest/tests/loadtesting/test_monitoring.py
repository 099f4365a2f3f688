"""What is asked of Prometheus: really asked, and honest when there is no answer."""

import numpy as np
from loadtesting import monitoring
from loadtesting.model import Result

LIMIT = 256 * 2.0**20


def points(slope_bytes_s, noise=2e5, seconds=1800):
    random = np.random.default_rng(1)
    times = np.arange(0, seconds, 15.0)
    values = 60e6 + slope_bytes_s * times + random.normal(0, noise, len(times))
    return list(zip(times, values, strict=True))


def test_without_prometheus_cpu_is_inconclusive_and_says_what_to_do(limits):
    check = monitoring.cpu(None, limits, ".+", 30)
    assert check.result is Result.INCONCLUSIVE
    assert "--prometheus" in check.message


def test_a_prometheus_that_is_not_there_is_inconclusive(limits):
    check = monitoring.cpu("http://127.0.0.1:9", limits, ".+", 30)
    assert check.result is Result.INCONCLUSIVE
    assert "does not answer" in check.message


def test_a_run_shorter_than_four_scrapes_says_nothing_of_cpu(limits):
    check = monitoring.cpu("http://127.0.0.1:9", limits, ".+", 15)
    assert check.result is Result.INCONCLUSIVE
    assert "too short" in check.message


def test_steady_memory_passes():
    assert monitoring.growth(points(0), LIMIT).result is Result.PASS


def test_memory_that_fills_the_container_in_a_day_fails():
    check = monitoring.growth(points(5000), LIMIT)
    assert check.result is Result.FAIL
    assert "MiB/h" in check.message


def test_slow_growth_that_would_take_weeks_passes():
    assert monitoring.growth(points(100, noise=1000), LIMIT).result is Result.PASS


def test_what_is_loaded_once_in_the_first_third_is_no_leak():
    loaded = [(at, value + 15e6 * (at >= 300)) for at, value in points(0, noise=1000, seconds=900)]
    assert monitoring.growth(loaded, LIMIT).result is Result.PASS


def test_a_leak_that_begins_after_the_first_third_fails_all_the_same():
    leaking = [(at, value + 5000 * max(at - 300, 0)) for at, value in points(0, seconds=900)]
    assert monitoring.growth(leaking, LIMIT).result is Result.FAIL


def test_a_soak_too_short_to_rule_a_leak_out_is_inconclusive_and_says_so():
    check = monitoring.growth(points(0, noise=1e6, seconds=240), LIMIT)
    assert check.low < check.limit < check.high
    assert check.result is Result.INCONCLUSIVE
    assert "more of the same soak" in check.message


def test_a_few_points_say_nothing():
    assert monitoring.growth(points(5000, seconds=60), LIMIT).result is Result.INCONCLUSIVE
