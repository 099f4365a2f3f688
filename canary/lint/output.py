"""Findings as text for people (table, Markdown) and for programs (JSON, SARIF, JUnit, GitHub)."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from itertools import groupby
from operator import attrgetter
from typing import Any

from canary import junit
from canary.argo.gates import Finding, Gate, Severity, Strategy
from canary.lint.check import Report
from canary.lint.rules import RULES

SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_GITHUB = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}

_BESIDE = {
    Strategy.BLUE_GREEN: "blue-green Rollout(s)",
    Strategy.NONE: "template(s) without a Rollout",
}


def table(report: Report) -> str:
    """Findings under the object they belong to, and a line that sums them up."""
    lines = []
    for place, found in groupby(_sorted(report), key=_place):
        lines.append(place)
        kind = attrgetter("severity", "rule", "path", "remedy")
        for (severity, rule, path, remedy), alike in groupby(found, key=kind):
            lines.append(f"  {severity:<8}{rule:<26}{path}")
            lines += [f"          {finding.message}" for finding in alike]
            lines.append(f"          → {remedy}")
        lines.append("")
    lines += [f"suppressed: {f.rule} at {_place(f)} — {why}" for f, why in report.suppressed]
    lines += [f"not judged: {passed}" for passed in report.passed_over]
    return "\n".join([*lines, summary(report)])


def markdown(report: Report) -> str:
    """A table for a pull request."""
    rows = [
        f"| {f.severity} | `{f.rule}` | {_place(f)} `{f.path}` | {f.message} | {f.remedy} |"
        for f in _sorted(report)
    ]
    head = ["| severity | rule | where | what | remedy |", "|---|---|---|---|---|"]
    return "\n".join([f"**canary lint**: {summary(report)}", "", *(head if rows else []), *rows])


def document(report: Report) -> str:
    """JSON: findings, what was suppressed and why, and every query as the controller sends it."""
    return json.dumps(
        {
            "summary": summary(report),
            "findings": [_record(finding) for finding in _sorted(report)],
            "suppressed": [{**_record(f), "reason": why} for f, why in report.suppressed],
            "known": [_record(finding) for finding in report.known],
            "passed_over": [asdict(passed) for passed in report.passed_over],
            "other_files": report.others,
            "gates": [_gate(gate) for gate in report.gates],
        },
        indent=2,
        ensure_ascii=False,
    )


def sarif(report: Report) -> str:
    """SARIF 2.1.0, for code scanning."""
    rules = [
        {
            "id": rule.id,
            "shortDescription": {"text": rule.title},
            "fullDescription": {"text": rule.reason},
            "help": {"text": rule.remedy},
        }
        for rule in RULES.values()
    ]
    driver = {"name": "canary", "informationUri": "docs/gates.md", "rules": rules}
    run = {"tool": {"driver": driver}, "results": [_sarif(f) for f in _sorted(report)]}
    return json.dumps({"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def junit_xml(report: Report) -> str:
    """JUnit XML: a case for each gate, failed by its findings."""
    cases = [
        junit.Case(_place(f), f"{f.rule} {f.path}", "failure", f.message, f.remedy)
        for f in report.faults
    ]
    passed = [junit.Case("canary lint", str(release.rollout)) for release in report.releases]
    return junit.suite("canary lint", cases or passed)


def github(report: Report) -> str:
    """Workflow commands, which GitHub shows beside the changed file."""
    return "\n".join(
        f"::{_GITHUB[f.severity]} file={f.document.file},line={f.position[0]},"
        f"col={f.position[1]},title=canary lint {f.rule}::"
        f"{_escaped(f'{f.document} {f.path}: {f.message} — {f.remedy}')}"
        for f in _sorted(report)
    )


def queries(report: Report) -> str:
    """Every gate's query and conditions as the controller would use them."""
    parts = []
    for gate in report.gates:
        if gate.metric is not None:
            parts += [
                f"# {gate.template.name} {gate.name}, {gate.moment}",
                gate.metric.query,
                f"#   passes: {gate.metric.success_condition or '—'}",
                f"#   fails:  {gate.metric.failure_condition or '—'}",
                "",
            ]
    return "\n".join(parts)


def summary(report: Report) -> str:
    """One line: how much was read and what was found."""
    counted = Counter(release.strategy for release in report.releases)
    kinds = "".join(f", {counted[s]} {what}" for s, what in _BESIDE.items() if counted[s])
    errors = sum(f.severity is Severity.ERROR for f in report.findings)
    warnings = sum(f.severity is Severity.WARNING for f in report.findings)
    read = f"{counted[Strategy.CANARY]} canary Rollout(s){kinds}, {len(report.gates)} gate(s)"
    held = f", {len(report.suppressed)} suppressed" if report.suppressed else ""
    held += f", {len(report.known)} known" if report.known else ""
    others = f"; {report.others:,} file(s) hold no gate" if report.others else ""
    return f"{read}: {errors} error(s), {warnings} warning(s){held}{others}"


FORMATS: Mapping[str, Callable[[Report], str]] = {
    "table": table,
    "json": document,
    "markdown": markdown,
    "sarif": sarif,
    "junit": junit_xml,
    "github": github,
}


def _sorted(report: Report) -> list[Finding]:
    order = list(Severity)
    return sorted(report.findings, key=lambda f: (_place(f), order.index(f.severity), f.path))


def _place(finding: Finding) -> str:
    return f"{finding.document.file}: {finding.document}"


def _record(finding: Finding) -> dict[str, str | int]:
    return {
        "rule": finding.rule,
        "severity": str(finding.severity),
        "file": finding.document.file,
        "line": finding.position[0],
        "object": str(finding.document),
        "path": finding.path,
        "message": finding.message,
        "remedy": finding.remedy,
    }


def _gate(gate: Gate) -> dict[str, Any]:
    metric = gate.metric
    return {
        "template": gate.template.name,
        "metric": gate.name,
        "look": str(gate.moment),
        "provider": gate.provider,
        "query": metric.query if metric else None,
        "success_condition": metric.success_condition if metric else None,
        "failure_condition": metric.failure_condition if metric else None,
    }


def _sarif(finding: Finding) -> dict[str, Any]:
    line, column = finding.position
    region = {"startLine": line, "startColumn": column}
    location = {"artifactLocation": {"uri": finding.document.file}, "region": region}
    return {
        "ruleId": finding.rule,
        "level": str(finding.severity),
        "message": {"text": f"{finding.document} {finding.path}: {finding.message}"},
        "locations": [{"physicalLocation": location}],
    }


def _escaped(message: str) -> str:
    return message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
