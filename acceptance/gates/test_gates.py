"""Thousands of releases of this repository's own Rollout, and every broken copy of its gates."""

import time
from collections import Counter

import numpy as np
import pytest

from acceptance.gates import rows
from acceptance.gates.peers import PEERS
from acceptance.gates.rows import ROWS
from acceptance.rehearsed import CANARY
from canary.argo import releases
from canary.argo.virtual_rollout import PAUSED, PROMOTED
from canary.power import mutation, simulation, simulation_report, stats
from canary.power.monte_carlo import Study
from canary.power.samples import Fault, Traffic
from canary.power.simulation import Scenario
from canary.runtime import documents, processes

# 12 of 2,000 leave 95 % confidence that the true rate is below 1 %.
HEALTHY_RELEASES, MAX_FALSE = 2000, 12
BAD = Fault(error_rate=0.02)
MIN_DETECTED, MAX_FALSE_SHARE = 0.95, 0.01
RATES = (20.0, 100.0, 500.0)
BASELINES = (0.0005, 0.001, 0.002, 0.005)
# Of each row of the table.
ROW_COMPUTED, ROW_SIMULATED = 5000, 200
BAD_RELEASES, SIMULATED_RELEASES, COMPUTED_RELEASES = 250, 100, 4000


@pytest.fixture(scope="module")
def subject():
    (release,) = releases.find(documents.read_all(["deploy/base"]))
    return mutation.subject_of(release)


def summarise(results, began=None):
    return simulation_report.summarise(
        "gridos", results, time.monotonic() - began if began else 0.0
    )


def test_at_the_stated_traffic_healthy_releases_pass_and_faulty_ones_are_rolled_back(
    subject, measured
):
    """Simulated: each release through a real Prometheus."""
    began = time.monotonic()
    healthy = simulation.simulate(subject, [Scenario("healthy")], HEALTHY_RELEASES)
    bad = simulation.simulate(subject, [Scenario("errors 2 %", BAD)], BAD_RELEASES)
    summary = summarise([*healthy, *bad], began)
    print(simulation_report.table(summary), flush=True)
    good, faulty = summary.tallies
    false = good.releases - good.promoted
    measured("false rollbacks", f"{false} of {good.releases}", f"≤ {MAX_FALSE}")
    measured("faulty releases rolled back", f"{faulty.rolled_back} of {faulty.releases}")
    assert false <= MAX_FALSE
    assert faulty.rolled_back >= MIN_DETECTED * faulty.releases


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize("rps", RATES)
def test_at_any_traffic_and_baseline_what_is_computed_meets_the_target(
    subject, measured, rps, baseline
):
    """Computed, with what is simulated of the same beside it."""
    traffic = Traffic(rps, error_rate=baseline)
    study = Study(subject.rollout, traffic, cpu_limit=subject.cpu_limit, n=COMPUTED_RELEASES)
    scenarios = [Scenario("good", Fault(), traffic), Scenario("bad", BAD, traffic)]
    results = simulation.simulate(subject, scenarios, SIMULATED_RELEASES)
    good, bad = summarise(results).tallies
    healthy, faulty = study.outcomes(Fault()), study.outcomes(BAD)
    computed = (healthy.rollback_rate + healthy.pause_rate, faulty.rollback_rate)
    counted = (good.releases - good.promoted, bad.rolled_back)
    for what, share, count in zip(
        ("false rollbacks", "2 % detected"), computed, counted, strict=True
    ):
        low, high = stats.ratio(count, SIMULATED_RELEASES)
        name = f"{rps:g} requests/s, baseline {baseline:.2%}, {what}"
        measured(name, f"computed {share:.2%}, simulated {count} [{low:.2%}, {high:.2%}]")
    assert computed[0] <= MAX_FALSE_SHARE
    assert computed[1] >= MIN_DETECTED


@pytest.mark.parametrize("row", [r for r in ROWS if r.computed], ids=lambda r: r.scenario.name)
def test_of_computed_releases_as_many_are_rolled_back_as_should_be(subject, measured, row):
    traffic = row.scenario.traffic
    study = Study(subject.rollout, traffic, cpu_limit=subject.cpu_limit, n=ROW_COMPUTED)
    found = study.outcomes(row.scenario.fault)
    users = np.median(found.errors[found.rolled_back]) if found.rollback_rate else 0.0
    value = f"{found.rollback_rate:.2%}, {found.detect_s():.0f} s, {users:.0f} users"
    measured(f"{row.scenario.name}, computed", value, row.target)
    assert rows.unmet_computed(row, found) == []


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.scenario.name)
def test_through_a_real_prometheus_as_many_are_rolled_back_as_should_be(
    subject, measured, times, row
):
    count = times(ROW_SIMULATED)
    virtual_runs = [
        virtual_run for _, virtual_run in simulation.simulate(subject, [row.scenario], count)
    ]
    ended = Counter(virtual_run.outcome for virtual_run in virtual_runs)
    by = Counter(
        virtual_run.tripped[0]
        for virtual_run in virtual_runs
        if virtual_run.outcome not in (PROMOTED, PAUSED)
    )
    took = np.median(
        [virtual_run.ended_s for virtual_run in virtual_runs if virtual_run.outcome != PROMOTED]
        or [np.nan]
    )
    longest = max(virtual_run.ended_s for virtual_run in virtual_runs)
    measured(
        f"{row.scenario.name}, simulated",
        f"{dict(ended)}, median {took:.0f} s, longest {longest:.0f} s, by {dict(by)}",
        row.target,
    )
    assert rows.unmet_simulated(row, virtual_runs) == []


# Of a kind of release, so that it counts as one that is stopped.
STOPPED = 0.5
FAILING = [r for r in ROWS if r.scenario.fault.error_rate or r.scenario.fault.route_broken]


@pytest.mark.parametrize("row", FAILING, ids=lambda r: r.scenario.name)
def test_no_peers_gates_stop_failing_requests_with_fewer_errors_for_users(subject, measured, row):
    traffic, fault = row.scenario.traffic, row.scenario.fault
    study = Study(subject.rollout, traffic, cpu_limit=subject.cpu_limit, n=1000)
    ours = study.outcomes(fault)
    met = np.median(ours.errors[ours.rolled_back])
    for name, release in PEERS.items():
        found = release(traffic, fault, ROW_COMPUTED)
        measured(f"{row.scenario.name}, {name}", found, f"> {met:.0f} users")
        # 0.5 % is within half of the limit: ours are not to stop it either.
        assert ours.rollback_rate < STOPPED or np.median(found.errors) > met


def test_every_broken_copy_of_the_gates_is_noticed():
    assert processes.run([CANARY, "mutate"], timeout=1800).returncode == 0
