"""What the gates can see: exact where it can be, and in agreement with the real query engine."""

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from canary.argo import releases, virtual_rollout
from canary.argo.dialects import Vocabulary
from canary.argo.model import Analysis, Metric, Pause, Rollout, SetWeight
from canary.argo.releases import LATEST
from canary.lint import contract
from canary.power import alternatives, edits, mutation, power_curve, samples, simulation
from canary.power.monte_carlo import Study
from canary.power.samples import Fault, Traffic
from canary.power.simulation import Scenario
from canary.power.stats import chance, ratio, requests_to_detect
from canary.runtime import documents

RATIO = (
    f'(sum(increase(http_requests_total{{hash="{LATEST}", status=~"5.."}}[1m])) or vector(0))'
    f' / sum(increase(http_requests_total{{hash="{LATEST}"}}[1m]))'
)


# As in what is simulated, failures stand at 0 before the first one.
CONTRACT = contract.load(str(Path(__file__).parents[3] / "observability/contract.prom"))
ZEROED = Vocabulary(CONTRACT.values)


def study_of(subject, traffic, n=2000):
    return Study(subject.rollout, traffic, cpu_limit=subject.cpu_limit, vocabulary=ZEROED, n=n)


def one_measurement(query):
    """A release of a hundred pods, half of them canary for a minute, and one measurement at the end."""
    metric = Metric("errors", query, "result[0] < 0.01", "result[0] >= 0.01")
    measurement = Analysis(("gate",), (metric,), {}, 2)
    return Rollout(
        name="shop",
        namespace="default",
        replicas=100,
        steps=(SetWeight(50), Pause(60.0), measurement),
        background=None,
        max_surge=0,
        max_unavailable=1,
    )


def drawn(query=RATIO, rps=100.0, n=500, vocabulary=ZEROED, **healthy):
    """As many of these releases, at so many requests a second."""
    return Study(one_measurement(query), Traffic(rps, **healthy), vocabulary=vocabulary, n=n)


@pytest.mark.parametrize(
    ("requests", "error_rate", "limit"),
    [(200, 0.01, 0.02), (1000, 0.02, 0.01), (50, 0.3, 0.2), (5000, 0.009, 0.01)],
)
def test_the_exact_chance_is_that_of_the_binomial_averaged_over_poisson_traffic(
    requests, error_rate, limit
):
    n = np.arange(1, int(requests + 12 * math.sqrt(requests) + 20))
    reaches = stats.binom.sf(np.ceil(n * limit - 1e-9) - 1, n, error_rate)
    expected = float(np.sum(stats.poisson.pmf(n, requests) * reaches))
    assert chance(requests, error_rate, limit) == pytest.approx(expected, abs=1e-6)


def test_a_minimum_of_requests_takes_the_look_away_where_there_are_fewer():
    assert chance(100, 0.5, 0.01, minimum=1000) == pytest.approx(0.0, abs=1e-12)
    assert chance(2000, 0.5, 0.01, minimum=1000) == pytest.approx(1.0)


def test_requests_needed_is_where_the_exact_chance_crosses_the_power():
    needed = requests_to_detect(0.02, 0.01)
    assert chance(needed, 0.02, 0.01) >= 0.95
    assert chance(needed * 0.8, 0.02, 0.01) < 0.95
    assert requests_to_detect(0.01, 0.01) is None


@pytest.mark.parametrize("error_rate", [0.005, 0.01, 0.015])
def test_one_look_over_drawn_releases_agrees_with_the_exact_chance(error_rate):
    study = drawn(rps=20.0, n=4000)
    outcomes = study.outcomes(Fault(error_rate=error_rate))
    first, last = study.draws.world(Fault()).slots(study.measurements[0].at_s, 60.0)
    seen = study.draws.world(Fault()).canary.requests[:, first:last].sum(axis=1).mean()
    exact = chance(float(seen), error_rate, 0.01)
    low, high = ratio(int(outcomes.rolled_back.sum()), study.n, 0.999)
    assert low <= exact <= high


def test_clustered_failures_roll_back_more_good_releases():
    calm, gusty = (
        drawn(rps=20.0, n=4000, error_rate=0.005, overdispersion=share).outcomes(Fault())
        for share in (0.0, 0.01)
    )
    assert gusty.rollback_rate > 1.5 * calm.rollback_rate > 0.05


def test_larger_faults_are_caught_more_often_and_sooner(subject):
    study = study_of(subject, Traffic(100.0))
    sizes = (0.005, 0.01, 0.02, 0.05)
    found = [study.outcomes(Fault(error_rate=size)) for size in sizes]
    rates = [outcomes.rollback_rate for outcomes in found]
    assert rates == sorted(rates)
    assert found[-1].detect_s() < found[1].detect_s()


def test_every_shipped_gate_is_modelled_and_each_fault_trips_its_own(subject):
    study = study_of(subject, Traffic(100.0, routes=(0.5, 0.495, 0.005)))
    assert study.unmodelled == {}
    for fault, gate in (
        (Fault(error_rate=0.1), "errors-against-stable"),
        (Fault(route_broken=True), "route-errors"),
        (Fault(slow_share=0.2), "p95-latency-seconds"),
        (Fault(cpu=0.9), "cpu-saturation-ratio"),
        (Fault(restarts=1), "container-restarts"),
    ):
        assert study.outcomes(fault).rollback_rate_by(gate) > 0.95


def test_an_unscoped_gate_is_blind_to_a_small_canary(subject):
    unscoped = RATIO.replace(f'hash="{LATEST}", ', "").replace(f'hash="{LATEST}"', "")
    seen, missed = (
        drawn(query).outcomes(Fault(error_rate=0.015)).rollback_rate for query in (RATIO, unscoped)
    )
    assert seen > 0.9
    assert missed < 0.1


def test_where_series_begin_with_the_first_failure_fewer_releases_are_caught():
    fault = Fault(error_rate=0.015)
    zeroed, begun = (
        drawn(vocabulary=vocabulary).outcomes(fault) for vocabulary in (ZEROED, Vocabulary())
    )
    assert begun.rollback_rate < zeroed.rollback_rate - 0.05


@pytest.fixture
def design(root):
    """The error gate as first drawn: canary and stable as one, over the last five minutes."""
    found = documents.read_all([str(root / "canary/tests/power/design.yaml")])
    for metric in (2, 1):
        path = ("spec", "metrics", str(metric))
        found = edits.apply(found, [edits.Edit("AnalysisTemplate", path, delete=True)])
    (release,) = releases.find(found)
    return mutation.subject_of(release)


def test_a_window_that_reaches_back_before_the_release_is_full_of_the_stable_one(
    design, monkeypatch
):
    """Lint's arithmetic: the canary is 4 % of the first measurement, so it takes 25 % to trip 1 %.

    It takes the pods of a release for equally loaded.
    """
    monkeypatch.setattr(samples, "SKEW", 1e-3)
    study = study_of(design, Traffic(100.0))
    blind, seen = (study.outcomes(Fault(error_rate=size)) for size in (0.18, 0.32))
    assert blind.rollback_rate_at(2) < 0.01
    assert seen.rollback_rate_at(2) > 0.99


def test_power_agrees_with_the_real_query_engine_on_an_unscoped_gate_too(design):
    fault, n = Fault(error_rate=0.225), 20
    computed = study_of(design, Traffic(100.0)).outcomes(fault).rollback_rate_at(2)
    results = simulation.simulate(design, [Scenario("fault", fault)], n)
    stopped = sum(
        virtual_run.step == 2 and virtual_run.outcome == virtual_rollout.ROLLED_BACK
        for _, virtual_run in results
    )
    low, high = ratio(stopped, n, 0.999)
    assert 0.2 < computed < 0.8
    assert low <= computed <= high


def test_a_gate_whose_series_may_be_missing_is_said_to_abort_every_release():
    study = drawn("job:errors:ratio5m", n=10)
    assert "it aborts every release, 40 s after its measurement" in study.unmodelled["errors"]


def test_what_is_not_modelled_is_named_and_judges_nothing():
    study = drawn("predict_linear(x[1h], 60)", n=10)
    assert "predict_linear" in study.unmodelled["errors"]
    assert study.outcomes(Fault(error_rate=1.0)).rollback_rate == 0


@pytest.mark.acceptance
def test_a_sweep_holds_every_kind_and_tells_the_smallest_fault(subject):
    power = power_curve.sweep(
        study_of(subject, Traffic(100.0), n=200), "gridos", "checked", "often", {}
    )
    smallest = {curve.kind: curve.detected_95 for curve in power.curves}
    assert 0.005 < smallest["errors"] < 0.01
    assert 0.04 < smallest["slow"] < 0.06
    assert 0.65 < smallest["cpu"] < 0.75
    assert power.false_rollback <= 0.01
    assert power.limits["error-ratio"] == 0.01
    assert "smallest errors detected" in power_curve.table(power)


@pytest.mark.acceptance
def test_canary_against_stable_is_not_fooled_by_a_shared_outage(subject):
    found = {s.name: s for s in alternatives.compare(study_of(subject, Traffic(100.0), n=500))}
    assert found["plain ratio"].shared_outage > 0.9
    assert found["canary against stable"].shared_outage < 0.1
    assert found["canary against stable"].detected_95 < found["as it is"].detected_95
    assert all(s.false_rollback <= 0.03 for s in found.values())


@pytest.fixture
def scraped(root):
    """Gates on the last minute, every 20 s beside the steps, of pods that are scraped seldom."""
    found = documents.read_all([str(root / "canary/tests/power/margins.yaml")])
    (release,) = releases.find(found)
    rollout = mutation.subject_of(release).rollout

    def study(scrape_s):
        return Study(rollout, Traffic(100.0), vocabulary=ZEROED, n=2000, scrape_s=scrape_s)

    return study


def test_each_measurement_meets_new_scrapes_of_some_pods(scraped, monkeypatch):
    """Scraped at one instant, no pod has anything new for every third measurement."""
    slow = Fault(slow_share=0.04)
    in_turn, met = scraped(30.0).outcomes(slow), scraped(30.0).outcomes(Fault()).errors.mean()
    monkeypatch.setattr(samples, "TURNS", 1)
    at_once, same = scraped(30.0).outcomes(slow), scraped(30.0).outcomes(Fault()).errors.mean()
    assert in_turn.rollback_rate_at(-1) > at_once.rollback_rate_at(-1) + 0.02
    assert len(in_turn.paused) == len(at_once.paused) == 2000
    assert met == pytest.approx(same, rel=0.02)


def test_a_window_that_holds_two_scrapes_of_some_pods_alone_is_not_modelled(scraped):
    assert scraped(30.0).unmodelled == scraped(60.0).unmodelled == {}
    reasons = scraped(45.0).unmodelled
    assert "holds one scrape of some pods and two of others" in reasons["error-ratio"]
