"""The platform's alerts on one machine: the shipped rules, and a real Alertmanager with the routes.

Nobody is told: the receivers keep their names and nothing else. An alert can be made to fire: it is
the shipped one, with its labels, on a condition that always holds. Rules keep their own windows,
whatever the time scale, and a window that is longer than the run sees no more than the run.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from canary.argo.model import Metric, Rollout
from canary.errors import UsageError
from canary.rehearse import config as configuration
from canary.runtime.alertmanager import Alertmanager
from canary.runtime.prometheus import Prometheus, ScrapeJob, Target

API = "/api/v2/alerts"
JOB = "alertmanager"
SCRAPE_S = 5.0
EVALUATE_S = 3
# What fires before Prometheus has found its Alertmanager is sent again after this, not a minute.
FLAGS = ("--rules.alert.resend-delay=2s",)


def read(rules: Path) -> dict[str, Mapping[str, Any]]:
    """Every alert of a folder of rule files, by its name."""
    return {
        rule["alert"]: rule
        for file in sorted(rules.rglob("*.yaml"))
        for group in yaml.safe_load(file.read_text(encoding="utf-8")).get("groups", [])
        for rule in group["rules"]
        if "alert" in rule
    }


def asked(rollout: Rollout) -> list[Metric]:
    """The metrics that ask which alerts fire: Alertmanager, or Prometheus for its own series."""
    metrics = [metric for analysis in rollout.analyses for metric in analysis.metrics]
    return [m for m in metrics if (API in m.query if m.json_path else "ALERTS" in m.query)]


def named(value: str) -> str:
    """What fires, of a list of alerts as Alertmanager shows it; nothing of anything else."""
    try:
        names = sorted({alert["labels"]["alertname"] for alert in json.loads(value)})
    except (ValueError, KeyError, TypeError):
        return ""
    return f"{', '.join(names)} {'fires' if len(names) == 1 else 'fire'}" if names else ""


def check(
    rollout: Rollout, file: Path, own: configuration.Alerts | None, wanted: Sequence[str]
) -> None:
    """Refuses what no alert here could answer.

    Args:
        rollout: The release, whose metrics may ask for alerts.
        file: The rehearsal.yaml.
        own: What it says of alerts.
        wanted: The names of those that are to fire.

    Raises:
        UsageError: if no rules are named, or there is no such alert.
    """
    asking = [metric.name for metric in asked(rollout)]
    if own is None and (asking or wanted):
        why = f"metric {asking[0]} asks which alerts fire" if asking else "--event alert names one"
        raise UsageError(f"{why}, and {file} names no rules", "add `alerts` to it")
    if own is None or not wanted:
        return
    known = read(file.parent / own.rules)
    for name in wanted:
        if name not in known:
            raise UsageError(
                f"no rule of {own.rules} is the alert {name!r}",
                f"name one of {', '.join(sorted(known))}",
            )


class Alerts(Alertmanager):
    """An Alertmanager, and what the run's Prometheus needs to know of it and of the rules.

    Args:
        rules: A folder of rule files.
        routes: The configuration of Alertmanager.
        folder: Where its data and the alert that is made to fire are kept.
    """

    def __init__(self, rules: Path, routes: Path, folder: Path) -> None:
        shipped = yaml.safe_load(routes.read_text(encoding="utf-8"))
        silent = {
            "route": shipped["route"],
            "inhibit_rules": shipped.get("inhibit_rules", []),
            "receivers": [{"name": receiver["name"]} for receiver in shipped["receivers"]],
        }
        super().__init__(folder, silent, routes.parent)
        self._rules, self._fired = rules, folder / "fired.yaml"
        self._firing: list[str] = []

    @property
    def job(self) -> ScrapeJob:
        """How Prometheus scrapes it: an alert says so when nothing does."""
        return ScrapeJob(JOB, "/metrics", SCRAPE_S, [Target(self.port, {})])

    @property
    def for_prometheus(self) -> Mapping[str, Any]:
        """What Prometheus is told of rules and of whom to tell."""
        files = [*self._rules.rglob("*.yaml"), self._fired]
        targets = {"targets": [f"127.0.0.1:{self.port}"]}
        return {
            "rule_files": sorted(str(file.resolve()) for file in files),
            "global": {"scrape_interval": "15s", "evaluation_interval": f"{EVALUATE_S}s"},
            "alerting": {"alertmanagers": [{"static_configs": [targets]}]},
        }

    def start(self) -> None:
        """Starts it, with nothing that is made to fire.

        Raises:
            MachineError: if there is no program or it does not come up.
        """
        super().start()
        self._write()

    def fire(self, name: str, prometheus: Prometheus) -> None:
        """Makes an alert fire, from the next evaluation of the rules on."""
        self._firing.append(name)
        self._write()
        prometheus.reload()

    def fires(self, name: str) -> bool:
        """Whether Alertmanager knows that it fires."""
        return self.state(name) == "active"

    def _write(self) -> None:
        known = read(self._rules)
        fired = [
            {"alert": name, "expr": "vector(1)", "labels": known[name].get("labels", {})}
            for name in self._firing
        ]
        group = {"name": "made to fire", "rules": fired}
        self._fired.write_text(yaml.safe_dump({"groups": [group]}), encoding="utf-8")
