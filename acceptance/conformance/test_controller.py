"""Our controller and evaluator beside the real Argo Rollouts, and our policies beside cyclonus."""

import os
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from acceptance.cluster import HOST, INSIDE, ROOT
from acceptance.conformance import connectivity, evaluator, flows, outcomes
from acceptance.conformance.blue_green import BLUE_GREEN
from acceptance.conformance.real import Follower
from acceptance.conformance.routed import ROUTED
from acceptance.conformance.scenarios import SCENARIOS
from acceptance.conformance.scripted import serving
from canary.errors import RehearsalError
from canary.runtime import program
from canary.runtime.kubectl import Watch, connect
from canary.runtime.waiting import wait_until
from policies import objects

# They mostly wait. A node has room for 110 pods, and a release of ten takes thirteen.
TOGETHER = 6
PAUSE_IMAGE = "gridos.local/pause:1"
CASES, BATCH = 2000, 250
# A case of four measurements with two errors between them takes 25 s; the rest is the controller's queue.
ENDED_TIMEOUT_S, POLL_S = 600.0, 5.0


@pytest.mark.parametrize("overlay", ["dev", "staging", "production", "local"])
def test_every_flow_between_every_two_ends_is_judged_as_by_cyclonus(overlay, measured):
    rendered = objects.read(ROOT / "deploy/overlays" / overlay)
    asked = connectivity.all_flows(rendered)
    mine = [flows.allowed(rendered, flow) for flow in asked]
    theirs = connectivity.ask_cyclonus(rendered, asked)
    measured(overlay, f"{len(asked)} flows, {sum(mine)} pass")
    assert [f for f, a, b in zip(asked, mine, theirs, strict=True) if a is not b] == []


@contextmanager
def scripted(scripts):
    """(kubectl, what it sees, a Prometheus that answers by these scripts)."""
    kubectl = connect(None)
    with tempfile.TemporaryDirectory() as folder:
        watch = Watch(kubectl, Path(folder) / "kubectl-proxy.log")
        with closing(watch), serving(scripts, HOST) as server:
            yield kubectl, watch, server


@pytest.mark.inside
def test_every_scenario_ends_on_the_real_controller_as_it_does_in_the_rehearsal(
    cluster, tmp_path, measured, only
):
    chosen = [scenario for scenario in (*SCENARIOS, *ROUTED, *BLUE_GREEN) if only in scenario.name]
    assert chosen, f"no scenario's name holds {only}"

    def follow(scenario):
        follower = Follower(kubectl, watch, scenario, server, PAUSE_IMAGE)
        try:
            outcome = follower.follow()
        except RehearsalError as failed:
            return f"no end: {failed}", [str(failed)]
        return str(outcome), list(outcomes.differences(outcomes.ours(scenario, tmp_path), outcome))

    differing = {}
    with (
        scripted({scenario.name: scenario.script for scenario in chosen}) as (
            kubectl,
            watch,
            server,
        ),
        program.threads(TOGETHER) as pool,
    ):
        for scenario, (ended, differences) in zip(chosen, pool.map(follow, chosen), strict=True):
            measured(scenario.name, ended)
            differing |= {scenario.name: differences} if differences else {}
    assert differing == {}


@pytest.fixture
def quick_controller(cluster):
    """Its own limit of 40 requests/s to the API would make it a matter of minutes more."""
    if INSIDE in os.environ:
        return
    cluster.controller("--controllers=analysis", "--qps=200", "--burst=400")


@pytest.mark.inside
def test_every_generated_metric_is_judged_as_the_real_controller_judges_it(
    cluster, measured, quick_controller, times
):
    """Left out are those in which the controller asked more often than it kept measurements.

    It met a conflict when it wrote its status, dropped the answer and asked anew, so the script was
    read on.
    """
    cases = list(evaluator.generate(times(CASES), seed=1))
    with scripted({case.name: case.script for case in cases}) as (kubectl, watch, server):
        kubectl.run("create", "namespace", evaluator.NAMESPACE)
        try:
            for start in range(0, len(cases), BATCH):
                batch = evaluator.bodies(cases[start : start + BATCH], server.url)
                kubectl.run("create", "-f", "-", given=batch)
            seen = {}

            def ended():
                found = watch.get(evaluator.NAMESPACE, ["analysisruns"])
                done = (body for body in found if evaluator.ended(body))
                seen.update({body["metadata"]["name"]: evaluator.theirs(body) for body in done})
                print(f"{len(seen)} of {len(cases)} ended", flush=True)
                return len(seen) == len(cases)

            assert wait_until(ended, ENDED_TIMEOUT_S, every_s=POLL_S)
        finally:
            kubectl.run("delete", "namespace", evaluator.NAMESPACE, "--wait=false")
    kept = [c for c in cases if server.asked(c.name) <= len(seen[c.name].measurements)]
    measured("cases compared", f"{len(kept)}, {len(cases) - len(kept)} asked anew and left out")
    assert [(c, seen[c.name]) for c in kept if evaluator.ours(c) != seen[c.name]] == []
