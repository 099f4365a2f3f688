"""What people write on the command line, and what a rehearsal says of traffic."""

import argparse
import json
import random

import pytest

from canary.commands import options
from canary.errors import UsageError
from canary.power import effect_sizes
from canary.power.samples import Traffic


@pytest.mark.parametrize(("text", "value"), [("2%", 0.02), ("0.02", 0.02), ("100 %", 1.0)])
def test_a_share_is_a_percentage_or_a_fraction(text, value):
    assert effect_sizes.share(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "2", "-1%", "nan", "101%", "two"])
def test_no_other_text_is_a_share(text):
    with pytest.raises(argparse.ArgumentTypeError):
        effect_sizes.share(text)


@pytest.mark.parametrize(
    "text",
    ["errors", "sharks=2%", "errors=", "=2%", "crash=5", "errors=1%,cpu=9%", "latency=9ms@1%"],
)
def test_a_fault_needs_a_kind_and_a_size(text):
    with pytest.raises(argparse.ArgumentTypeError):
        effect_sizes.sized(text)


def test_a_fault_is_written_as_for_a_rehearsal():
    assert effect_sizes.sized("errors=2%") == ("errors", pytest.approx(0.02))
    assert effect_sizes.sized("latency=400ms@10%") == ("slow", pytest.approx(0.1))


@pytest.mark.parametrize("text", ["0", "-5", "inf", "nan", "many"])
def test_a_rate_is_above_nothing(text):
    with pytest.raises(argparse.ArgumentTypeError):
        options.requests_per_s(text)


def test_a_rehearsal_gives_its_declared_rate_and_the_stable_releases_errors(root):
    file = root / "canary/tests/rehearse/results/rolled-back.json"
    result = json.loads(file.read_text())
    traffic = effect_sizes.of_rehearsal(file)
    assert traffic.requests_per_s == result["traffic"]["declared_requests_per_second"]
    assert 0 < traffic.error_rate < 0.01
    assert 0 < traffic.cpu < 0.7


def test_what_is_no_result_is_refused(tmp_path):
    file = tmp_path / "other.json"
    for text in ("{}", "[]", "no", '{"series": 3}'):
        file.write_text(text)
        with pytest.raises(UsageError):
            effect_sizes.of_rehearsal(file)


def test_clustering_is_measured_back_from_counts_that_were_drawn_with_it():
    rng = random.Random(3)

    def draw(correlation):
        strength = 1 / correlation - 1
        for _ in range(3000):
            rate = rng.betavariate(0.01 * strength, 0.99 * strength) if correlation < 1 else 0.01
            yield 200, sum(rng.random() < rate for _ in range(200))

    assert effect_sizes.overdispersion(list(draw(0.02))) == pytest.approx(0.02, rel=0.25)
    independent = [(200, sum(rng.random() < 0.01 for _ in range(200))) for _ in range(2000)]
    assert effect_sizes.overdispersion(independent) < 0.001


def test_a_handful_of_failures_says_nothing_of_clustering():
    assert effect_sizes.overdispersion([(1000, 5), (1000, 0)]) == 0.0


def test_what_is_given_replaces_what_was_measured():
    assert effect_sizes.changed(Traffic(10.0), {"errors": 0.5, "rps": 3.0}) == Traffic(
        3.0, error_rate=0.5
    )
