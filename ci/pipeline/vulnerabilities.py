"""The vulnerability gate: a scanner's report and our ignores in, findings out. Pure.

Reads Trivy's JSON, schema version 2, as `trivy image --format json --list-all-pkgs` writes it.
What fails, beside HIGH and CRITICAL: a report of nothing. A scan that saw no package of the system
or none of Python's is a scan that broke, and an image without findings looks the same.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.errors import PipelineError

FAILING = ("CRITICAL", "HIGH")
BELOW = ("MEDIUM", "LOW", "UNKNOWN")
# The image has Debian's packages and Python's: a report without either did not look.
EXPECTED = {"os-pkgs": "of the system", "lang-pkgs": "of Python"}
SCHEMA_VERSION = 2
# Long enough for a distribution to ship a fix, short enough that somebody looks again.
LONGEST_IGNORE = timedelta(days=90)
SHORTEST_REASON = 20


@dataclass(frozen=True)
class Vulnerability:
    """One finding of the scanner."""

    id: str
    package: str
    installed: str
    fixed: str
    severity: str
    title: str

    def __str__(self) -> str:
        """One line, with the remedy."""
        remedy = f"fixed in {self.fixed}" if self.fixed else "no fix yet"
        return f"{self.severity} {self.id} {self.package} {self.installed} ({remedy}) {self.title}"


@dataclass(frozen=True)
class Ignore:
    """A vulnerability that somebody answers for, until a day."""

    id: str
    package: str
    reason: str
    expires: date

    def covers(self, found: Vulnerability) -> bool:
        """Says whether it is about this finding."""
        return (self.id, self.package) == (found.id, found.package)


@dataclass(frozen=True)
class Verdict:
    """What the gate says."""

    packages: int
    failing: tuple[Vulnerability, ...]
    ignored: tuple[tuple[Vulnerability, Ignore], ...]
    below: tuple[Vulnerability, ...]
    expired: tuple[Ignore, ...]
    unused: tuple[Ignore, ...]

    @property
    def good(self) -> bool:
        """Whether the image may be released."""
        return not self.failing and not self.expired


def judge(report: str, ignores: Sequence[Ignore], today: date) -> Verdict:
    """Judges a report.

    Raises:
        PipelineError: The report is empty, malformed, of another schema, or saw no packages.
    """
    results = _results(report)
    found = [_vulnerability(v) for result in results for v in result.get("Vulnerabilities") or []]
    live = [ignore for ignore in ignores if ignore.expires >= today]
    ignored = [(v, i) for v in found for i in live if i.covers(v)]
    covered = {v for v, _ in ignored}
    return Verdict(
        packages=sum(len(result.get("Packages") or []) for result in results),
        failing=tuple(v for v in found if v.severity in FAILING and v not in covered),
        ignored=tuple(ignored),
        below=tuple(v for v in found if v.severity not in FAILING),
        expired=tuple(i for i in ignores if i.expires < today),
        unused=tuple(i for i in live if not any(i.covers(v) for v in found)),
    )


def read_ignores(text: str, today: date) -> list[Ignore]:
    """Reads the ignores: a list of id, package, reason and expires.

    Raises:
        PipelineError: An entry is not whole, gives no real reason, or lasts too long.
    """
    try:
        document = YAML(typ="safe").load(text) or []
        return [_ignore(entry, today) for entry in document]
    except (YAMLError, TypeError, AttributeError, ValueError, RecursionError) as cause:
        raise PipelineError(f"the ignores cannot be read: {cause}") from None


def show(verdict: Verdict) -> str:
    """Says it for a person, worst first."""
    lines = [f"{verdict.packages} packages scanned"]
    lines += [f"FAILS    {v}" for v in verdict.failing]
    lines += [f"EXPIRED  {i.id} {i.package} on {i.expires}: {i.reason}" for i in verdict.expired]
    lines += [f"ignored  {v} until {i.expires}: {i.reason}" for v, i in verdict.ignored]
    lines += [
        f"unused   {i.id} {i.package}: not in the image (any more), take it out"
        for i in verdict.unused
    ]
    lines += [f"{len(verdict.below)} below HIGH"] if verdict.below else []
    if not verdict.good:
        lines.append("update what has a fix, or add an ignore with a reason and a day it expires")
    return "\n".join(lines)


def _results(report: str) -> list[Mapping[str, Any]]:
    if not report.strip():
        raise PipelineError("the scan report is empty: the scanner did not run")
    try:
        document = json.loads(report)
    except (ValueError, RecursionError) as cause:
        raise PipelineError(f"the scan report is no JSON: {cause}") from None
    if not isinstance(document, dict) or document.get("SchemaVersion") != SCHEMA_VERSION:
        raise PipelineError(f"the scan report is not Trivy's schema {SCHEMA_VERSION}")
    results = document.get("Results") or []
    if not isinstance(results, list) or not all(isinstance(result, dict) for result in results):
        raise PipelineError("the scan report's Results are no list of results")
    for kind, what in EXPECTED.items():
        if not any(result.get("Class") == kind and result.get("Packages") for result in results):
            raise PipelineError(
                f"the scan saw no package {what}: scan the image, with --list-all-pkgs"
            )
    return results


def _vulnerability(raw: Mapping[str, Any]) -> Vulnerability:
    try:
        severity = str(raw["Severity"]).upper()
        if severity not in FAILING + BELOW:
            raise PipelineError(f"a finding of the scan report is {raw['Severity']!r}: no severity")
        return Vulnerability(
            id=str(raw["VulnerabilityID"]),
            package=str(raw["PkgName"]),
            installed=str(raw.get("InstalledVersion", "")),
            fixed=str(raw.get("FixedVersion", "")),
            severity=severity,
            title=str(raw.get("Title", "")),
        )
    except KeyError as missing:
        raise PipelineError(f"a finding of the scan report has no {missing}") from None
    except TypeError:
        raise PipelineError(f"a finding of the scan report is none: {raw!r}") from None


def _ignore(entry: Any, today: date) -> Ignore:
    keys = {"id", "package", "reason", "expires"}
    if not isinstance(entry, dict) or entry.keys() != keys:
        raise PipelineError(f"an ignore has exactly {', '.join(sorted(keys))}; this is {entry}")
    ignore = Ignore(**entry)
    if not isinstance(ignore.expires, date):
        raise PipelineError(f"{ignore.id}: expires is a day such as 2026-12-31")
    if ignore.expires > today + LONGEST_IGNORE:
        raise PipelineError(f"{ignore.id}: an ignore lasts {LONGEST_IGNORE.days} days at most")
    if len(str(ignore.reason).strip()) < SHORTEST_REASON:
        raise PipelineError(f"{ignore.id}: say why it does not concern us, in a sentence")
    return ignore
