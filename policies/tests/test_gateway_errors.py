"""The gate on the gateway's failures, asked of a real Prometheus over what Envoys would export."""

from dataclasses import dataclass

import pytest

from canary.argo import manifests, resolve
from canary.argo.model import Hashes
from canary.power import backfill
from canary.runtime import documents

GATE = "gateway-errors-against-stable"

SCRAPE_S, BEGIN_S = 5, 7200 * 240_000
RELEASED_S, END_S = 300, 600
PER_S = 10


@dataclass(frozen=True)
class Case:
    """A release of nine stable pods and one canary, each with ten requests/s.

    Shares of the requests fail at the gateway alone; in an outage all do. Half of the stable pods
    leave at `leaves_s`.
    """

    canary: float = 0.0
    stable: float = 0.0
    outage_s: tuple[int, int] = (0, 0)
    leaves_s: int = END_S
    envoys: int = 1


CASES = {
    "healthy": Case(),
    "alike": Case(0.02, 0.02),
    "outage": Case(outage_s=(350, 355)),
    "worse": Case(0.01),
    "worse, and stable pods leave": Case(0.01, leaves_s=380),
    "worse, behind two Envoys": Case(0.01, envoys=2),
}


def lines():
    """What Prometheus has scraped of all cases at once, each with its own pods."""
    pods = [
        (case, f"10.244.{number}.{pod}", "stable" if pod < 10 else "canary",
         0 if pod < 10 else RELEASED_S, CASES[case].leaves_s if pod < 5 else END_S)
        for number, case in enumerate(CASES)
        for pod in range(1, 11)
    ]  # fmt: skip
    for case, address, side, begins_s, ends_s in pods:
        for at in range(begins_s, ends_s, SCRAPE_S):
            labels = f'namespace="gridos",rollouts_pod_template_hash="{side} {case}"'
            yield f'up{{{labels},instance="{address}:8001"}} 1 {BEGIN_S + at}'
    for metric in ("rq_error", "rq_success"):
        for case, address, side, begins_s, ends_s in pods:
            for envoy in range(CASES[case].envoys):
                labels = f'envoy_endpoint_address="{address}:8000",pod="envoy-{envoy}"'
                for at in range(begins_s, ends_s, SCRAPE_S):
                    total = PER_S * (at - begins_s)
                    failed = errors(CASES[case], side, begins_s, at)
                    count = failed if metric == "rq_error" else total - failed
                    yield f"envoy_cluster_endpoint_{metric}{{{labels}}} {count} {BEGIN_S + at}"


def errors(case, side, begins_s, at):
    """How many of a pod's requests have failed."""
    down_s = max(0, min(at, case.outage_s[1]) - max(begins_s, case.outage_s[0]))
    share = case.canary if side == "canary" else case.stable
    return int(PER_S * down_s + share * PER_S * (at - begins_s) + 0.5)


@pytest.fixture(scope="module")
def background(root):
    """The background analysis of the local overlay, which has an Envoy."""
    bundle = manifests.read(documents.read(root / "deploy/overlays/local"))
    return manifests.rollout(bundle).background


def query(background, case):
    hashes = Hashes(f"canary {case}", f"stable {case}")
    (found,) = (m for m in resolve.with_hashes(background, hashes) if m.name == GATE)
    return found.query


@pytest.fixture(scope="module")
def scraped(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scraped")
    backfill.load(lines(), folder, "scraped")
    with backfill.serving(folder) as server:
        yield server


def failing(server, background, case):
    """The seconds of the release at which the gate fails."""
    text = query(background, case)
    looks = range(RELEASED_S + 25, END_S, 20)
    found = {at - RELEASED_S: server.query(text, at_s=BEGIN_S + at) for at in looks}
    assert all(len(value) == 1 for value in found.values())
    return [after_s for after_s, value in found.items() if value[0] >= 100]


@pytest.mark.parametrize("case", ["healthy", "alike", "outage"])
def test_a_canary_that_fails_no_more_than_stable_at_the_gateway_passes(scraped, background, case):
    assert failing(scraped, background, case) == []


@pytest.mark.parametrize("case", [case for case in CASES if case.startswith("worse")])
def test_a_canary_fails_by_what_the_gateway_alone_has_counted(scraped, background, case):
    """Of 1,600 requests 16 failed, and 16 - 2 √16 is half of the limit; they are read 10 s late."""
    seconds = 160 // CASES[case].envoys
    assert failing(scraped, background, case)[0] <= seconds + 10 + 20


def test_without_envoys_figures_there_is_no_measurement(scraped, background):
    assert scraped.query(query(background, "unknown"), at_s=BEGIN_S + END_S - 5) == ()
