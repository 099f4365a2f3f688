"""Gates of another exporter's metrics are simulated by its dialect, or refused by the metric's name."""

import pytest

from canary.argo import releases
from canary.argo.virtual_rollout import PROMOTED, ROLLED_BACK
from canary.errors import UsageError
from canary.power import edits, exporters, mutants, mutation, simulation
from canary.power.samples import Fault, Traffic
from canary.power.simulation import Scenario
from canary.tests.lint import corpus

CASES = {name: documents for name, documents, _ in corpus.cases()}
ISTIO = "ams0/pd-argo-rollouts-istio-gateway-api gateway-api-timed-plain-none"
SERVICES = "23seriy/ARGO-ROLLOUTS-in-action services-timed-plain-service-monitor"
OWN_COUNTER = "kakeru-lab/progressive-delivery-playground basic-timed-plain-pod-monitor"


def release(name):
    (found,) = releases.find(CASES[name])
    return found


def test_the_services_own_gates_ask_for_no_other_exporters_series(release):
    assert exporters.families(release) == ()


def test_labels_take_the_values_that_a_gate_asks_for_and_tell_the_releases_apart():
    (family,) = exporters.families(release(ISTIO))
    assert (family.metric, family.told) == ("istio_requests_total", {"response_code"})
    assert family.canary["destination_service"].startswith("shop-canary")
    assert not family.stable["destination_service"].startswith("shop-canary")
    assert family.canary["reporter"] == family.stable["reporter"] == "destination"


def test_a_metric_that_nobody_knows_is_refused_by_name():
    with pytest.raises(UsageError, match="app_errors_total is not simulated"):
        exporters.families(release(OWN_COUNTER))


def test_what_is_yet_to_come_is_not_simulated():
    shifted = edits.read(
        {
            "kind": "AnalysisTemplate",
            "path": "spec.metrics[0].provider.prometheus.query",
            "replace": ["[2m]", "[2m] offset -1m"],
        }
    )
    (found,) = releases.find(edits.apply(CASES[ISTIO], [shifted]))
    with pytest.raises(UsageError, match="a negative offset is not simulated"):
        exporters.families(found)


def test_anybodys_gates_are_mutated_by_their_own_words():
    names = {mutant.name for mutant in mutants.generate(CASES[ISTIO])}
    assert {"gate: not scoped", "gate: one status of the failures", "gate: 5xx as a word"} <= names


@pytest.mark.acceptance
def test_releases_of_anybodys_gates_end_as_their_gates_say():
    subject = mutation.subject_of(release(ISTIO))
    kinds = [Scenario("good", Fault(), Traffic(50.0)), Scenario("bad", Fault(error_rate=0.3), Traffic(50.0))]  # fmt: skip
    (_, good), (_, bad) = simulation.simulate(subject, kinds, 1)
    assert (good.outcome, bad.outcome, bad.tripped[0]) == (PROMOTED, ROLLED_BACK, "gate")


@pytest.mark.acceptance
def test_what_is_expected_of_anybodys_gates_is_how_their_releases_end():
    found = mutation.expectations(CASES[SERVICES])
    expected = {e.scenario.name: e.outcome for e in found}
    assert expected["healthy"] == PROMOTED
    assert expected["errors 10 %"] == ROLLED_BACK
    assert mutation.complaints(CASES[SERVICES], found) == []
    # A broken gate is asked of the series that the unbroken one reads.
    (absent,) = (m for m in mutants.generate(CASES[SERVICES]) if "not there" in m.name)
    (verdict,) = mutation.try_all(CASES[SERVICES], None, [absent], found)
    assert verdict.killed_by
