import pytest

from canary import durations
from canary.argo.model import Analysis, Pause
from canary.rehearse import time_compression


def test_pauses_windows_and_intervals_shrink_and_the_progress_deadline_does_not(rollout):
    scaled = time_compression.scale(rollout, 6)
    assert [s.duration_s for s in scaled.steps if isinstance(s, Pause)] == [10, 20, 30]
    measurements = [s for s in scaled.steps if isinstance(s, Analysis)]
    windows = [
        {window for metric in measurement.metrics for window in durations.ranges_s(metric.query)}
        for measurement in measurements
    ]
    assert windows == [{8.333}, {18.333}, {28.333}, {10}]
    intervals = {
        m.interval_s
        for measurement in (scaled.background, *measurements)
        for m in measurement.metrics
    }
    assert intervals == {10 / 6, 20 / 6}
    assert scaled.progress_deadline_s == rollout.progress_deadline_s


def test_every_look_still_sees_the_requests_its_gate_was_sized_for(rollout):
    # The sparsest measurement is the first: a tenth of the pods, a window of 50 s at a scale of 6.
    sent = time_compression.requests_per_second(rollout, 100, 400, 6)
    assert sent * 0.1 * 50 / 6 == pytest.approx(400)


def test_real_time_sends_what_the_gates_are_made_for(rollout):
    assert time_compression.requests_per_second(rollout, 100, 400, 1) == 100


def test_a_scrape_is_never_asked_for_more_often_than_a_pod_can_afford():
    assert time_compression.scrape_interval_s(5, 6) == pytest.approx(5 / 6)
    assert time_compression.scrape_interval_s(5, 60) == time_compression.MIN_SCRAPE_S
