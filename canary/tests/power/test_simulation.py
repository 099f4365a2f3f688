"""Releases through a real Prometheus end as they must."""

import itertools

import pytest

from canary.argo.virtual_rollout import PAUSED, PROMOTED, ROLLED_BACK
from canary.errors import UsageError
from canary.power import faults, simulation, simulation_report, synthetic_series
from canary.power.samples import Fault, Traffic
from canary.power.simulation import Scenario

WORDS = {
    "healthy": (PROMOTED, None),
    "errors=5%": (ROLLED_BACK, "errors-against-stable"),
    "latency=400ms@20%": (ROLLED_BACK, "p95-latency-seconds"),
    "cpu=90%": (ROLLED_BACK, "cpu-saturation-ratio"),
    "crash=500": (ROLLED_BACK, "container-restarts"),
    "idle": (PAUSED, "canary-requests"),
    "late-scrapes": (PROMOTED, None),
    "prometheus-gone": (ROLLED_BACK, "errors-against-stable"),
    "label-missing": (PAUSED, "canary-requests"),
}


@pytest.fixture(scope="module", params=[1, pytest.param(2, marks=pytest.mark.acceptance)])
def count(request):
    """Of releases of each kind."""
    return request.param


@pytest.fixture(scope="module")
def results(subject, count):
    scenarios = [faults.scenario(words, Traffic(100.0)) for words in WORDS]
    return simulation.simulate(subject, scenarios, count)


@pytest.mark.parametrize("words", WORDS)
def test_each_kind_of_release_ends_by_its_own_gate(results, count, words):
    outcome, gate = WORDS[words]
    virtual_runs = [virtual_run for trial, virtual_run in results if trial.scenario.name == words]
    assert [virtual_run.outcome for virtual_run in virtual_runs] == [outcome] * count
    if gate:
        assert all(virtual_run.tripped[0] == gate for virtual_run in virtual_runs)


def test_the_same_seed_gives_the_same_release(subject):
    near = [Scenario("near", Fault(error_rate=0.011), Traffic(100.0))]
    once, again = (simulation.simulate(subject, near, 1) for _ in range(2))
    assert [virtual_run for _, virtual_run in once] == [virtual_run for _, virtual_run in again]


def test_summaries_count_every_release_once(results, count):
    summary = simulation_report.summarise("gridos", results, 1.0)
    assert [tally.scenario for tally in summary.tallies] == list(WORDS)
    assert all(t.promoted + t.rolled_back + t.paused + t.stuck == count for t in summary.tallies)
    assert f"{9 * count} releases of gridos" in simulation_report.table(summary)


def test_a_delay_below_the_limit_is_compared_with_stable_from_100_ms_on(subject):
    words = ("latency=60ms@20%", "latency=150ms@20%")
    delayed = [faults.scenario(text, Traffic(100.0)) for text in words]
    (_, little), (_, much) = simulation.simulate(subject, delayed, 1)
    assert little.outcome == PROMOTED
    assert (much.outcome, much.tripped[0]) == (ROLLED_BACK, "p95-against-stable")


def test_what_stable_suffers_too_is_not_the_canarys_and_a_new_pods_first_seconds_are_not_counted(
    subject,
):
    routes = (0.5, 0.495, 0.005)
    kinds = [
        Scenario("outage", Fault(outage_s=2.0), Traffic(100.0, routes=routes)),
        Scenario("warm-up", Fault(warm_up_s=4.0), Traffic(100.0, routes=routes)),
        Scenario("route", Fault(route_broken=True), Traffic(100.0, routes=routes)),
    ]
    (_, outage), (_, warm_up), (_, route) = simulation.simulate(subject, kinds, 1)
    assert (outage.outcome, warm_up.outcome) == (PROMOTED, PROMOTED)
    assert (route.outcome, route.tripped[0]) == (ROLLED_BACK, "route-errors")


@pytest.mark.acceptance
def test_a_release_with_few_requests_waits_at_its_first_weight_until_they_are_enough(subject):
    ((_, few),) = simulation.simulate(subject, [Scenario("few", traffic=Traffic(8.0))], 1)
    began = {weight: at_s for at_s, weight in few.weights}
    assert few.outcome == PROMOTED
    assert began[25] - began[10] > 80.0, "a minute's pause, and then twenty seconds or more"
    assert began[50] - began[25] < 130.0


@pytest.mark.parametrize(
    "words", ["slow-start=20s", "hang=1%@/v1/feeders", "errors=1%@/v1/overloads"]
)
def test_what_is_not_simulated_is_left_to_a_rehearsal(words):
    with pytest.raises(UsageError, match="not simulated — rehearse it"):
        faults.scenario(words, Traffic(1.0))


def test_requests_that_are_never_answered_or_cut_off_are_not_counted():
    lost = faults.scenario("hang=1%,reset=50%", Traffic(1.0)).fault.lost_share
    assert lost == pytest.approx(1 - 0.99 * 0.5)


def test_an_onset_is_the_releases():
    fault = faults.scenario("errors=3%,after=90s", Traffic(1.0)).fault
    assert (fault.error_rate, fault.onset_s) == (0.03, 90.0)


def test_the_service_and_the_rehearsal_read_one_grammar(root):
    assert (root / "canary/faults.py").samefile(root / "service/gridos/faults.py")


def test_words_that_are_no_fault_are_refused_with_those_that_are():
    with pytest.raises(UsageError, match="prometheus-gone"):
        faults.scenario("sharks", Traffic(1.0))


def synthesised(subject, fault, traffic, length_s):
    """The lines of one release's series."""
    (trial,) = simulation.plan(subject, [Scenario("one", fault, traffic)], 1)
    names = synthetic_series.Names("gridos", "gridos", "gridos", "abc", "def")
    pods, noise = trial.virtual_run.pods, synthetic_series.ScrapeNoise()
    made = synthetic_series.Release(names, pods, traffic, fault, noise, 1e9, length_s)
    return synthetic_series.lines(made)


def test_counters_only_grow_but_for_a_crash(subject):
    def drops(fault):
        series = {}
        for line in synthesised(subject, fault, Traffic(100.0), 400.0):
            head, value, _ = line.rsplit(" ", 2)
            series.setdefault(head, []).append(float(value))
        counters = [v for head, v in series.items() if head.startswith("http_requests_total")]
        assert counters
        return sum(b < a for values in counters for a, b in itertools.pairwise(values))

    assert drops(Fault()) == 0
    assert drops(Fault(restarts=1)) > 0


def test_every_name_and_label_synthesised_is_in_the_services_contract(subject, root):
    scraped = (root / "observability/contract.prom").read_text()
    lines = synthesised(subject, Fault(), Traffic(10.0), 100.0)
    made = {line.partition("{")[0] for line in lines}
    own = {n for n in made if not n.startswith(("container_", "kube_"))}
    assert own == {n for n in own if f"\n{n}{{" in scraped}
