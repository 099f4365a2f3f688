"""Metrics that something else than Prometheus answers: a web service, or the command of a Job.

A web metric asks the run's own Alertmanager, the release itself where its address is that of one of
its Services, or whatever the configuration gives for the address. A Job's command is the
configuration's too: it passes if it ends with 0, as a Job does that is complete.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from canary.argo import analysis
from canary.argo.manifests import Bundle
from canary.argo.model import Measurement, Metric, Phase, Rollout
from canary.rehearse import alerts
from canary.rehearse.config import Config
from canary.runtime import processes, web

JOB_TIMEOUT_S = 300.0
# What a Job's command finds the users' entrance by.
URL_VARIABLE = "REHEARSAL_URL"


@dataclass(frozen=True)
class Providers:
    """Where each metric is answered.

    `services` are the names of the release's own Services, which the gateway at `url` stands for;
    `web` is an address instead of the beginning of another; `jobs` are commands by metric.
    """

    url: str = ""
    alertmanager: str = ""
    services: frozenset[str] = frozenset()
    web: Mapping[str, str] = field(default_factory=dict)
    jobs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    folder: Path = field(default_factory=Path)

    def measure(self, metric: Metric, clock: Callable[[], float]) -> Measurement:
        """One measurement, which knows no stable release to compare with."""
        started_at = clock()
        if metric.job:
            phase, message = self._run(self.jobs[metric.name])
            return Measurement(phase, started_at, clock(), message=message)
        try:
            value = web.get(self.address(metric.query), metric.json_path, metric.timeout_s)
        except web.WebError as failed:
            return Measurement(Phase.ERROR, started_at, clock(), message=str(failed))
        phase, message = analysis.judge(metric, value)
        shown = json.dumps(value)
        return Measurement(phase, started_at, clock(), value=shown, message=message)

    def address(self, url: str) -> str:
        """Where a web metric's question goes here; nothing if nobody answers it."""
        for prefix, instead in self.web.items():
            if url.startswith(prefix):
                return instead + url.removeprefix(prefix)
        parts = urlsplit(url)
        if (parts.hostname or "").partition(".")[0] in self.services:
            return f"{self.url}{parts.path}" + (f"?{parts.query}" if parts.query else "")
        return alerts.local(url, self.alertmanager) if alerts.API in url else ""

    def _run(self, command: Sequence[str]) -> tuple[Phase, str]:
        try:
            done = processes.run(
                command,
                cwd=self.folder,
                env=processes.inherited(**{URL_VARIABLE: self.url}),
                capture_output=True,
                text=True,
                timeout=JOB_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired:
            return Phase.ERROR, f"{command[0]} did not end in {JOB_TIMEOUT_S:.0f} s"
        except OSError as failed:
            return Phase.ERROR, f"{command[0]} did not start: {failed}"
        said = (done.stderr or done.stdout).strip().splitlines()
        last = said[-1] if said else ""
        return (Phase.FAILED, last) if done.returncode else (Phase.SUCCESSFUL, "")


def unanswered(rollout: Rollout, bundle: Bundle, config: Config) -> Iterator[str]:
    """What the configuration must still say of the metrics that Prometheus does not answer."""
    known = Providers(services=services(bundle), web=config.web)
    for metric in dict.fromkeys(m for a in rollout.analyses for m in a.metrics):
        otherwise = f"or leave it out with --without-metric {metric.name}"
        if metric.job and metric.name not in config.jobs:
            yield f"jobs.{metric.name}: the command that runs instead of its Job, {otherwise}"
        elif metric.json_path and not known.address(metric.query):
            yield f"web: an address for {metric.query} of metric {metric.name}, {otherwise}"
        elif metric.json_path and not web.is_understood(metric.json_path):
            yield f"metric {metric.name}: jsonPath {metric.json_path} is not read here, {otherwise}"


def services(bundle: Bundle) -> frozenset[str]:
    """The names of the Services that select the release's pods."""
    return frozenset(service.metadata.name for service in bundle.services)
