"""Compact alert cases → the test files that promtool runs.

A case gives the series, the instant, and what the alert says then; the texts that do not change
(summary, cost, runbook) are taken from the rule, since promtool compares every annotation.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from canary.errors import UsageError
from observe import rules
from observe.rules import Group, Rule


@dataclass(frozen=True)
class Case:
    """Series under which an alert does or does not fire; `says` is its description when it does.

    `without` names rule files that are not loaded. An alert that is always firing has no silent
    case, which its entry must say in so many words (`silent: never`).
    """

    alert: str
    fires: bool
    series: Mapping[str, str]
    at: str
    labels: Mapping[str, str]
    says: str
    without: frozenset[str] = frozenset()


def read(file: Path) -> tuple[Case, ...]:
    """Both cases of every alert in a file.

    Raises:
        UsageError: if the file is no list of alerts with the two cases.
    """
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        return tuple(case for entry in content for case in _cases(entry))
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as wrong:
        raise UsageError(f"{file}: {wrong!r}", "give alert, fires and silent") from None


def promtool_tests(cases: Sequence[Case], groups: Sequence[Group]) -> list[dict[str, Any]]:
    """The contents of promtool test files, with the cases.

    Raises:
        UsageError: if a case is about an alert that does not exist, which promtool would pass.
    """
    known = {alert.name: alert for alert in rules.alerts(groups)}
    unknown = sorted({case.alert for case in cases} - known.keys())
    if unknown:
        raise UsageError(f"a case is about {unknown[0]}, which is not an alert", "correct its name")
    return of_cases(groups, [(case, _test(case, known[case.alert])) for case in cases])


def of_cases(
    groups: Sequence[Group], tests: Iterable[tuple[Case, Mapping[str, Any]]]
) -> list[dict[str, Any]]:
    """The contents of promtool test files with tests of cases' alerts.

    A test evaluates every rule that its file loads, so each loads only what its alerts need.
    """
    files: dict[tuple[str, ...], dict[str, Any]] = {}
    for case, test in tests:
        left = [group for group in groups if group.file.name not in case.without]
        content = of_groups(rules.needed(left, case.alert), [])
        files.setdefault(tuple(content["rule_files"]), content)["tests"].append(test)
    return list(files.values())


def of_groups(
    groups: Sequence[Group], tests: Sequence[Mapping[str, Any]], interval: str = "1m"
) -> dict[str, Any]:
    """The content of a promtool test file with tests of these groups, evaluated at an interval."""
    return {
        "rule_files": sorted({str(group.file) for group in groups}),
        "evaluation_interval": interval,
        "group_eval_order": [group.name for group in rules.ordered(groups)],
        "tests": [*tests],
    }


def _cases(entry: Mapping[str, Any]) -> Iterator[Case]:
    for kind in ("fires", "silent"):
        body = entry[kind]
        if kind == "silent" and body == "never":
            continue
        yield Case(
            alert=entry["alert"],
            fires=kind == "fires",
            series=_values(body["series"]),
            at=body["at"],
            labels=body.get("labels", {}),
            says=body.get("says", ""),
            without=frozenset(entry.get("without", ())),
        )


def _values(series: Mapping[str, Any]) -> Mapping[str, str]:
    """As they are written; YAML reads `0x20`, twenty zeros to promtool, as the number 32."""
    for name, values in series.items():
        if not isinstance(values, str):
            raise TypeError(f"{name}: {values} is a number, write 0+0x20 for 0x20")
    return series


def _test(case: Case, alert: Rule) -> dict[str, Any]:
    expected = {
        "exp_labels": {**alert.labels, **case.labels},
        "exp_annotations": {
            **alert.annotations,
            "description": case.says or alert.annotations["description"],
        },
    }
    return {
        "name": f"{case.alert} {'fires' if case.fires else 'is silent'}",
        "interval": "1m",
        "input_series": [{"series": s, "values": v} for s, v in case.series.items()],
        "alert_rule_test": [
            {
                "eval_time": case.at,
                "alertname": case.alert,
                "exp_alerts": [expected] if case.fires else [],
            }
        ],
    }
