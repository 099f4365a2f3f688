"""Metrics that something else than Prometheus answers: a web service, or the command of a Job.

A web metric asks the run's own Alertmanager, the release itself where its address is that of one of
its Services, or whatever the configuration gives for the address. A Job's command is the
configuration's too: it passes if it ends with 0, as a Job does that is complete.
"""

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
# How much of a text is shown as a value.
_SHOWN = 100
# What a Job's command finds the users' entrance by, and that of the new release's own Service.
URL_VARIABLE, APART_VARIABLE = "REHEARSAL_URL", "REHEARSAL_PREVIEW_URL"


@dataclass(frozen=True)
class Providers:
    """Where each metric is answered.

    `url` is the users' entrance and `apart_url` that of the new release alone, if there is one;
    `services` say which of the two each of the release's own Services is;
    `web` is an address instead of the beginning of another; `jobs` are commands by metric.
    """

    url: str = ""
    apart_url: str = ""
    alertmanager: str = ""
    services: Mapping[str, str] = field(default_factory=dict)
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
            sent = metric.request
            value = web.ask(
                self.address(metric.query),
                metric.json_path,
                metric.timeout_s,
                sent.method,
                sent.headers,
                sent.body,
            )
        except web.NoJsonError as text:
            shown = " ".join(str(text).split())[:_SHOWN]
            message = "the response is not JSON, so its conditions are not evaluated"
            return Measurement(Phase.SUCCESSFUL, started_at, clock(), shown, message)
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
        if instead := self.services.get((parts.hostname or "").partition(".")[0], ""):
            return f"{instead}{parts.path}" + (f"?{parts.query}" if parts.query else "")
        _, path, question = url.partition(alerts.API)
        return f"{self.alertmanager}{path}{question}" if path else ""

    def _run(self, command: Sequence[str]) -> tuple[Phase, str]:
        try:
            done = processes.run(
                command,
                cwd=self.folder,
                env=processes.inherited(
                    **{URL_VARIABLE: self.url, APART_VARIABLE: self.apart_url or self.url}
                ),
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
    known = Providers(services=services(bundle, "the gateway"), web=config.web)
    for metric in dict.fromkeys(m for a in rollout.analyses for m in a.metrics):
        otherwise = f"or leave it out with --without-metric {metric.name}"
        if metric.job and metric.name not in config.jobs:
            yield f"jobs.{metric.name}: the command that runs instead of its Job, {otherwise}"
        elif metric.json_path and not known.address(metric.query):
            yield f"web: an address for {metric.query} of metric {metric.name}, {otherwise}"
        elif metric.json_path and not web.is_understood(metric.json_path):
            yield f"metric {metric.name}: jsonPath {metric.json_path} is not read here, {otherwise}"


def services(bundle: Bundle, url: str, apart_url: str = "") -> Mapping[str, str]:
    """Where each of the Services that select the release's pods is asked."""
    new = bundle.rollout.spec.strategy.services[0]
    names = (service.metadata.name for service in bundle.services)
    return {name: (apart_url if name == new else "") or url for name in names}
