"""A real Loki on http_stub, and a real OpenTelemetry Collector that feeds it, where installed.

Neither is in Debian: they are found on PATH, or where the test cluster builds them.
"""

import json
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from canary.errors import MachineError
from canary.runtime import processes
from canary.runtime.prometheus import QueryError

KIT = Path("~/.cache/gridos-cluster/bin")
FOLDER = Path("observability/logs")
COLLECTOR_IMAGE = "docker.io/otel/opentelemetry-collector-contrib:0.160.0"


def find(name: str) -> Path:
    """A program by its name.

    Raises:
        MachineError: if it is not here, with how to get it.
    """
    found = shutil.which(name) or str(KIT.expanduser() / name)
    if not Path(found).is_file():
        raise MachineError(
            f"{name} is not on PATH",
            f"install it from its releases, or build the test cluster's ({KIT})",
        )
    return Path(found)


class Loki(processes.Program):
    """One Loki with the shipped local configuration, its data in a folder of the run."""

    def __init__(self, folder: Path, source: Path = FOLDER, address: str = "127.0.0.1") -> None:
        self._folder = folder
        self._source = source
        self._address = address
        self.port = processes.free_port()
        self.url = f"http://{address}:{self.port}"

    def start(self) -> None:
        """Starts it and waits until it takes lines.

        Raises:
            MachineError: if there is none, or it does not come up.
        """
        command = [str(find("loki")), f"-config.file={self._source / 'loki.yaml'}"]
        command += ["-config.expand-env=true", f"-server.http-listen-address={self._address}"]
        command += [f"-server.http-listen-port={self.port}"]
        command += ["-server.grpc-listen-address=127.0.0.1"]
        command += [f"-server.grpc-listen-port={processes.free_port()}"]
        # It would wait 15 s for others of its ring, and 10 s until its own parts find each other.
        command += ["-ingester.min-ready-duration=0s"]
        command += [
            f"-{part}dns-lookup-period=200ms" for part in ("frontend.scheduler-", "querier.")
        ]
        variables = processes.inherited(LOKI_DATA=str(self._folder / "data"))
        child = processes.start("loki", command, self._folder / "loki.log", variables)
        self._begin(child, lambda: processes.answers(f"{self.url}/ready"), timeout_s=90)

    def parse(self, query: str) -> str:
        """The query as Loki would write it.

        Raises:
            QueryError: if Loki refuses it, with its words.
        """
        return str(self._get("format_query", {"query": query})["data"])

    def query(self, query: str, **asked: str) -> list[dict[str, Any]]:
        """Asks over the last hour (streams), or now (numbers).

        Raises:
            QueryError: if Loki refuses it.
        """
        path = "query_range" if query.startswith("{") else "query"
        found: list[dict[str, Any]] = self._get(path, {"query": query, **asked})["data"]["result"]
        return found

    def labels(self) -> set[str]:
        """The names of the labels that streams are found by."""
        return set(self._get("labels", {})["data"])

    def _get(self, path: str, asked: Mapping[str, str]) -> Any:
        url = f"{self.url}/loki/api/v1/{path}?{urllib.parse.urlencode(asked)}"
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refused:
            raise QueryError(refused.read().decode().strip()) from None


class Collector(processes.Program):
    """One collector with the shipped configuration, reading plain files of lines."""

    def __init__(self, folder: Path, logs: Path, loki: Loki, source: Path = FOLDER) -> None:
        self._folder = folder
        self._logs = logs
        self._loki = loki
        self._source = source

    def start(self) -> None:
        """Starts it.

        Raises:
            MachineError: if there is none, or it does not come up.
        """
        state = self._folder / "state"
        state.mkdir(parents=True, exist_ok=True)
        command = [str(find("otelcol"))]
        both = ("collector.yaml", "collector.local.yaml")
        command += [f"--config=file:{self._source / name}" for name in both]
        variables = processes.inherited(
            GRIDOS_LOGS=str(self._logs),
            OTEL_STATE=str(state),
            LOKI_ENDPOINT=f"{self._loki.url}/otlp",
        )
        child = processes.start("otelcol", command, self._folder / "otelcol.log", variables)
        # It starts its receivers last, and they keep there how far they have read.
        self._begin(child, lambda: any(state.iterdir()))
