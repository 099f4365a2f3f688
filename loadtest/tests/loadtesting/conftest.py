"""What the tests of the load program share."""

import pytest
from loadtesting import limits as reading
from loadtesting import profiles
from loadtesting.tally import Tally
from openarrivals.samples import Batch, Counts


@pytest.fixture(scope="session")
def limits(root):
    return reading.read(root / "deploy/base", root / "loadtest/rehearsal.yaml")


@pytest.fixture(scope="session")
def catalogue(limits):
    return profiles.catalogue(limits)


@pytest.fixture
def measure(limits):
    """A tally of so many samples, all of whose arrivals have ended."""

    def build(samples, dropped=0, unfinished=0):
        count = len(samples)
        counts = Counts(count + dropped + unfinished, count, 0, count, dropped)
        tally = Tally(limits.max_latency_s)
        tally.take(Batch(samples, [0.0] * dropped, counts))
        return tally

    return build
