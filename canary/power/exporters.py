"""The series that other people's gates ask for, by the dialect of each metric's exporter.

A gate of the service here finds the series that the contract names. Any other gate's labels take
the values that it asks for, as in the check of the model, and its counts are the same requests.
"""

from canary.argo import promql
from canary.argo.gates import Release
from canary.errors import UsageError
from canary.power import verification
from canary.power.monte_carlo import Study
from canary.power.samples import Traffic
from canary.power.synthetic_series import HASH_LABEL, OWN, Family
from canary.power.vectorised_promql import PLATFORM
from canary.power.verification import UnverifiedError

# The service's own metrics, and the labels that tell its series apart.
_OWN = {OWN, "request_duration_seconds_bucket", "request_duration_seconds_count"}
_LABELS = {"le", "method", "namespace", "pod", "container", "route", "status", HASH_LABEL}


def families(release: Release) -> tuple[Family, ...]:
    """The metrics that gates ask of another exporter than the service here.

    Raises:
        UsageError: if one is not known, or a label can be given no value that a gate takes.
    """
    study = Study.of(release, Traffic(1.0))
    queries = [promql.read(gate.metric.query) for gate in release.gates if gate.metric]
    selectors = [selector for query in queries for selector in query.selectors]
    if any(selector.offset_s < 0 for selector in selectors):
        # A release's samples are all there before its first query is asked.
        raise UsageError(
            "a negative offset is not simulated: it reads what is yet to come", "take it out"
        )
    foreign = {s.metric for s in selectors if s.metric not in _OWN or not s.labels <= _LABELS}
    found = []
    try:
        canary, stable = (verification.labels_of(study, selectors, s) for s in ("canary", "stable"))
    except UnverifiedError as why:
        raise UsageError(f"{why}, so its series cannot be simulated", "rehearse it") from None
    for metric in sorted(foreign - PLATFORM):
        dialect = study.vocabulary.of(metric)
        if dialect is None or metric.endswith("_sum"):
            what = f"{metric} is not simulated: what it counts is not known"
            raise UsageError(what, "rehearse it")
        told = verification.told_outcomes(study, metric, selectors)
        found.append(Family(metric, dialect, told, canary[metric], stable[metric]))
    return tuple(found)
