"""End to end, on real traffic. Given a release, when it is rehearsed, then …

Releases of the shipped manifests take 30 to 100 CPU-seconds, so they are `acceptance`; those of a small
shop take five, and are held to the same wherever that can be said of them.
The rest of the bars is in acceptance/rehearsal. `make accept-rehearsal` runs both.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.first

CANARY = Path(sys.executable).parent / "canary"

# A small service of another team.
SHOP = ("--config", "canary/tests/rehearse/shop/rehearsal.yaml")

# Of the 300 canary requests a measurement that a rehearsal is sized for.
SEEN = 267


@dataclass(frozen=True)
class Rehearsed:
    """A rehearsal that has ended.

    Attributes:
        done: What the program said, and its code.
        result: Its result.json.
        scrapes: More than so many of Prometheus are in it.
        within: How near the canary's share of so many requests must be to its pods'.
        dearest: What the program says cost most, if it costs enough to be sure of it.
    """

    done: subprocess.CompletedProcess[str]
    result: dict[str, Any]
    scrapes: int = 50
    within: float = 0.02
    dearest: str = " (pods "


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
def shipped(root, tmp_path_factory):
    return Rehearsed(*rehearse(root, tmp_path_factory.mktemp("shipped")))


@pytest.fixture(scope="module")
def shop(root, tmp_path_factory):
    ended = rehearse(root, tmp_path_factory.mktemp("shop"), *SHOP)
    # 300 requests at a quarter: five standard deviations.
    return Rehearsed(*ended, scrapes=10, within=0.125, dearest="")


@pytest.fixture(
    scope="module", params=["shop", pytest.param("shipped", marks=pytest.mark.acceptance)]
)
def healthy(request):
    return request.getfixturevalue(request.param)


def test_a_healthy_release_is_promoted(healthy):
    assert healthy.done.returncode == 0, healthy.done.stdout + healthy.done.stderr
    assert healthy.result["verdict"]["outcome"] == "promoted"
    assert healthy.result["verdict"]["rollout_phase"] == "Healthy"


def test_a_healthy_release_costs_its_users_nothing(healthy):
    traffic = healthy.result["traffic"]
    assert (traffic["failed"], traffic["lost"]) == (0, 0)
    assert healthy.result["budget"]["spent_unscaled_requests"] == 0
    assert healthy.result["evidence"]["cause"] == []


@pytest.mark.acceptance
def test_a_healthy_release_is_asked_for_every_documented_route(shipped):
    assert shipped.result["evidence"]["coverage"]["known"] == 14
    assert shipped.result["evidence"]["coverage"]["missing"] == []


@pytest.mark.acceptance
def test_every_look_saw_the_requests_its_gate_was_sized_for(shipped):
    measurements = [
        measurement["number"]
        for run in shipped.result["analysis_runs"]
        for metric in run["metrics"]
        if metric["name"] == "canary-requests"
        for measurement in metric["measurements"]
    ]
    assert len(measurements) > 3
    assert min(measurements) >= SEEN


def test_the_result_says_what_the_run_cost_and_how_well_the_machine_kept_up(healthy):
    machine = healthy.result["machine"]
    assert {"pods", "locust", "envoy", "prometheus", "harness"} <= machine["cpu_seconds"].keys()
    assert machine["cpu_seconds_total"] == pytest.approx(
        sum(machine["cpu_seconds"].values()), abs=0.5
    )
    assert machine["scrapes"] > healthy.scrapes
    assert machine["honest"] is (machine["because"] == "")
    assert f"CPU-seconds{healthy.dearest}" in healthy.done.stdout


def test_the_shares_the_gateway_saw_are_the_pods_shares(healthy):
    series = healthy.result["series"]
    for step in healthy.result["rollout"]["steps"]:
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
        assert share == pytest.approx(step["share"], abs=healthy.within)


@pytest.mark.parametrize(
    ("arguments", "gate", "weight", "cause"),
    [
        pytest.param(
            (*SHOP, "--fault", "0.3"), "failed", 25, "requests failed with 500", id="shop"
        ),
        pytest.param(
            ("--fault", "errors=8%"),
            *("errors-against-stable", 10, "InjectedError"),
            marks=pytest.mark.acceptance,
            id="shipped",
        ),
    ],
)
def test_a_release_that_fails_requests_is_rolled_back_at_the_first_step_by_its_gate(
    root, tmp_path, arguments, gate, weight, cause
):
    done, result = rehearse(root, tmp_path, *arguments, "-o", "json")
    verdict = result["verdict"]
    assert done.returncode == 1, done.stdout + done.stderr
    assert (verdict["outcome"], verdict["gate"]["name"]) == ("rolled-back", gate)
    assert verdict["weight"] == weight
    assert verdict["gate"]["value"] >= verdict["gate"]["threshold"]
    assert result["budget"]["spent_unscaled_requests"] > 0
    bad = {
        metric["name"]
        for run in result["analysis_runs"]
        for metric in run["metrics"]
        if metric["phase"] == "Failed"
    }
    assert gate in bad
    assert json.loads(done.stdout) == result
    assert result["verdict"]["headline"] in done.stderr
    page = (tmp_path / "latest/report.html").read_text()
    assert result["verdict"]["headline"] in page
    evidence = result["evidence"]
    assert cause in evidence["cause"][0]
    for exception in evidence["exceptions"]:
        assert (tmp_path / "latest" / exception["log"]).is_file()
    assert {response["status"] for response in evidence["responses"]} == {500}
