"""AnalysisRuns by the thousand: the real controller's phases beside our evaluator's.

Each generated metric is asked of the scripted Prometheus by the real controller, and of our own
`canary.argo.analysis` on a clock of its own. Compared are the phase of every measurement in order,
of the metric, and of the run.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import yaml

from acceptance.conformance.scripted import Answer, Reader, Script
from acceptance.things import listed, thing
from canary.argo import analysis, virtual_rollout
from canary.argo.model import Metric, Phase

NAMESPACE = "conformance-evaluator"
CHOICES = yaml.safe_load(Path(__file__).with_name("evaluator.yaml").read_text("utf-8"))
ANSWERS: list[Answer] = [None if given is None else tuple(given) for given in CHOICES["answers"]]
# Shares of the cases.
NEEDLESS_INTERVAL, DRY_RUN = 0.2, 0.1
# Beyond these our own run has not ended, and neither has the real one.
TIMEOUT_S = 400.0


@dataclass(frozen=True)
class Case:
    """One generated AnalysisRun of one metric."""

    name: str
    spec: Mapping[str, Any]
    answers: tuple[Answer, ...]
    dry_run: bool

    @property
    def script(self) -> Script:
        """What the scripted Prometheus answers it."""
        return Script({"*": self.answers})

    def body(self, url: str) -> dict[str, Any]:
        """The AnalysisRun to create."""
        provider = {"prometheus": {"address": f"{url}/{self.name}", "query": "up"}}
        spec = {"metrics": [{"name": "gate", "provider": provider, **self.spec}]}
        if self.dry_run:
            spec["dryRun"] = [{"metricName": "gate"}]
        return thing("argoproj.io/v1alpha1", "AnalysisRun", self.name, NAMESPACE, spec=spec)

    @property
    def metric(self) -> Metric:
        """The same for our evaluator."""
        interval = self.spec.get("interval")
        return Metric(
            name="gate",
            query="up",
            success_condition=self.spec.get("successCondition", ""),
            failure_condition=self.spec.get("failureCondition", ""),
            count=self.spec.get("count", 0),
            interval_s=float(interval.removesuffix("s")) if interval else None,
            failure_limit=self.spec.get("failureLimit", 0),
            inconclusive_limit=self.spec.get("inconclusiveLimit", 0),
            consecutive_error_limit=self.spec.get("consecutiveErrorLimit", 4),
            consecutive_success_limit=self.spec.get("consecutiveSuccessLimit", 0),
            dry_run=self.dry_run,
        )


@dataclass(frozen=True)
class Judged:
    """What came of a run: its phase, its metric's, and each measurement's in order."""

    run: str
    metric: str
    measurements: tuple[str, ...]


def generate(count: int, seed: int) -> Iterator[Case]:
    """Draws cases, the same for the same seed."""
    draw = Random(seed)
    for number in range(count):
        spec: dict[str, Any] = {}
        if condition := draw.choice(CHOICES["success"]):
            spec["successCondition"] = condition
        if condition := draw.choice(CHOICES["failure"]):
            spec["failureCondition"] = condition
        spec["count"] = draw.randint(1, 4)
        if spec["count"] > 1 or draw.random() < NEEDLESS_INTERVAL:
            spec["interval"] = "1s"
        for field, most, share in (
            ("failureLimit", 3, 0.5),
            ("inconclusiveLimit", 3, 0.4),
            ("consecutiveSuccessLimit", 3, 0.2),
        ):
            if draw.random() < share:
                spec[field] = draw.randint(-1 if field == "failureLimit" else 0, most)
        # Argo waits 10 s after each error: few, or a case takes minutes.
        spec["consecutiveErrorLimit"] = draw.randint(0, 1)
        answers = tuple(draw.choice(ANSWERS) for _ in range(draw.randint(1, 5)))
        yield Case(f"case-{number:05d}", spec, answers, draw.random() < DRY_RUN)


def ours(case: Case) -> Judged:
    """Our evaluator's run of a case, on a clock that waits for nobody."""
    run = analysis.start(case.name, (case.metric,), 0.0)
    run = virtual_rollout.follow(run, Reader(case.script).measure, TIMEOUT_S)
    result = run.results.get("gate")
    phases = tuple(str(m.phase) for m in result.measurements) if result else ()
    return Judged(str(run.phase), str(result.phase) if result else "", phases)


def theirs(body: Mapping[str, Any]) -> Judged:
    """The real controller's run, from its status."""
    status = body.get("status", {})
    results = status.get("metricResults", [])
    result = results[0] if results else {}
    phases = tuple(m["phase"] for m in result.get("measurements", []))
    return Judged(status.get("phase", ""), result.get("phase", ""), phases)


def ended(body: Mapping[str, Any]) -> bool:
    """Whether the real controller is done with a run."""
    return Phase(body.get("status", {}).get("phase") or "Pending").completed


def bodies(cases: Sequence[Case], url: str) -> str:
    """The AnalysisRuns of some cases, to create at once."""
    return listed([case.body(url) for case in cases])
