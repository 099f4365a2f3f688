"""AnalysisRuns as Argo runs them: when to measure, what a measurement means, when it is over.

Source: analysis/analysis.go, utils/evaluate/evaluate.go, utils/analysis/{factory,helpers}.go
@9f8d111. Everything is a pure function of the run and the instant it is handed.
"""

from dataclasses import replace

from canary.argo import expression
from canary.argo.expression import ExpressionError
from canary.argo.model import (
    AnalysisRun,
    Measurement,
    Metric,
    MetricResult,
    Phase,
)

# After a measurement in Error the next one comes this much later, whatever the interval says.
ERROR_RETRY_S = 10.0
# What the controller says of an empty result (utils/evaluate of v1.9.1).
NO_DATA = "no data returned"

# Worst last (`analysisStatusOrder`, utils/analysis/helpers.go).
_BADNESS = (Phase.SUCCESSFUL, Phase.INCONCLUSIVE, Phase.ERROR, Phase.FAILED)
_BAD = frozenset({Phase.INCONCLUSIVE, Phase.ERROR, Phase.FAILED})


def judge(metric: Metric, result: expression.Result) -> tuple[Phase, str]:
    """The phase that a metric's conditions give a result, and why if it could not be judged.

    Source: `EvaluateResult`, utils/evaluate/evaluate.go. With both conditions a result that meets
    neither is Inconclusive and failure wins over success; with neither, any result is Successful.
    """
    verdicts: dict[str, bool] = {}
    conditions = {
        "successCondition": metric.success_condition,
        "failureCondition": metric.failure_condition,
    }
    for kind, condition in conditions.items():
        if not condition:
            continue
        try:
            verdicts[kind] = expression.evaluate(condition, result)
        except ExpressionError as wrong:
            return Phase.ERROR, _explain(kind, condition, result, wrong)
    succeeded, failed = verdicts.get("successCondition"), verdicts.get("failureCondition")
    if failed or (failed is None and succeeded is False):
        return Phase.FAILED, ""
    if failed is False and succeeded is False:
        return Phase.INCONCLUSIVE, ""
    return Phase.SUCCESSFUL, ""


def start(name: str, metrics: tuple[Metric, ...], now: float) -> AnalysisRun:
    """A new run; one whose metrics Argo refuses is over at once, in Error."""
    refused = refusal(metrics)
    if refused:
        message = f"Analysis spec invalid: {refused}"
        return AnalysisRun(name, metrics, now, phase=Phase.ERROR, message=message, completed_at=now)
    return AnalysisRun(name, metrics, now)


def due(
    run: AnalysisRun, now: float, in_flight: frozenset[str] = frozenset()
) -> tuple[Metric, ...]:
    """The metrics to measure now; `in_flight` names those being measured already.

    Source: `generateMetricTasks`, analysis/analysis.go.
    """
    if run.phase.completed or _terminating(run):
        return ()
    waiting = [metric for metric in run.metrics if metric.name not in in_flight]
    return tuple(m for m in waiting if (at := _due_at(run, m)) is not None and now >= at)


def next_due(run: AnalysisRun) -> float | None:
    """The earliest instant at which a metric is to be measured; None if there is none."""
    if run.phase.completed or _terminating(run):
        return None
    instants = (_due_at(run, metric) for metric in run.metrics)
    return min((at for at in instants if at is not None), default=None)


def record(run: AnalysisRun, metric_name: str, measurement: Measurement) -> AnalysisRun:
    """The run with one finished measurement more; an Error does not use up `count`."""
    metric = next(m for m in run.metrics if m.name == metric_name)
    result = run.results.get(metric_name) or MetricResult(metric_name, dry_run=metric.dry_run)
    if result.phase.completed:
        return run
    phase = measurement.phase
    erred, succeeded = phase is Phase.ERROR, phase is Phase.SUCCESSFUL
    counted = replace(
        result,
        phase=Phase.RUNNING,
        measurements=(*result.measurements, measurement),
        count=result.count + (not erred),
        successful=result.successful + succeeded,
        failed=result.failed + (phase is Phase.FAILED),
        inconclusive=result.inconclusive + (phase is Phase.INCONCLUSIVE),
        error=result.error + erred,
        consecutive_error=result.consecutive_error + 1 if erred else 0,
        consecutive_success=result.consecutive_success + 1 if succeeded else 0,
    )
    return replace(run, results={**run.results, metric_name: counted})


def assess(run: AnalysisRun, now: float) -> AnalysisRun:
    """The run with the phases that its measurements add up to.

    The first metric that is not dry-run and goes bad ends the others; the run takes the worst
    phase of all. Source: `assessRunStatus`, analysis/analysis.go.
    """
    if run.phase.completed:
        return run
    terminating = _terminating(run)
    results = {m.name: _assess_metric(m, run.results.get(m.name), terminating) for m in run.metrics}
    known = {name: result for name, result in results.items() if result is not None}
    assessed = replace(run, results=known)
    if not terminating and _terminating(assessed):
        # Argo stops the rest in its next reconcile, which its own status update triggers.
        return assess(assessed, now)
    phase, message = _worst(assessed)
    unfinished = any(m.name not in known or not known[m.name].phase.completed for m in run.metrics)
    if unfinished and not terminating:
        return assessed
    return replace(assessed, phase=phase, message=message, completed_at=now)


def terminate(run: AnalysisRun, now: float) -> AnalysisRun:
    """Ends a run: with no bad metric it is Successful, even if nothing was ever measured."""
    return assess(replace(run, terminate=True), now)


# ------------------------------------------------------------------------------------- details


def _due_at(run: AnalysisRun, metric: Metric) -> float | None:
    result = run.results.get(metric.name)
    if result is None or not result.measurements:
        return run.started_at + metric.initial_delay_s
    if result.phase.completed:
        return None
    count = metric.effective_count
    if count is not None and result.count >= count:
        return None
    last = result.measurements[-1]
    if last.phase is Phase.ERROR or metric.interval_s is None:
        return last.finished_at + ERROR_RETRY_S
    return last.finished_at + metric.interval_s


def _terminating(run: AnalysisRun) -> bool:
    """Told to stop, or a metric that counts has gone bad (`IsTerminating`)."""
    return run.terminate or any(r.phase in _BAD and not r.dry_run for r in run.results.values())


def _assess_metric(
    metric: Metric, result: MetricResult | None, terminating: bool
) -> MetricResult | None:
    if result is None or result.phase.completed:
        return result
    phase = _metric_phase(metric, result, terminating)
    message = result.measurements[-1].message if result.measurements else ""
    if metric.dry_run and phase.completed and (limit := _exceeded(metric, result)[1]):
        message = f"Metric assessed {phase} due to {limit}"
    return replace(result, phase=phase, message=message)


def _metric_phase(metric: Metric, result: MetricResult, terminating: bool) -> Phase:
    """Source: `assessMetricStatus`, analysis/analysis.go."""
    exceeded = _exceeded(metric, result)[0]
    if exceeded is not None:
        return exceeded
    wanted = metric.consecutive_success_limit
    if wanted > 0 and result.consecutive_success >= wanted:
        return Phase.SUCCESSFUL
    count = metric.effective_count
    if count is not None and result.count >= count:
        if wanted > 0:
            return Phase.INCONCLUSIVE if metric.failure_limit >= 0 else Phase.FAILED
        return Phase.SUCCESSFUL
    return Phase.SUCCESSFUL if terminating else Phase.RUNNING


def _exceeded(metric: Metric, result: MetricResult) -> tuple[Phase | None, str]:
    """The limit that was passed; if several were, Error over Inconclusive over Failed."""
    if (errors := result.consecutive_error) > (limit := metric.consecutive_error_limit):
        return Phase.ERROR, f"consecutiveErrors ({errors}) > consecutiveErrorLimit ({limit})"
    if (unsure := result.inconclusive) > (limit := metric.inconclusive_limit):
        return Phase.INCONCLUSIVE, f"inconclusive ({unsure}) > inconclusiveLimit ({limit})"
    if 0 <= metric.failure_limit < result.failed:
        return Phase.FAILED, f"failed ({result.failed}) > failureLimit ({metric.failure_limit})"
    return None, ""


def _worst(run: AnalysisRun) -> tuple[Phase, str]:
    """The worst phase among the finished metrics that count, and Argo's words for it."""
    worst = Phase.SUCCESSFUL
    message = "Run Terminated" if run.terminate else ""
    for metric in run.metrics:
        result = run.results.get(metric.name)
        if result is None or not result.phase.completed or result.dry_run:
            continue
        if _BADNESS.index(result.phase) <= _BADNESS.index(worst):
            continue
        worst = result.phase
        limit = _exceeded(metric, result)[1]
        if limit:
            message = f'Metric "{metric.name}" assessed {worst} due to {limit}'
            message += f': "Error Message: {result.message}"' if result.message else ""
    return worst, message


def _explain(kind: str, condition: str, result: expression.Result, wrong: ExpressionError) -> str:
    if result == ():
        return (
            f'could not evaluate {kind} "{condition}": metric result is nil or empty: '
            f"{NO_DATA} from the metric provider"
        )
    return f'could not evaluate {kind} "{condition}": {wrong}'


def refusal(metrics: tuple[Metric, ...]) -> str:
    """Why Argo refuses to run these metrics (`ValidateMetrics`, utils/analysis/factory.go)."""
    if not metrics:
        return "no metrics specified"
    names: set[str] = set()
    for index, metric in enumerate(metrics):
        if metric.name in names:
            return f"metrics[{index}]: duplicate name '{metric.name}'"
        names.add(metric.name)
        if wrong := _metric_refusal(metric):
            return f"metrics[{index}]: {wrong}"
    return ""


def _metric_refusal(metric: Metric) -> str:
    failures, successes = metric.failure_limit, metric.consecutive_success_limit
    count = metric.count
    enough = max(failures, 0) + successes
    if failures < 0:
        too_few = "count must be >= consecutiveSuccessLimit"
    else:
        too_few = (
            f"count ({count}) must be >= failureLimit + consecutiveSuccessLimit "
            f"({failures} + {successes}) if both >= 0"
        )
    checks = (
        (successes < 0, "consecutiveSuccessLimit must be >= 0"),
        (failures < -1, "failureLimit must be >= 0, or -1 to be disabled"),
        (
            successes == 0 and failures == -1,
            "failureLimit and consecutiveSuccessLimit cannot both be disabled",
        ),
        (metric.inconclusive_limit < 0, "inconclusiveLimit must be >= 0"),
        (metric.consecutive_error_limit < 0, "consecutiveErrorLimit must be >= 0"),
        (0 < count < enough, too_few),
        (0 < count < metric.inconclusive_limit, "count must be >= inconclusiveLimit"),
        (count > 1 and metric.interval_s is None, "interval must be specified when count > 1"),
    )
    return next((message for wrong, message in checks if wrong), "")
