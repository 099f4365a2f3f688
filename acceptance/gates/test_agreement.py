"""What is computed and what a real Prometheus answers agree step by step, near the limits.

There the chance is neither 0 nor 1, so that an error in either shows. Each release has one gate
of margins.yaml, which reads the service's own metric, or one whose failures are no series before
the first, or which asks for the worst of a minute instead.
"""

from dataclasses import dataclass

import pytest

from canary.argo import releases
from canary.argo.dialects import Vocabulary
from canary.argo.virtual_rollout import PAUSED, ROLLED_BACK
from canary.lint import contract
from canary.power import edits, mutation, simulation, stats
from canary.power.monte_carlo import Study
from canary.power.samples import Fault, Traffic
from canary.power.simulation import Scenario
from canary.power.synthetic_series import ScrapeNoise
from canary.runtime import documents

COMPUTED, SIMULATED = 20_000, 2000
CONFIDENCE = 0.999
# An exporter whose series of failures begin with the first one.
BEGINS_LATE = "flask_http_request_total"

CANARY = 'rollouts_pod_template_hash="{{args.hash}}"'
FAILED = f'sum(increase(http_requests_total{{{CANARY}, status=~"5.."}}[20s]))'
WORST = f"max_over_time(({FAILED} / sum(increase(http_requests_total{{{CANARY}}}[20s])))[1m:10s])"


@dataclass(frozen=True)
class Cell:
    """One gate under one fault."""

    name: str
    gate: str
    fault: Fault
    rps: float = 100.0
    metric: str = "http_requests_total"
    query: str = ""
    scrape_s: float = 5.0


CELLS = (
    Cell("1 % fail", "error-ratio", Fault(error_rate=0.01)),
    Cell("1.25 % fail", "error-ratio", Fault(error_rate=0.0125)),
    Cell("1.5 % fail at 20/s", "error-ratio", Fault(error_rate=0.015), 20.0),
    Cell("3 % fail at 20/s, from the first on", "error-ratio", Fault(error_rate=0.03), 20.0, BEGINS_LATE),
    Cell("4 % slow", "p95-latency-seconds", Fault(slow_share=0.04)),
    Cell("0.3 % fail, worst of a minute", "error-ratio", Fault(error_rate=0.003), query=WORST),
    Cell("4 % slow, every 15 s", "p95-latency-seconds", Fault(slow_share=0.04), scrape_s=15.0),
    Cell("healthy, every 30 s", "error-ratio", Fault(), scrape_s=30.0),
    # Measured every 20 s, so each measurement finds new scrapes of some pods alone.
    Cell("4 % slow, every 30 s", "p95-latency-seconds", Fault(slow_share=0.04), scrape_s=30.0),
    Cell("1 % fail, every 30 s", "error-ratio", Fault(error_rate=0.01), scrape_s=30.0),
    # Two scrapes of some pods are in the window, and three of others.
    Cell("1 % fail, every 25 s", "error-ratio", Fault(error_rate=0.01), scrape_s=25.0),
)  # fmt: skip


def released(cell):
    """The release with that gate alone, as power and simulate take it."""
    found = documents.read_all(["canary/tests/power/margins.yaml"])
    names = [metric["name"] for metric in found[1].spec["metrics"]]
    others = [f"name={name}" for name in names if name != cell.gate]
    changes = [
        edits.Edit("AnalysisTemplate", ("spec", "metrics", name), delete=True) for name in others
    ]
    query = ("spec", "metrics", "0", "provider", "prometheus", "query")
    if cell.metric != Cell.metric:
        swap = (Cell.metric, cell.metric)
        changes.append(edits.Edit("AnalysisTemplate", query, swap=swap))
    if cell.query:
        changes.append(edits.Edit("AnalysisTemplate", query, cell.query))
    (release,) = releases.find(edits.apply(found, changes))
    return mutation.subject_of(release)


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_at_each_step_as_many_releases_are_rolled_back_as_computed(measured, times, cell):
    subject, traffic, count = released(cell), Traffic(cell.rps), times(SIMULATED)
    vocabulary = Vocabulary(contract.load("observability/contract.prom").values)
    study = Study(
        subject.rollout, traffic, vocabulary=vocabulary, n=COMPUTED, scrape_s=cell.scrape_s
    )
    assert study.unmodelled == {}
    computed = study.outcomes(cell.fault)
    scenario = Scenario(cell.name, cell.fault, traffic, ScrapeNoise(scrape_s=cell.scrape_s))
    results = [run for _, run in simulation.simulate(subject, [scenario], count)]
    ended = [run.step for run in results if run.outcome == ROLLED_BACK]
    shares = {
        f"step {step}" if step >= 0 else "background": (
            computed.rollback_rate_at(step), ended.count(step)
        )
        for step in sorted({measurement.step for measurement in study.measurements})
    }  # fmt: skip
    shares["paused"] = computed.pause_rate, sum(run.outcome == PAUSED for run in results)
    apart = []
    for where, (share, stopped) in shares.items():
        low, high = stats.ratio(stopped, count, CONFIDENCE)
        said = f"computed {share:.2%}, simulated {stopped} of {count} [{low:.2%}, {high:.2%}]"
        measured(f"{cell.name}, {where}", said, f"within {CONFIDENCE:.1%}")
        apart += [f"{where}: {said}"] * (not low <= share <= high)
    assert apart == []
