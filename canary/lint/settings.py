"""What a repository says of its lint, in `.canary.yaml`: paths, severities, and what is ignored.

An ignore has a reason, so that whoever meets it can judge it, and may have a day on which it ends.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from canary import yamls
from canary.argo.gates import Finding, Severity
from canary.errors import UsageError
from canary.lint.check import Report
from canary.lint.rules import RULES
from canary.yamls import Document, listed, mapping, scalar

FILE = Path(".canary.yaml")
OFF = "off"

_FIELDS = {"ignores", "paths", "rules"}
_IGNORE_FIELDS = {"expires", "object", "path", "reason", "rule"}


@dataclass(frozen=True)
class Ignore:
    """Findings of a rule, in files and objects by pattern, that somebody accepts until a day."""

    rule: str
    reason: str
    path: str = "*"
    object: str = "*"
    expires: date | None = None

    def covers(self, finding: Finding, file: str) -> bool:
        """Whether it is about this finding, whatever the day."""
        about = self.rule == finding.rule and fnmatch(str(finding.document), self.object)
        return about and fnmatch(file, self.path)

    def has_ended(self, today: date) -> bool:
        """Whether its day is over."""
        return self.expires is not None and self.expires < today


@dataclass(frozen=True)
class Settings:
    """The file, read: `severities` has None for a rule that is off."""

    folder: Path = Path()
    paths: tuple[str, ...] = ()
    severities: Mapping[str, Severity | None] = field(default_factory=dict)
    ignores: tuple[Ignore, ...] = ()


def load(file: Path) -> Settings:
    """Reads the file.

    Raises:
        UsageError: if it is not such a file, with the line.
    """
    document = next((d for d in yamls.read(file) if d.body is not None), None)
    if document is None:
        return Settings(file.parent)
    if not isinstance(document.body, dict):
        raise _wrong(document, "", "it is a list or a text", f"write {', '.join(sorted(_FIELDS))}")
    _known(document, "", document.body, _FIELDS)
    paths = [scalar(path) for path in listed(document.body.get("paths"))]
    ignores = listed(document.body.get("ignores"))
    return Settings(
        file.parent,
        tuple(path if path == "-" else str(file.parent / path) for path in paths),
        dict(_severities(document)),
        tuple(_ignore(document, f"ignores[{i}]", mapping(one)) for i, one in enumerate(ignores)),
    )


def apply(report: Report, settings: Settings, today: date) -> Report:
    """The report as a repository wants it: other severities, and what it accepts set aside."""
    kept: list[Finding] = []
    suppressed = list(report.suppressed)
    for found in report.findings:
        severity = settings.severities.get(found.rule, found.severity)
        if severity is None:
            continue
        finding = replace(found, severity=severity)
        file = _relative(finding.document.file, settings.folder)
        covering = [ignore for ignore in settings.ignores if ignore.covers(finding, file)]
        valid = next((ignore for ignore in covering if not ignore.has_ended(today)), None)
        if valid:
            suppressed.append((finding, valid.reason))
        elif covering:
            ended = f"{finding.message} (ignored until {covering[0].expires})"
            kept.append(replace(finding, message=ended))
        else:
            kept.append(finding)
    return replace(report, findings=tuple(kept), suppressed=tuple(suppressed))


def _severities(document: Document) -> Iterator[tuple[str, Severity | None]]:
    rules = mapping(document.body.get("rules"))
    _known(document, "rules", rules, set(RULES))
    for rule, value in rules.items():
        # YAML 1.1 reads a bare `off` as false.
        word = OFF if value is False else scalar(value)
        if word not in (OFF, *Severity):
            known = f"write {OFF}, {', '.join(Severity)}"
            raise _wrong(document, f"rules.{rule}", f"{word!r} is not a severity", known)
        yield rule, None if word == OFF else Severity(word)


def _ignore(document: Document, path: str, raw: Mapping[str, Any]) -> Ignore:
    _known(document, path, raw, _IGNORE_FIELDS)
    rule, reason = scalar(raw.get("rule")), scalar(raw.get("reason")).strip()
    _known(document, path, {rule: None}, set(RULES))
    if not reason:
        raise _wrong(document, path, f"the ignore of {rule} has no reason", "write why it is right")
    words = scalar(raw.get("expires"))
    try:
        expires = date.fromisoformat(words) if words else None
    except ValueError:
        raise _wrong(document, path, f"{words!r} is not a day", "write it as 2027-03-31") from None
    patterns = {key: text for key in ("path", "object") if (text := scalar(raw.get(key)))}
    return Ignore(rule, reason, expires=expires, **patterns)


def _known(document: Document, path: str, held: Mapping[str, Any], wanted: set[str]) -> None:
    for name in held:
        if name not in wanted:
            what, remedy = "is not known here", f"write {', '.join(sorted(wanted))}"
            if wanted == set(RULES):
                what, remedy = "is not a rule", "see canary lint --list-rules"
            raise _wrong(document, f"{path}.{name}".strip("."), f"{name!r} {what}", remedy)


def _wrong(document: Document, path: str, what: str, remedy: str) -> UsageError:
    return UsageError(f"{document.file} line {document.position(path)[0]}: {what}", remedy)


def _relative(file: str, folder: Path) -> str:
    """A finding's file as the repository that holds the settings calls it."""
    whole, top = Path(file).absolute(), folder.absolute()
    return str(whole.relative_to(top)) if whole.is_relative_to(top) else file
