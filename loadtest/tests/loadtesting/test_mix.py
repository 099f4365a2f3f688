"""The mix: seeded, of the stated sizes, and valid to the service."""

import json
from collections import Counter
from datetime import UTC, datetime
from random import Random

import pytest
from gridos.domain import batch
from loadtesting import mix


def test_the_same_seed_asks_the_same():
    first, again = (mix.batch(Random(3), now=None).json["readings"] for _ in range(2))
    assert [(r["bus_id"], r["kw"]) for r in first] == [(r["bus_id"], r["kw"]) for r in again]


def test_every_batch_is_one_that_the_service_takes():
    for seed in range(50):
        now = datetime.now(UTC)
        body = mix.batch(Random(seed), now).json
        stored = batch.read(json.dumps(body).encode(), lines=False, latest=now)
        assert len(stored) == len(body["readings"])
        assert batch.find_repeats(dict(enumerate(stored))) == []


def test_batch_sizes_follow_their_weights():
    random = Random(1)
    sizes = Counter(len(mix.batch(random).json["readings"]) for _ in range(4000))
    for size, weight in zip(mix.BATCHES, mix.BATCH_WEIGHTS, strict=True):
        assert sizes[size] / 4000 == pytest.approx(weight / 100, abs=0.03)


def test_dashboards_poll_the_series_once_there_are_any():
    assert mix.polled([]) is mix.LOAD
    assert mix.polled([mix.SERIES.path]) is mix.SERIES


def test_what_a_target_does_not_offer_is_not_asked_for():
    assert mix.offered([]) == mix.READS
    path = next(iter(mix.NEWER_READS)).path
    assert {ask.path for ask in mix.offered([path])} == {a.path for a in mix.READS} | {path}
