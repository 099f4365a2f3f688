"""One rehearsal from start to verdict, on a target that tells what a test says."""

import json
import socket
import time
from dataclasses import replace

import pytest

from canary.argo import analysis
from canary.argo.model import (
    AnalysisRun,
    Hashes,
    Measurement,
    Metric,
    MetricResult,
    Phase,
    ReplicaCounts,
    Rollout,
)
from canary.errors import MachineError
from canary.rehearse import runner
from canary.rehearse.evidence import Evidence
from canary.rehearse.load import Load
from canary.rehearse.measurements import Measurements
from canary.rehearse.target import Observation
from canary.rehearse.verdict import Conditions, Decision, Outcome, Verdict
from canary.runtime.prometheus import Client, Prometheus

SEEN = Observation(1.0, "Progressing", "", 0, ReplicaCounts(9, 9, 9), ReplicaCounts(1, 1, 1))
PROMOTED = replace(SEEN, promoted=True)


class Told:
    """A target that observes what it is given, and raises what it is given at the end."""

    name, hashes, observe_s = "told", Hashes("latest", "stable"), 0.0
    not_scaled = ()
    rollout = Rollout("gridos", "n", 10, ())

    def __init__(self, *observations, ends=None):
        self.observations, self.ends = observations, ends

    def prepare(self):
        yield replace(SEEN, at_s=-1.0)

    def rehearse(self):
        yield from self.observations
        if self.ends:
            raise self.ends

    def tear_down(self):
        return ()

    def evidence(self, decided_at_s, *, timed):
        self.asked = decided_at_s, timed
        return Evidence()


@pytest.mark.parametrize("ends", [KeyboardInterrupt(), MachineError("the gateway ended")])
def test_what_ends_a_rehearsal_after_the_decision_leaves_the_decision(ends):
    run = runner.rehearse(Told(SEEN, PROMOTED, ends=ends), lambda *_: None)
    assert run.verdict.outcome is Outcome.PROMOTED


def test_the_cause_is_looked_for_up_to_the_decision():
    target = Told(replace(SEEN, at_s=5.0), replace(PROMOTED, at_s=6.0), replace(PROMOTED, at_s=9.0))
    runner.rehearse(target, lambda *_: None)
    assert target.asked == (6.0, True)


@pytest.mark.parametrize(
    ("outcome", "gate", "strained", "timed"),
    [
        (Outcome.PROMOTED, "", "", True),
        (Outcome.PROMOTED, "", "the machine was 99% busy", False),
        (Outcome.ROLLED_BACK, "p95-latency-seconds", "the machine was 99% busy", True),
        (Outcome.ROLLED_BACK, "route-errors", "the machine was 99% busy", False),
        (Outcome.ROLLED_BACK, "route-errors", "", True),
        (Outcome.FAULT, "p95-latency-seconds", "", False),
    ],
)
def test_on_a_busy_machine_times_count_only_where_a_gate_told_the_releases_apart(
    outcome, gate, strained, timed
):
    metric = Metric(gate, "x")
    measurement = Measurement(Phase.FAILED, 0.0, 0.0)
    decision = Decision(
        analysis.start("gridos-h-2", (metric,), 0.0), metric, MetricResult(gate), measurement
    )
    told = Verdict(outcome, "so", decision if gate else None)
    run = runner.Run(conditions=Conditions(strained), verdict=told)
    assert run.timed is timed


@pytest.mark.parametrize(
    ("ends", "outcome"),
    [(KeyboardInterrupt(), Outcome.INTERRUPTED), (MachineError("x"), Outcome.FAULT)],
)
def test_what_ends_a_rehearsal_before_the_decision_is_its_end(ends, outcome):
    assert runner.rehearse(Told(SEEN, ends=ends), lambda *_: None).verdict.outcome is outcome


def test_a_load_that_has_written_nothing_for_long_is_the_machines_fault(tmp_path):
    load = Load(tmp_path, tmp_path, None, 100.0, {})
    second = {"at": time.time(), "requests": 9, "failed": 0, "refused": 0, "lost": 0}
    log = tmp_path / "seconds.jsonl"
    log.write_text(json.dumps({**second, "p50_ms": 1.0, "p95_ms": 2.0}) + "\n")
    assert len(load.read()) == 1
    load.seconds[-1] = replace(load.seconds[-1], at=time.time() - 11)
    with pytest.raises(MachineError, match="locust has written nothing for 10 s"):
        load.read()


def test_how_long_a_prometheus_that_hangs_is_waited_for_is_known():
    with socket.socket() as hangs:
        hangs.bind(("127.0.0.1", 0))
        hangs.listen()
        prometheus = Client(f"http://127.0.0.1:{hangs.getsockname()[1]}")
        measurements = Measurements(prometheus, Hashes("latest", "stable"), lambda: 0.0)
        assert measurements.waited_s(5.0) == 0.0
        measurements.begin([AnalysisRun("run", (Metric("m", "up"),), 0.0)], 5.0)
        assert measurements.waited_s(20.0) == 15.0
        measurements.stop()


def test_a_query_that_names_no_replica_set_or_asks_for_alerts_is_not_compared(tmp_path):
    prometheus = Prometheus(tmp_path, jobs=[])
    prometheus.start()
    try:
        measurements = Measurements(prometheus, Hashes("latest", "stable"), lambda: 0.0)
        metrics = (
            Metric("own", 'vector(1) or x{h="latest"}'),
            Metric("all", "vector(1)"),
            Metric("alerts", 'vector(1) or ALERTS and up{h="latest"}'),
        )
        measurements.begin([AnalysisRun("run", metrics, 0.0)], 0.0)
        while not (done := list(measurements.finished())):
            time.sleep(0.01)
    finally:
        prometheus.stop()
    taken = done[0][1]
    assert {name: (m.phase, m.controlled) for name, m in taken.items()} == {
        "own": (Phase.SUCCESSFUL, True),
        "all": (Phase.SUCCESSFUL, False),
        "alerts": (Phase.SUCCESSFUL, False),
    }
