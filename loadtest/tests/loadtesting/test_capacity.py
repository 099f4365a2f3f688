"""The search: it ends, it brackets, and it knows when the generator was the limit."""

import pytest
from loadtesting import capacity
from loadtesting.capacity import Probe
from loadtesting.model import Result


def answering(true_capacity, generator=None):
    def ask(rate):
        if generator is not None and rate > generator:
            return Probe(rate, None, "out of CPU")
        return Probe(rate, rate <= true_capacity, "")

    return ask


@pytest.mark.parametrize("truth", [3, 30, 99, 260, 1234])
def test_the_answer_brackets_the_truth_closely(truth):
    found = capacity.search(answering(truth))
    assert found.low <= truth < found.high
    assert found.high <= found.low * capacity.PRECISION
    assert found.result is Result.PASS


def test_a_target_that_never_breaks_has_at_least_the_most():
    found = capacity.search(answering(10_000), most=400)
    assert (found.low, found.high) == (400, None)
    assert "at least 400" in found.headline


def test_a_target_that_holds_nothing_fails():
    found = capacity.search(answering(0))
    assert found.result is Result.FAIL
    assert len(found.probes) <= capacity.MAX_PROBES


def test_one_busy_moment_of_the_generator_does_not_end_the_search():
    ask, moments = answering(99), iter([False, True, False])

    def busy(rate):
        return Probe(rate, None, "out of CPU") if next(moments, False) else ask(rate)

    found = capacity.search(busy)
    assert found.result is Result.PASS
    assert found.low <= 99 < found.high


def test_a_generator_at_its_end_has_no_answer():
    found = capacity.search(answering(10_000, generator=150))
    assert found.result is Result.INCONCLUSIVE
    assert "at least 100 requests/s: beyond that the generator is the limit" in found.headline
