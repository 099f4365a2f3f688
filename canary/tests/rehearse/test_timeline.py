from dataclasses import replace

import pytest

from canary.argo.model import Pause, ReplicaCounts, SetWeight
from canary.rehearse.load import Second
from canary.rehearse.target import Observation
from canary.rehearse.timeline import Timeline, series, unscaled_failures
from canary.runtime.gateway import Counts

FULL = ReplicaCounts(10, 10, 10)
SEEN = Observation(0.0, "Progressing", "", 0, FULL, ReplicaCounts(0, 0, 0))


def second(at, requests=100, failed=0, lost=0):
    return Second(at, requests, failed, 0, lost, 1.0, 2.0)


def test_one_sample_a_second_is_kept_and_rates_are_per_second():
    record = Timeline()
    for tick in range(31):
        at = tick / 10
        record.take(replace(SEEN, at_s=at, stable_traffic=Counts(tick * 10, tick)))
    columns = series(record.samples)
    assert columns["at_s"] == [0, 1, 2, 3]
    assert columns["stable_requests"] == [0, 100, 100, 100]
    assert columns["stable_failed"] == [0, 10, 10, 10]


def test_time_before_the_release_is_negative():
    record = Timeline()
    for at in (0.0, 1.0, 2.0):
        record.take(replace(SEEN, at_s=at))
    record.rebase()
    assert series(record.samples)["at_s"] == [-2, -1, 0]


def test_steps_aborts_and_promotions_are_told_once():
    record = Timeline()
    record.take(SEEN)
    record.take(replace(SEEN, at_s=1.0, step_index=1))
    record.take(replace(SEEN, at_s=2.0, step_index=0, aborted=True, message="why"))
    record.take(replace(SEEN, at_s=3.0, step_index=0, aborted=True, message="why"))
    assert [(e.kind, e.text) for e in record.events] == [
        ("step", "step 0"),
        ("step", "step 1"),
        ("abort", "why"),
    ]
    assert record.decided_at_s == 2.0


@pytest.mark.parametrize(
    ("window_s", "canary", "stable"), [(0.0, 0.25, 0.1), (2.0, 0.5, 0.5), (60.0, 0.25, 0.1)]
)
def test_the_shares_are_of_the_gates_window_and_end_with_the_decision(window_s, canary, stable):
    record = Timeline()
    record.take(replace(SEEN, stable_traffic=Counts(700, 7)))
    record.rebase()
    for at, ours, theirs in ((2.0, (20, 0), (1500, 7)), (4.0, (40, 10), (1700, 107))):
        traffic = {"canary_traffic": Counts(*ours), "stable_traffic": Counts(*theirs)}
        record.take(replace(SEEN, at_s=at, aborted=at > 3, **traffic))
    record.take(replace(SEEN, at_s=9.0, aborted=True, stable_traffic=Counts(2700, 1107)))
    place = record.decided(window_s)
    assert (place.failed_share, place.stable_share) == pytest.approx((canary, stable), rel=0.01)


def test_no_more_than_all_requests_fail_where_more_time_out_than_begin():
    assert Counts(22, 50).failed_share == 1.0
    assert Counts().failed_share is None


def test_a_failure_in_a_pause_stands_for_more_than_one_in_real_time():
    steps = (SetWeight(10), Pause(10))
    record = Timeline()
    record.take(replace(SEEN, at_s=0.0, seconds=(second(0.0, failed=1),)))
    record.take(replace(SEEN, at_s=1.0, step_index=1, seconds=(second(1.0, failed=1, lost=1),)))
    # 1 % of 100/s for a second, then 2 % of 100/s for a second that stands for six.
    assert unscaled_failures(record.samples, steps, 100, 6) == pytest.approx(1 + 12)
