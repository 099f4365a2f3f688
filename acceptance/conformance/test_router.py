"""Behind a traffic router on a real cluster: users are shared by weight, and the gates decide."""

import pytest

from acceptance.cluster import ROOT
from acceptance.conformance.rehearsals import End, rehearse
from canary.runtime import processes

OVERLAY = "acceptance/conformance/router"
pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def router(namespaces, tmp_path_factory):
    """The cluster, with a gateway that shares users by the weight of the canary's Ingress."""
    command = namespaces.command("python", "-m", "acceptance.conformance.weights")
    log = tmp_path_factory.mktemp("router") / "weights.log"
    child = processes.start("weights", command, log, working_directory=ROOT)
    yield namespaces
    ended = not child.running
    child.stop(grace_s=5)
    assert not ended, child.tail()


def share(result, weight):
    """The canary's share of the requests that the gateway sent at a weight, once it had settled."""
    series = result["series"]
    rows = zip(series["weight"], series["canary_requests"], series["stable_requests"], strict=False)
    at = [(canary, stable) for found, canary, stable in rows if found == weight][5:]
    canary, stable = (sum(column) for column in zip(*at, strict=True))
    return canary / (canary + stable)


def test_a_healthy_release_behind_a_router_is_promoted_at_the_weights_of_its_steps(
    router, measured
):
    result = rehearse(router, End(0), "--manifests", OVERLAY)
    for weight in (25, 50):
        found = share(result, weight)
        measured(f"canary's share at weight {weight}", f"{found:.0%}", f"{weight} % ± 5")
        assert abs(found * 100 - weight) < 5


def test_a_faulty_release_behind_a_router_is_aborted_by_its_gate(router):
    fault = "errors=100%@/v1/overloads"
    rehearse(router, End(1, "route-errors"), "--manifests", OVERLAY, "--fault", fault)
