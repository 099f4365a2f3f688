"""Profiles stand on either side of their gate and are large enough."""

from dataclasses import replace

import pytest
from gridos import faults
from loadtesting import profiles
from loadtesting.model import Result
from loadtesting.profiles import Overrides
from openarrivals.schedule import Plan

from canary.errors import UsageError
from canary.power import stats

GATES = {"error-ratio", "p95-latency-seconds", "cpu-saturation-ratio", "canary-requests"}


def test_every_pair_has_both_verdicts_and_names_its_gate(catalogue):
    for pair in ("errors", "latency", "cpu"):
        good, bad = catalogue[f"{pair}-good"], catalogue[f"{pair}-bad"]
        assert (good.expected, bad.expected) == (Result.PASS, Result.FAIL)
        assert good.gate == bad.gate
    assert {p.gate for p in catalogue.values() if p.gate} == GATES


def test_the_gates_named_are_the_templates_metrics(root):
    text = "".join(file.read_text() for file in (root / "deploy/base").glob("analysis-*.yaml"))
    assert all(f"- name: {gate}\n" in text for gate in GATES)


def test_the_service_understands_every_fault(catalogue):
    for profile in catalogue.values():
        faults.parse(profile.fault)


def test_the_ratios_are_the_ones_the_readme_states(catalogue):
    stated = {name: p.fault for name, p in catalogue.items() if p.fault}
    assert stated == {
        "errors-good": "errors=0.2%",
        "errors-bad": "errors=3%",
        "latency-good": "latency=400ms@2%",
        "latency-bad": "latency=400ms@10%",
        "cpu-good": "cpu=40%",
        "cpu-bad": "cpu=90%",
    }


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_seeded_schedule_holds_what_the_verdict_needs(limits, seed):
    for profile in profiles.catalogue(limits, Overrides(seed=seed)).values():
        if profile.expected is not Result.INCONCLUSIVE:
            assert len(list(Plan(profile.shape, seed=seed).due())) >= profile.needed


def test_the_idle_one_stays_below_what_the_gates_want(limits, catalogue):
    idle = catalogue["idle"]
    assert len(list(Plan(idle.shape).due())) < limits.min_requests


def test_ratios_move_with_the_gate(limits):
    wider = profiles.catalogue(replace(limits, max_error_ratio=0.02))
    assert wider["errors-bad"].fault == "errors=6%"


def test_a_nearer_pair_needs_more_and_sends_it(limits):
    near = profiles.find("errors-good", limits, Overrides(pair=(0.005, 0.015)))
    assert near.needed == stats.requests_to_distinguish(limits.max_error_ratio, 0.005, 0.015)
    assert near.fault == "errors=0.5%"
    assert len(list(Plan(near.shape).due())) >= near.needed


def test_every_gate_can_have_a_nearer_pair(limits):
    slow = profiles.find("latency-bad", limits, Overrides(pair=(0.04, 0.06)))
    assert slow.fault == "latency=400ms@6%"
    assert slow.needed == stats.requests_to_distinguish(limits.max_slow_ratio, 0.04, 0.06)
    assert profiles.find("cpu-good", limits, Overrides(pair=(0.6, 0.8))).fault == "cpu=60%"


@pytest.mark.parametrize("name", ["errors-good", "smoke"])
def test_a_nearer_pair_that_is_no_pair_of_the_profile_is_refused(limits, name):
    with pytest.raises(UsageError, match=f"4% and 6% surround no limit of {name}"):
        profiles.find(name, limits, Overrides(pair=(0.04, 0.06)))


def test_an_unknown_profile_is_answered_with_the_known_ones(limits):
    with pytest.raises(UsageError, match=r"no profile 'fast' — choose one of errors-good"):
        profiles.find("fast", limits)
