"""Linting: every rule over every release, less what an annotation suppresses with a reason."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from canary.argo import releases
from canary.argo.gates import Finding, Gate, Release, Severity
from canary.lint import unknown
from canary.lint.contract import TARGET_LABELS, Contract
from canary.lint.pods import HASH_LABELS, copied_labels, scraping
from canary.lint.repository import MONITORS, PassedOver, Reading
from canary.lint.rule import Context
from canary.lint.rules import RULES
from canary.yamls import Document, listed, mapping, scalar

# `canary-rehearsal/ignore: "rule-id: the reason; another-id: its reason"` on the object itself.
ANNOTATION = "canary-rehearsal/ignore"

# The rules that say what the API server or the controller does not take.
REFUSALS = (
    "api-refused", "rollout-refused", "template-missing", "args-unresolved", "analysis-refused",
)  # fmt: skip


@dataclass(frozen=True)
class Report:
    """What a lint found in some manifests."""

    releases: tuple[Release, ...]
    findings: tuple[Finding, ...]
    suppressed: tuple[tuple[Finding, str], ...]
    known: tuple[Finding, ...] = ()
    passed_over: tuple[PassedOver, ...] = ()
    others: int = 0

    @property
    def broken(self) -> tuple[PassedOver, ...]:
        """What might hold gates and cannot be read."""
        return tuple(passed for passed in self.passed_over if passed.broken)

    @property
    def faults(self) -> tuple[Finding, ...]:
        """The findings that are more than notes."""
        return tuple(f for f in self.findings if f.severity is not Severity.NOTE)

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that blind a gate or stop good releases."""
        return tuple(f for f in self.findings if f.severity is Severity.ERROR)

    @property
    def gates(self) -> tuple[Gate, ...]:
        """Every gate that was read."""
        return tuple(gate for release in self.releases for gate in release.gates)


def lint_repository(reading: Reading, contract: Contract | None = None) -> Report:
    """Judges what was read of a repository, and says what was not."""
    report = lint(reading.documents, contract)
    unjudged = (*reading.passed_over, *unknown.find(reading.documents, report.releases))
    # A template is used at several steps.
    return replace(report, passed_over=tuple(dict.fromkeys(unjudged)), others=reading.others)


def lint(documents: Sequence[Document], contract: Contract | None = None) -> Report:
    """Judges every Rollout among the objects, and every template that none of them refers to."""
    rollouts = (*releases.find(documents), *releases.blue_green(documents))
    found = (*rollouts, *releases.unreferenced(documents, rollouts))
    kept: list[Finding] = []
    suppressed: list[tuple[Finding, str]] = []
    for finding in dict.fromkeys(_findings(documents, found, contract)):
        reason = _suppressions(finding.document).get(finding.rule)
        if reason:
            suppressed.append((finding, reason))
        else:
            kept.append(finding)
    return Report(found, tuple(kept), tuple(suppressed))


def refusals(documents: Sequence[Document], release: Release) -> tuple[Finding, ...]:
    """Why a release cannot begin, or ends with its first analysis."""
    context = Context(documents=tuple(documents), release=release)
    return tuple(found for rule in REFUSALS for found in RULES[rule].findings(context))


def _findings(
    documents: Sequence[Document], found: tuple[Release, ...], contract: Contract | None
) -> Iterator[Finding]:
    everything = tuple(documents)
    monitors = tuple(document for document in everything if document.kind in MONITORS)
    recorded, labels = _recorded(everything), TARGET_LABELS | _copied(monitors)
    scalers = tuple(d for d in everything if d.kind == "HorizontalPodAutoscaler")
    for release in found:
        context = Context(
            documents=everything,
            release=release,
            contract=contract,
            recorded=recorded,
            target_labels=labels,
            scrape_s=scraping(monitors, release)[1],
            autoscalers=scalers,
        )
        for rule in RULES.values():
            yield from rule.findings(context)
    for document in everything:
        yield from _unreasoned(document)


def _suppressions(document: Document) -> Mapping[str, str]:
    """Rule ids and the reasons given for not heeding them."""
    parts = scalar(document.annotations.get(ANNOTATION)).split(";")
    pairs = (part.partition(":") for part in parts if part.strip())
    return {rule.strip(): reason.strip() for rule, _, reason in pairs}


def _unreasoned(document: Document) -> Iterator[Finding]:
    path = f"metadata.annotations[{ANNOTATION}]"
    for rule, reason in _suppressions(document).items():
        wrong = f"{rule!r} is not a rule" if rule not in RULES else f"{rule} has no reason"
        if rule not in RULES or not reason:
            remedy = "write `rule-id: why this is right here`"
            yield Finding("suppression", Severity.ERROR, document, path, wrong, remedy)


def _recorded(documents: Sequence[Document]) -> dict[str, str]:
    """The series that PrometheusRules and plain rule files record, and by which expression."""
    groups = (
        group
        for document in documents
        for holder in (document.spec, document.body)
        for group in listed(holder.get("groups"))
    )
    rules = (mapping(rule) for group in groups for rule in listed(mapping(group).get("rules")))
    return {name: scalar(r.get("expr")) for r in rules if (name := scalar(r.get("record")))}


def _copied(monitors: Sequence[Document]) -> frozenset[str]:
    """The labels that the monitors give to their series; of those that copy all, the one asked."""
    copied = (copied_labels(monitor) for monitor in monitors)
    return frozenset().union(*(HASH_LABELS if each is None else each for each in copied))
