"""The service as a process of its own, which may be killed and started again on its ports."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from acceptance.calling import quietly
from acceptance.client import Response, ask
from canary.runtime import processes
from canary.runtime.waiting import wait_until

PROGRAM = str(Path(sys.executable).parent / "gridos")
KEY = "a-key"
# For callers that may write, and are not told to come back later.
WRITABLE = {
    "GRIDOS_API_KEYS": f"{KEY}:readings+networks",
    "GRIDOS_KEY_REQUESTS_PER_SECOND": "100000",
}
START_TIMEOUT_S, END_TIMEOUT_S = 60.0, 60.0


class Service(processes.Program):
    """A `gridos serve`; its log is kept over restarts. A context manager that ends it."""

    grace_s = 40

    def __init__(
        self,
        folder: Path,
        variables: Mapping[str, str],
        name: str = "pod-1",
        prefix: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._prefix = prefix
        self._variables = {
            "PATH": os.environ["PATH"],
            "GRIDOS_API_KEYS": KEY,
            "GRIDOS_POD": name,
            "PORT": str(processes.free_port()),
            "GRIDOS_MANAGEMENT_PORT": str(processes.free_port()),
            **variables,
        }
        self.port = int(self._variables["PORT"])
        self.management_port = int(self._variables["GRIDOS_MANAGEMENT_PORT"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError):
                self.signal(signal.SIGCONT)
        self.stop()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def management(self) -> str:
        """Where its probes and metrics are."""
        return f"http://127.0.0.1:{self.management_port}"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The server process, parent of the worker."""
        assert self._child is not None
        return self._child.popen

    @property
    def pid(self) -> int:
        """The server process's."""
        return self.process.pid

    def run(self, *commands: str) -> str:
        """Runs other commands of the program in its environment; what the last one says."""
        said = ""
        for command in commands:
            said = quietly(PROGRAM, command, env=self._variables, check=True).stdout
        return said

    def start(self) -> Self:
        """Starts it; `is_ready` says when it serves."""
        command = [*self._prefix, PROGRAM, "serve"]
        self._child = processes.start(self.name, command, self.log, self._variables)
        return self

    def is_ready(self) -> bool:
        """Whether it says so, on the port that every release has."""
        return ask(f"{self.url}/readyz").status == 200

    def await_ready(self) -> Self:
        """Waits for it, and fails with its log if it does not come."""
        ready = wait_until(self.is_ready, START_TIMEOUT_S, give_up=lambda: not self.running)
        assert ready, self.log.read_text()[-2000:]
        return self

    def ask(
        self,
        path: str,
        method: str | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        port: int | None = None,
    ) -> Response:
        """One request."""
        url = f"http://127.0.0.1:{port or self.port}{path}"
        return ask(url, body, headers, method=method)

    def probe(self, path: str, timeout_s: float = 10) -> tuple[int, str]:
        """(status, text) of the management port."""
        return ask(f"{self.management}{path}", timeout_s=timeout_s)[:2]

    def metric(self, name: str, timeout_s: float = 10) -> float | None:
        """The value of a metric without labels; None where there was no answer."""
        lines = self.probe("/metrics", timeout_s)[1].splitlines()
        return next((float(x.split()[1]) for x in lines if x.startswith(f"{name} ")), None)

    def signal(self, number: signal.Signals) -> None:
        """To the server and its worker alike."""
        os.killpg(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM, as the kubelet sends it."""
        if self._child is not None:
            self._child.terminate()

    def await_end(self) -> None:
        """Waits until it is gone."""
        ended = wait_until(lambda: not self.running, END_TIMEOUT_S)
        assert ended, f"{self.name} does not end"
