"""Two runs: what is shown, and what is not."""

import pytest
from loadtesting import comparison
from loadtesting.model import Result

from canary.errors import UsageError


def shown(compared):
    return {e.name for e in compared.effects if e.verdict != "no difference shown"}


@pytest.mark.parametrize("pairs", [3, pytest.param(10, marks=pytest.mark.acceptance)])
def test_no_difference_is_shown_where_there_is_none(run, pairs):
    different = sum(
        bool(shown(comparison.compare(run(seed), run(seed + 100)))) for seed in range(pairs)
    )
    assert different <= 1


def test_a_slower_run_is_worse_in_its_percentiles(run):
    compared = comparison.compare(run(1), run(2, scale=1.3))
    assert compared.result is Result.FAIL
    assert shown(compared) >= {"p50-latency", "p95-latency"}
    (p50,) = [e for e in compared.effects if e.name == "p50-latency"]
    assert p50.low < 0.3 * p50.first < p50.high


def test_a_faster_run_is_better_and_passes(run):
    compared = comparison.compare(run(1, scale=1.3), run(2))
    assert compared.result is Result.PASS
    assert compared.headline.startswith("better: p50-latency")


def test_more_failures_are_worse(run):
    compared = comparison.compare(run(1, failing=0.001), run(2, failing=0.02))
    assert shown(compared) == {"error-ratio"}
    assert compared.headline == "worse: error-ratio"


def test_one_stalled_second_alone_is_not_shown_as_a_difference(run):
    compared = comparison.compare(run(1), run(2, stall_s=10))
    (p99,) = [e for e in compared.effects if e.name == "p99-latency"]
    assert p99.second > 5 * p99.first
    assert p99.verdict == "no difference shown"


def test_runs_that_are_not_alike_are_named(run):
    compared = comparison.compare(run(1), run(2, seconds=20) | {"closed": True})
    assert any("another shape" in warning for warning in compared.warnings)
    assert any("closed" in warning for warning in compared.warnings)


@pytest.mark.parametrize("spoilt", ["generator-lag", "dropped", "unfinished"])
def test_nothing_is_shown_by_a_run_that_measured_its_own_generator(run, spoilt):
    doubt = {"name": spoilt, "result": "INCONCLUSIVE", "message": f"{spoilt}: of its own making"}
    compared = comparison.compare(run(1), run(2, scale=1.3) | {"checks": [doubt]})
    assert compared.result is Result.INCONCLUSIVE
    said = f"not comparable: the second run measured its own generator, {doubt['message']}"
    assert compared.headline == said
    assert doubt["message"] in comparison.table(compared)


def test_a_run_of_a_few_seconds_is_refused(run):
    with pytest.raises(UsageError, match="too short"):
        comparison.compare(run(1), run(2, seconds=3))


def test_both_tables_say_the_same(run):
    compared = comparison.compare(run(1), run(2, scale=1.3))
    for text in (comparison.table(compared), comparison.markdown(compared)):
        assert "p95-latency" in text
        assert "worse" in text
