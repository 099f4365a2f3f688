"""Production's release on the real controllers: started, refused, silenced and aborted by its alerts."""

import pytest

from acceptance.composition.alerts import Platform


@pytest.mark.cluster
def test_a_release_is_held_up_by_what_fires_and_is_not_silenced_and_by_nothing_else(
    cluster, tmp_path, measured
):
    platform = Platform(cluster, tmp_path)
    platform.bring_up()

    ended = platform.release(at_half=platform.restart_kube_state_metrics)
    measured("nothing fires, and kube-state-metrics restarts: promoted", ended)
    assert ended.phase == "Healthy"

    platform.lose_database(lost=True)
    platform.await_alert(firing=True)
    ended = platform.release()
    measured("an alert fires: not started, no pod", ended)
    assert (ended.phase, ended.pods) == ("Degraded", 0)
    assert "blocking-alerts-before" in ended.message

    platform.decide_about_alert(decided=True)
    ended = platform.retry()
    measured("it fires, the Rollout's annotation names it, and it is retried: promoted", ended)
    assert ended.phase == "Healthy"
    platform.decide_about_alert(decided=False)

    platform.silence()
    ended = platform.release()
    measured("it is silenced and still fires: promoted", ended)
    assert ended.phase == "Healthy"

    platform.lose_database(lost=False)
    platform.await_alert(firing=False)
    ended = platform.release(at_half=lambda: platform.lose_database(lost=True))
    measured("one begins at the 50 % step: aborted", ended)
    assert ended.phase == "Degraded"
    assert '"blocking-alerts"' in ended.message
    assert ended.pods > 0

    platform.lose_database(lost=False)
    platform.await_alert(firing=False)
    ended = platform.release()
    measured("the next release, after the aborted one: promoted", ended)
    assert ended.phase == "Healthy"
