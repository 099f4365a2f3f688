"""Findings that were known before: a run's `-o json` is a baseline, and only what is new counts.

A finding is the same if its rule, file, object and place are; its numbers may change. Of several in
one place so many are known as there were.
"""

from __future__ import annotations

import json
import posixpath
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
        return Counter(
            (f["rule"], posixpath.normpath(f["file"]), f["object"], f["path"])
            for f in json.loads(yamls.text(file))["findings"]
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UsageError(f"{file} is not the JSON of a lint", REMEDY) from None


def known(report: Report, folder: Path) -> Counter[Key]:
    """The findings of another folder's lint, by the names that its files have within it."""

    def inside(file: str) -> str:
        return file.removeprefix(f"{folder}/").removeprefix(str(folder))

    return Counter(_key(finding, inside(finding.document.file)) for finding in report.findings)


def apply(report: Report, baseline: Counter[Key]) -> Report:
    """The report without what was known."""
    left = baseline.copy()
    new: list[Finding] = []
    known: list[Finding] = []
    for finding in report.findings:
        key = _key(finding, posixpath.normpath(finding.document.file))
        left[key] -= 1
        (new if left[key] < 0 else known).append(finding)
    return replace(report, findings=tuple(new), known=tuple(known))


def _key(finding: Finding, file: str) -> Key:
    return finding.rule, file, str(finding.document), finding.path
