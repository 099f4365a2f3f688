"""A `gridos serve` of the proof's own, which may be killed and started again on its port."""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from canary.runtime import processes
from canary.runtime.waiting import wait_until

PROGRAM = str(Path(sys.executable).parent / "gridos")
KEY = "a-key-of-the-proof"
NO_ANSWER = 0


class Pod:
    """One container's process; its log is kept over restarts."""

    def __init__(self, folder: Path, name: str, variables: Mapping[str, str]) -> None:
        self.name = name
        self.port, self._management_port = processes.free_port(), processes.free_port()
        self._folder = folder
        self._variables = {
            "PATH": os.environ["PATH"],
            "GRIDOS_API_KEYS": f"{KEY}:readings+networks",
            "GRIDOS_KEY_REQUESTS_PER_SECOND": "100000",
            "GRIDOS_POD": name,
            "PORT": str(self.port),
            "GRIDOS_MANAGEMENT_PORT": str(self._management_port),
            **variables,
        }
        self._child: processes.Child | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def management(self) -> str:
        """Where its probes and metrics are."""
        return f"http://127.0.0.1:{self._management_port}"

    @property
    def running(self) -> bool:
        """Whether its server process lives."""
        return self._child is not None and self._child.running

    @property
    def pid(self) -> int:
        """The server process, parent of the worker."""
        assert self._child is not None
        return self._child.pid

    @property
    def log(self) -> Path:
        """Everything it wrote."""
        return self._folder / f"{self.name}.log"

    def run(self, command: str) -> str:
        """Runs another command of the program in the pod's environment; what it says."""
        done = processes.run(
            [PROGRAM, command], env=self._variables, check=True, capture_output=True, text=True
        )
        said: str = done.stdout
        return said

    def start(self) -> None:
        """Starts it; `is_ready` says when it serves."""
        self._child = processes.start(self.name, [PROGRAM, "serve"], self.log, self._variables)

    def is_ready(self) -> bool:
        """Whether it says so, on the port that every release has."""
        return ask(f"{self.url}/readyz")[0] == 200

    def await_ready(self) -> None:
        """Waits for it, and fails with its log if it does not come."""
        assert wait_until(self.is_ready, timeout_s=60), self.log.read_text()[-2000:]

    def terminate(self) -> None:
        """SIGTERM, as the kubelet sends it."""
        if self._child is not None:
            self._child.terminate()

    def await_end(self) -> None:
        """Waits until it is gone."""
        assert wait_until(lambda: not self.running, timeout_s=60), f"{self.name} does not end"

    def stop(self) -> None:
        """Ends it one way or the other."""
        if self._child is not None:
            self._child.stop(grace_s=10)


def ask(
    url: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 10,
) -> tuple[int, bytes]:
    """(status, body) of one request; status 0 where there was no answer."""
    request = urllib.request.Request(url, body, dict(headers or {}))
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, b""
    except (OSError, ValueError, EOFError):
        return NO_ANSWER, b""
    except Exception:  # noqa: BLE001 — http.client's own errors for an answer cut short
        return NO_ANSWER, b""
