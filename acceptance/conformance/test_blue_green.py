"""A blueGreen on a real cluster: its gates before and after the switch, at the steps as here."""

import pytest

from acceptance.conformance.rehearsals import End, rehearse

OVERLAY = "acceptance/conformance/bluegreen"
pytestmark = pytest.mark.cluster


def places(result):
    """The canary's weight at the end of each AnalysisRun, and the step that it belongs to."""
    series = result["series"]
    weights = list(zip(series["at_s"], series["weight"], strict=True))
    return [
        (run["step_index"], [weight for at, weight in weights if at < run["ended_s"]][-1])
        for run in result["analysis_runs"]
    ]


def test_a_healthy_blue_green_is_promoted_by_its_gates_before_and_after_the_switch(
    namespaces, measured
):
    result = rehearse(namespaces, End(0), "--manifests", OVERLAY)
    measured("blueGreen", result["verdict"]["headline"])
    # 0 starts the preview, 2 is the pause and 3 the switch.
    assert places(result) == [(1, 0), (4, 100)]
    assert result["traffic"]["failed"] == 0


def test_a_faulty_blue_green_is_rolled_back_after_the_switch_and_users_are_back_on_stable(
    namespaces, measured
):
    wanted = End(1, "failed-share")
    result = rehearse(namespaces, wanted, "--manifests", OVERLAY, "--fault", "errors=30%")
    measured("faulty blueGreen", result["verdict"]["headline"])
    assert places(result) == [(1, 0), (4, 100)]
    assert result["series"]["canary_requests"][-1] == 0 < result["series"]["stable_requests"][-1]
