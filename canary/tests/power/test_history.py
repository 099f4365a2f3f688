"""Stable pods of the past play the canary, in a real Prometheus that holds their series."""

import json
from pathlib import Path

import numpy as np
import pytest

from acceptance.calling import call
from canary import cli
from canary.argo import releases
from canary.argo.virtual_rollout import PodLifetime
from canary.errors import UsageError
from canary.power import backfill, history, synthetic_series
from canary.power.history import Span
from canary.power.samples import Fault, Traffic
from canary.power.simulation import EPOCH_S
from canary.runtime import documents
from canary.runtime.prometheus import Client

LENGTH_S = 1500.0
FILE = Path(__file__).with_name("history.yaml")
MANIFESTS = FILE.read_text()


@pytest.fixture(scope="module")
def rollout():
    (release,) = releases.find(documents.read(FILE))
    return releases.in_virtual_time(release)


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """Four pods of one ReplicaSet: well for LENGTH_S, and then with 5 % of errors for as long."""
    folder = tmp_path_factory.mktemp("history")
    names = synthetic_series.Names("shop", "default", "shop", "new", "old")
    for number, rate in enumerate((0.001, 0.05)):
        pods = [PodLifetime(str(pod), canary=False, created_s=0, ready_s=0) for pod in range(4)]
        made = synthetic_series.Release(
            names, pods, Traffic(40.0, rate), Fault(), synthetic_series.ScrapeNoise(),
            EPOCH_S + number * (LENGTH_S + 200), LENGTH_S,
        )  # fmt: skip
        backfill.load(synthetic_series.lines(made), folder, f"block-{number}")
    with backfill.serving(folder) as server:
        yield Client(f"http://127.0.0.1:{server.port}/")


def span(number):
    began = EPOCH_S + number * (LENGTH_S + 200) + 90
    return Span(began, began + LENGTH_S - 100)


def test_pods_that_are_well_are_hardly_ever_rolled_back(rollout, client):
    told = []
    tally = history.find(rollout, client, span(0), 10, lambda *done: told.append(done))
    assert (tally.releases, tally.paused) == (10, 0)
    assert tally.rolled_back <= 1
    assert tally.low <= tally.rolled_back / 10 <= tally.high
    assert told[-1] == (10, 10)


def test_gates_that_the_past_breaks_roll_back_releases_that_changed_nothing(rollout, client):
    tally = history.find(rollout, client, span(1), 10)
    assert tally.rolled_back == 10
    assert tally.by_gate == {"error-ratio": 10}
    count, low, high = history.a_month(tally, 2)
    assert (count, high) == (60, 60)
    assert low == pytest.approx(60 * (0.025 ** (1 / 10)), rel=0.01)
    assert "false rollbacks a month, at 2 releases a day: 60 (" in history.table(tally, 2)


def test_where_nothing_was_scraped_no_release_begins(rollout, client):
    before = Span(EPOCH_S - 90_000, EPOCH_S - 80_000)
    tally = history.find(rollout, client, before, 3)
    assert (tally.releases, tally.left_out) == (0, {"no series": 3})


def test_each_release_casts_pods_in_both_roles_and_none_twice():
    query = 'a{hash="latest0hash", x="1"} / a{pod!~"shop-stable0hash-.*"}'
    given = history.cast(query, ["shop-1"], ["shop.2", "shop-3"])
    assert given == 'a{pod=~"shop-1", x="1"} / a{pod!~"shop\\\\.2|shop-3"}'


def test_the_part_of_the_canary_grows_with_the_steps(rollout, client):
    asked = []

    class Watched(Client):
        def query(self, query, timeout_s=30.0, at_s=None):
            asked.append(query)
            return super().query(query, timeout_s, at_s)

    history.find(rollout, Watched(client.url), span(0), 5)
    parts = [query.partition('pod=~"')[2].partition('"')[0].count("|") + 1 for query in asked]
    assert set(parts) == {1}
    assert len(set(asked)) > 1, "different pods at different instants"


def test_queries_that_tell_no_pods_apart_are_refused(root, client):
    text = MANIFESTS.replace('rollouts_pod_template_hash="{{args.hash}}"', 'app="shop"')
    done = call(cli.main, ("history", "-", "--prometheus", client.url), root, text)
    assert done.returncode == 2
    assert "reads the canary's pods by their pod-template hash" in done.stderr


def test_a_history_without_the_pods_is_no_verdict(root, client):
    given = ("history", "-", "--prometheus", client.url, "--releases", "2", "-o", "json")
    done = call(cli.main, given, root, MANIFESTS)
    assert done.returncode == 3
    assert json.loads(done.stdout)["left_out"] == {"no series": 2}


def test_a_prometheus_that_does_not_answer_is_named(rollout):
    with pytest.raises(UsageError, match="does not answer"):
        history.find(rollout, Client("http://127.0.0.1:9"), span(0), 1)


def test_the_same_history_gives_the_same_tally(rollout, client):
    once, again = (history.find(rollout, client, span(0), 3) for _ in range(2))
    assert once == again
    assert np.isfinite(once.high)
