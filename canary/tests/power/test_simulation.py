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
    "errors=5%": (ROLLED_BACK, "error-ratio"),
    "latency=400ms@20%": (ROLLED_BACK, "p95-latency-seconds"),
    "cpu=90%": (ROLLED_BACK, "cpu-saturation-ratio"),
    "crash=500": (ROLLED_BACK, "container-restarts"),
    "idle": (PAUSED, "canary-requests"),
    "late-scrapes": (PROMOTED, None),
    "prometheus-gone": (ROLLED_BACK, "canary-requests"),
    "label-missing": (PAUSED, "canary-requests"),
}


@pytest.fixture(scope="module")
def results(subject):
    scenarios = [faults.scenario(words, Traffic(100.0)) for words in WORDS]
    return simulation.simulate(subject, scenarios, 2)


@pytest.mark.parametrize("words", WORDS)
def test_each_kind_of_release_ends_by_its_own_gate(results, words):
    outcome, gate = WORDS[words]
    walks = [walk for trial, walk in results if trial.scenario.name == words]
    assert [walk.outcome for walk in walks] == [outcome] * 2
    if gate:
        assert all(walk.tripped[0] == gate for walk in walks)


def test_the_same_seed_gives_the_same_release(subject):
    near = [Scenario("near", Fault(error_rate=0.011), Traffic(100.0))]
    once, again = (simulation.simulate(subject, near, 3) for _ in range(2))
    assert [walk for _, walk in once] == [walk for _, walk in again]


def test_summaries_count_every_release_once(results):
    summary = simulation_report.summarise("gridos", results, 1.0)
    assert [tally.scenario for tally in summary.tallies] == list(WORDS)
    assert all(t.promoted + t.rolled_back + t.paused + t.stuck == 2 for t in summary.tallies)
    assert "18 releases of gridos" in simulation_report.table(summary)


def test_a_delay_that_stays_below_the_limit_trips_no_gate(subject):
    delayed = faults.scenario("latency=150ms@20%", Traffic(100.0))
    results = simulation.simulate(subject, [delayed], 2)
    assert [walk.outcome for _, walk in results] == [PROMOTED] * 2


@pytest.mark.parametrize("words", ["slow-start=20s", "hang=1%", "errors=1%@/v1/overloads"])
def test_what_is_not_simulated_is_left_to_a_rehearsal(words):
    with pytest.raises(UsageError, match="not simulated — rehearse it"):
        faults.scenario(words, Traffic(1.0))


def test_an_onset_is_the_releases():
    fault = faults.scenario("errors=3%,after=90s", Traffic(1.0)).fault
    assert (fault.error_rate, fault.onset_s) == (0.03, 90.0)


def test_the_service_and_the_rehearsal_read_one_grammar(root):
    assert (root / "canary/faults.py").samefile(root / "service/gridos/faults.py")


def test_words_that_are_no_fault_are_refused_with_those_that_are():
    with pytest.raises(UsageError, match="prometheus-gone"):
        faults.scenario("sharks", Traffic(1.0))


def test_counters_only_grow_but_for_a_crash(subject):
    def drops(fault):
        (trial,) = simulation.plan(subject, [Scenario("one", fault, Traffic(100.0))], 1)
        names = synthetic_series.Names("gridos", "gridos", "gridos", "abc", "def")
        release = synthetic_series.Release(
            names,
            trial.walk.pods,
            Traffic(100.0),
            fault,
            synthetic_series.ScrapeNoise(),
            1e9,
            400.0,
        )
        series = {}
        for line in synthetic_series.lines(release):
            head, value, _ = line.rsplit(" ", 2)
            series.setdefault(head, []).append(float(value))
        counters = [v for head, v in series.items() if head.startswith("http_requests_total")]
        assert counters
        return sum(b < a for values in counters for a, b in itertools.pairwise(values))

    assert drops(Fault()) == 0
    assert drops(Fault(restarts=1)) > 0


def test_every_name_and_label_synthesised_is_in_the_services_contract(subject, root):
    scraped = (root / "observability/contract.prom").read_text()
    (trial,) = simulation.plan(subject, [Scenario("one")], 1)
    names = synthetic_series.Names("gridos", "gridos", "gridos", "abc", "def")
    release = synthetic_series.Release(
        names, trial.walk.pods, Traffic(10.0), Fault(), synthetic_series.ScrapeNoise(), 1e9, 100.0
    )
    made = {line.partition("{")[0] for line in synthetic_series.lines(release)}
    own = {n for n in made if not n.startswith(("container_", "kube_"))}
    assert own == {n for n in own if f"\n{n}{{" in scraped}
