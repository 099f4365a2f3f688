"""What the tests of the load program share."""

import functools

import numpy as np
import pytest
from loadtesting import limits as reading
from loadtesting import profiles, result
from loadtesting.model import Result, Verdict
from loadtesting.request_metrics import RequestMetrics
from openarrivals.samples import Batch, Counts, Sample

SECONDS, RATE = 30, 100


@pytest.fixture(scope="session")
def limits(root):
    return reading.read(root / "deploy/base", root / "loadtest/rehearsal.yaml")


@pytest.fixture(scope="session")
def catalogue(limits):
    return profiles.catalogue(limits)


@pytest.fixture
def measure(limits):
    """The request metrics of so many samples, all of whose arrivals have ended."""

    def build(samples, dropped=0, unfinished=0):
        count = len(samples)
        counts = Counts(count + dropped + unfinished, count, 0, count, dropped)
        metrics = RequestMetrics(limits.max_latency_s)
        metrics.take(Batch(samples, [0.0] * dropped, counts))
        return metrics

    return build


@pytest.fixture(scope="session")
def run(limits, catalogue):
    """The document of a run whose latencies and failures are drawn; not to be changed."""

    @functools.cache
    def build(seed, scale=1.0, failing=0.0, stall_s=None, seconds=SECONDS):
        random = np.random.default_rng(seed)
        count = seconds * RATE
        due = np.sort(random.uniform(0, seconds, count))
        latency = random.gamma(4, 0.005, count) * scale
        if stall_s is not None:
            inside = (due > stall_s) & (due < stall_s + 1)
            latency[inside] += stall_s + 1 - due[inside]
        status = np.where(random.random(count) < failing, 500, 200)
        samples = [
            Sample("/", int(s), "", float(d), float(t), 0.0)
            for s, d, t in zip(status, due, latency, strict=True)
        ]
        metrics = RequestMetrics(limits.max_latency_s)
        metrics.take(Batch(samples, [], Counts(count, count, 0, count, 0)))
        head = {"closed": False, "spacing": "poisson", "shape": f"{RATE} for {seconds}s"}
        head |= {"complete": True, "seconds": seconds}
        return result.build(head, catalogue["smoke"], limits, metrics, Verdict(Result.PASS, ""))

    return build
