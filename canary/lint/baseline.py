"""Findings that were known before: a run's `-o json` is a baseline, and only what is new counts.

A finding is the same if its rule, file, object and place are; its numbers may change. Of several in
one place so many are known as there were.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

from canary import yamls
from canary.argo.gates import Finding
from canary.errors import UsageError
from canary.lint.check import Report

Key = tuple[str, str, str, str]
REMEDY = "write one with canary lint -o json > FILE"


def load(file: Path) -> Counter[Key]:
    """The findings of an earlier run.

    Raises:
        UsageError: if the file cannot be read, or is not the JSON of `canary lint`.
    """
    try:
        content = json.loads(yamls.text(file))
        found = content["findings"]
        return Counter((f["rule"], f["file"], f["object"], f["path"]) for f in found)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UsageError(f"{file} is not the JSON of a lint", REMEDY) from None


def apply(report: Report, baseline: Counter[Key]) -> Report:
    """The report without what was known."""
    left = baseline.copy()
    new: list[Finding] = []
    known: list[Finding] = []
    for finding in report.findings:
        key = (finding.rule, finding.document.file, str(finding.document), finding.path)
        left[key] -= 1
        (new if left[key] < 0 else known).append(finding)
    return replace(report, findings=tuple(new), known=tuple(known))
