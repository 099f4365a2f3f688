"""What the machine did to a measurement, from what was seen."""

from dataclasses import replace

import pytest

from canary.argo.model import Hashes, ReplicaCounts
from canary.rehearse import time_compression, verdict
from canary.rehearse.load import Second
from canary.rehearse.target import Event, Observation

NONE = ReplicaCounts(0, 0, 0)
LAST = Observation(80.0, "Healthy", "", 9, NONE, NONE, rate=300.0, scrapes=90)
HASHES = Hashes(latest="latesthash", stable="stablehash")
STABLE_KILLED = Event(
    20.0, "pod", "gridos-stablehash-aaaaa liveness probe failed; restart 1 in 0 s"
)
CANARY_KILLED = Event(
    21.0, "pod", "gridos-latesthash-bbbbb liveness probe failed; restart 1 in 0 s"
)


def seconds(*requests):
    return [Second(i, n, 0, 0, 0, 1.0, 2.0) for i, n in enumerate(requests)]


@pytest.fixture
def judged(rollout):
    resolved = time_compression.scale(rollout, 6)

    def judge(last=LAST, requests=(300,) * 80, events=(), late_s=0.0, busy_share=0.5, more=()):
        return verdict.conditions(
            last,
            HASHES,
            resolved,
            seconds=[*seconds(*requests), *more],
            events=events,
            late_s=late_s,
            busy_share=busy_share,
        )

    return judge


def test_a_machine_with_time_to_spare_is_fair(judged):
    assert judged().fair
    assert judged(late_s=1.6).fair, "a gate is asked every 1.7 s"


def test_a_load_that_falls_short_in_a_tenth_of_the_seconds_strains(judged):
    assert judged(requests=(300,) * 72 + (260,) * 8).fair
    assert judged(requests=(300,) * 71 + (260,) * 9).strained == (
        "the machine could not keep up the load"
    )


def test_a_load_that_falls_short_while_users_wait_in_vain_is_not_the_machines(judged):
    waited = Second(75, 300, 9, 0, 0, 5.0, 30_000.0)
    assert judged(requests=(300,) * 50 + (0,) * 30, more=(waited,)).fair
    assert not judged(requests=(300,) * 40 + (0,) * 40, more=(waited,)).fair
    assert not judged(requests=(300,) * 50 + (0,) * 30, more=(replace(waited, failed=0),)).fair


def test_the_load_is_measured_by_the_rate_that_is_sent_and_not_by_the_one_asked_for(judged):
    assert judged(replace(LAST, rate=200.0), requests=(200,) * 80).fair


def test_a_lost_scrape_strains(judged):
    told = judged(replace(LAST, scrapes_lost=1))
    assert told.strained == "1 of 90 scrapes of the containers were lost"


def test_a_machine_that_is_busy_throughout_strains(judged):
    assert judged(busy_share=0.97).strained == "the machine was 97% busy"


def test_a_harness_later_than_the_interval_of_a_gate_is_blind(judged):
    told = judged(late_s=1.71)
    assert told.blind == "the harness ran 1.7 s late, and a gate measures every 1.7 s"


def test_probes_that_end_pods_of_both_sides_leave_nothing_to_say(judged):
    told = judged(events=(STABLE_KILLED, CANARY_KILLED))
    assert told.blind == "probes ended pods of the canary and of the stable release alike"


def test_a_probe_that_ends_canary_pods_alone_is_the_releases_where_the_machine_has_time(judged):
    assert judged(events=(CANARY_KILLED,)).fair
    assert judged(events=(CANARY_KILLED,), busy_share=0.97).blind


def test_what_ended_before_the_release_is_not_held_against_it(judged):
    before = replace(STABLE_KILLED, at_s=-5.0)
    assert judged(events=(before, CANARY_KILLED)).fair
