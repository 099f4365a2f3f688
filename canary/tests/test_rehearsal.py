"""End to end: the shipped manifests, on real traffic. Given a release, when it is rehearsed, then …

The rest of the bars, which take longer, are `make accept-rehearsal`.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.first

CANARY = Path(sys.executable).parent / "canary"

# Of the 300 canary requests a look that a rehearsal is sized for.
SEEN = 267


def rehearse(root, out, *arguments):
    done = subprocess.run(
        [CANARY, "rehearse", "--out", str(out), *arguments],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    result = json.loads((out / "latest/result.json").read_text())
    return done, result


@pytest.fixture(scope="module")
def healthy(root, tmp_path_factory):
    return rehearse(root, tmp_path_factory.mktemp("healthy"))


def test_a_healthy_release_is_promoted(healthy):
    done, result = healthy
    assert done.returncode == 0, done.stdout + done.stderr
    assert result["verdict"]["outcome"] == "promoted"
    assert result["verdict"]["rollout_phase"] == "Healthy"


def test_a_healthy_release_costs_its_users_nothing(healthy):
    _, result = healthy
    assert (result["traffic"]["failed"], result["traffic"]["lost"]) == (0, 0)
    assert result["budget"]["spent_unscaled_requests"] == 0


def test_a_healthy_release_is_asked_for_every_documented_route_and_blamed_for_nothing(healthy):
    _, result = healthy
    assert result["evidence"]["coverage"]["known"] == 14
    assert result["evidence"]["coverage"]["missing"] == []
    assert result["evidence"]["cause"] == []


def test_every_look_saw_the_requests_its_gate_was_sized_for(healthy):
    _, result = healthy
    looks = [
        look["number"]
        for run in result["analysis_runs"]
        for metric in run["metrics"]
        if metric["name"] == "canary-requests"
        for look in metric["measurements"]
    ]
    assert len(looks) > 3
    assert min(looks) >= SEEN


def test_the_result_says_what_the_run_cost_and_how_well_the_machine_kept_up(healthy):
    done, result = healthy
    machine = result["machine"]
    assert {"pods", "locust", "envoy", "prometheus", "harness"} <= machine["cpu_seconds"].keys()
    assert machine["cpu_seconds_total"] == pytest.approx(
        sum(machine["cpu_seconds"].values()), abs=0.5
    )
    assert machine["scrapes"] > 50
    assert machine["honest"] is (machine["because"] == "")
    assert "CPU-seconds (pods " in done.stdout


def test_the_shares_the_gateway_saw_are_the_pods_shares(healthy):
    _, result = healthy
    series = result["series"]
    for step in result["rollout"]["steps"]:
        if step["kind"] != "setWeight":
            continue
        inside = [
            (canary, canary + stable)
            for index, canary, stable in zip(
                series["step_index"],
                series["canary_requests"],
                series["stable_requests"],
                strict=True,
            )
            if index == step["index"] + 1
        ][1:-1]
        share = sum(c for c, _ in inside) / sum(total for _, total in inside)
        assert share == pytest.approx(step["share"], abs=0.02)


def test_a_release_that_fails_three_per_cent_is_rolled_back_at_the_first_step_by_its_gate(
    root, tmp_path
):
    done, result = rehearse(root, tmp_path, "--fault", "errors=3%", "-o", "json")
    verdict = result["verdict"]
    assert done.returncode == 1, done.stdout + done.stderr
    assert (verdict["outcome"], verdict["gate"]["name"]) == ("rolled-back", "errors-against-stable")
    assert verdict["weight"] == 10
    assert verdict["gate"]["value"] >= verdict["gate"]["threshold"]
    assert result["budget"]["spent_unscaled_requests"] > 0
    bad = {
        metric["name"]
        for run in result["analysis_runs"]
        for metric in run["metrics"]
        if metric["phase"] == "Failed"
    }
    assert "errors-against-stable" in bad
    assert json.loads(done.stdout) == result
    assert result["verdict"]["headline"] in done.stderr
    page = (tmp_path / "latest/report.html").read_text()
    assert result["verdict"]["headline"] in page
    evidence = result["evidence"]
    assert "InjectedError" in evidence["cause"][0]
    assert (tmp_path / "latest" / evidence["exceptions"][0]["log"]).is_file()
    assert {response["status"] for response in evidence["responses"]} == {500}
