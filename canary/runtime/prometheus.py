"""A real Prometheus: found or unpacked, fed, and asked as the Argo controller asks it.

What the cluster's scrape adds to the pods' series is in the targets' labels (`rehearse/scraping`).
"""

import json
import shutil
import signal
import urllib.error
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from canary import durations
from canary.runtime import binaries, processes


class QueryError(Exception):
    """Prometheus could not answer; Argo makes a measurement in Error of it."""


@dataclass(frozen=True)
class Target:
    """One process to scrape, and the labels its series get."""

    port: int
    labels: Mapping[str, str]


@dataclass(frozen=True)
class ScrapeJob:
    """Targets, and how they are scraped.

    They are all named in advance: Prometheus takes up to 10 s to notice new ones, whatever its
    scrape interval, and one that does not answer yet costs nothing.
    """

    name: str
    path: str
    interval_s: float
    targets: Sequence[Target]
    honour_labels: bool = False
    params: Mapping[str, Sequence[str]] = field(default_factory=dict)
    relabel: Sequence[Mapping[str, Any]] = ()
    metric_relabel: Sequence[Mapping[str, Any]] = ()


class Client:
    """Asks a Prometheus, wherever it is."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def query(
        self, query: str, timeout_s: float = 30.0, at_s: float | None = None
    ) -> float | tuple[float, ...]:
        """Asks an instant query, at the server's now or at an instant of the Unix epoch.

        Returns:
            A float for a scalar, the samples' values for a vector (Argo's `result`).

        Raises:
            QueryError: if there is no answer, or not one of those two.
        """
        asked = {"query": query} if at_s is None else {"query": query, "time": f"{at_s:.3f}"}
        body = urllib.parse.urlencode(asked).encode()
        data = self._get("/api/v1/query", body, timeout_s)
        if data["resultType"] == "scalar":
            return float(data["result"][1])
        if data["resultType"] == "vector":
            return tuple(float(sample["value"][1]) for sample in data["result"])
        raise QueryError(f"Prometheus metric type {data['resultType']} is not supported")

    def query_range(
        self, query: str, start_s: float, end_s: float, step_s: float
    ) -> dict[int, tuple[float, ...]]:
        """What an instant query would answer at each instant, by its millisecond.

        Raises:
            QueryError: if there is no answer; one instant that has none is enough.
        """
        asked = {"query": query, "start": f"{start_s:.3f}", "end": f"{end_s:.3f}"}
        body = urllib.parse.urlencode(asked | {"step": f"{step_s:.3f}"}).encode()
        found: dict[int, tuple[float, ...]] = {}
        for series in self._get("/api/v1/query_range", body, 60.0)["result"]:
            for at_s, value in series["values"]:
                key = round(at_s * 1000)
                found[key] = (*found.get(key, ()), float(value))
        return found

    def series(
        self, selector: str, between_s: tuple[float, float] | None = None
    ) -> list[dict[str, str]]:
        """The labels of every series that a selector finds, or finds between two instants.

        Raises:
            QueryError: if there is no answer.
        """
        asked = {"match[]": selector}
        if between_s is not None:
            asked |= dict(zip(("start", "end"), (f"{at:.3f}" for at in between_s), strict=True))
        body = urllib.parse.urlencode(asked).encode()
        found: list[dict[str, str]] = self._get("/api/v1/series", body)
        return found

    def _get(self, path: str, body: bytes | None = None, timeout_s: float = 5.0) -> Any:
        url = f"{self.url}{path}"
        try:
            return processes.json_at(url, timeout_s, body)["data"]
        except urllib.error.HTTPError as refused:
            raise QueryError(_reason(refused)) from None
        except (OSError, ValueError) as gone:
            raise QueryError(f"prometheus does not answer: {gone}") from None


class Prometheus(Client, processes.Program):
    """One Prometheus on loopback, its data in a folder of the run."""

    def __init__(
        self,
        folder: Path,
        jobs: Sequence[ScrapeJob],
        extra: Mapping[str, Any] | None = None,
        flags: Sequence[str] = (),
        program: Path | None = None,
    ) -> None:
        """`extra` is more of its configuration: rule files, Alertmanagers, evaluation interval.

        `program` is another Prometheus than the one that `find` finds.
        """
        self._folder = folder
        self._jobs = jobs
        self._extra = extra or {}
        self._flags = flags
        self._program = program
        self.port = processes.free_port()
        super().__init__(f"http://127.0.0.1:{self.port}")
        self.forgetful = False  # whether it lost what it knew

    def start(self) -> None:
        """Starts it and waits until it answers queries.

        Raises:
            MachineError: if there is no program or it does not come up.
        """
        self._begin(self._launch(), lambda: processes.answers(f"{self.url}/-/ready"))

    def start_empty(self) -> None:
        """Starts it without what it knew, and without waiting until it answers."""
        self.forgetful = True
        shutil.rmtree(self._folder / "data", ignore_errors=True)
        self._child = self._launch()

    def _launch(self) -> processes.Child:
        program = self._program or find()
        self._folder.mkdir(parents=True, exist_ok=True)
        configuration = {
            "global": {"scrape_interval": "15s"},
            "scrape_configs": [_scrape_config(job) for job in self._jobs],
            **self._extra,
        }
        (self._folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        command = [
            str(program),
            f"--config.file={self._folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            # No run is this long; what was recorded or synthesised is never thrown away.
            "--storage.tsdb.retention.time=1y",
            "--log.level=warn",
            *self._flags,
        ]
        return processes.start("prometheus", command, self._folder / "prometheus.log")

    def reload(self) -> None:
        """Has it read its rule files anew."""
        if self._child is not None:
            self._child.popen.send_signal(signal.SIGHUP)

    def scraping(self) -> bool:
        """Whether every target has been taken up."""
        try:
            data = self._get("/api/v1/targets?state=active")["activeTargets"]
        except QueryError:
            return False
        return len(data) >= sum(len(job.targets) for job in self._jobs)


def _scrape_config(job: ScrapeJob) -> dict[str, Any]:
    interval = durations.render(job.interval_s)
    return {
        "job_name": job.name,
        "metrics_path": job.path,
        "scrape_interval": interval,
        "scrape_timeout": interval,
        "honor_labels": job.honour_labels,
        "params": {name: list(values) for name, values in job.params.items()},
        "relabel_configs": [dict(config) for config in job.relabel],
        "metric_relabel_configs": [dict(config) for config in job.metric_relabel],
        "static_configs": [
            {"targets": [f"127.0.0.1:{target.port}"], "labels": dict(target.labels)}
            for target in job.targets
        ],
    }


def find() -> Path:
    """The prometheus program: on PATH, else unpacked from the distribution's package.

    Raises:
        MachineError: if there is neither, with how to get it.
    """
    return binaries.program("prometheus")


def _reason(refused: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(refused)["error"])
    except (ValueError, KeyError):
        return f"prometheus answered {refused.code}"
