"""Load: a real Locust, and what its users met, second by second."""

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from canary.errors import MachineError, UsageError
from canary.rehearse.config import Traffic
from canary.runtime import processes

# Locust writes every second; silent for so long, it hangs.
SILENT_TIMEOUT_S = 10.0
# Locust ends by itself after this, whatever happens to the rehearsal.
MAX_RUN = "2h"
LOCUSTFILE = Path(__file__).with_name("locustfile.py")
USERS_LOG = Path(__file__).with_name("users_log.py")


@dataclass(frozen=True)
class Second:
    """One second of the users' view; percentiles in milliseconds, None where nothing was sent.

    `statuses` counts the answers by status; 0 is none.
    """

    at: float
    requests: int
    failed: int
    refused: int
    lost: int
    p50_ms: float | None
    p95_ms: float | None
    statuses: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        """As a message says it."""
        p95 = "" if self.p95_ms is None else f", 95 % of them answered within {self.p95_ms:.0f} ms"
        return f"{self.requests} requests, {self.failed} failed, {self.lost} lost{p95}"


@dataclass(frozen=True)
class Refusal:
    """An answer that was an error: 4xx or 5xx, by the pod at this address."""

    method: str
    path: str
    status: int
    answered_by: str
    body: str

    @property
    def port(self) -> int:
        """The pod's; 0 where no pod answered."""
        port = self.answered_by.rpartition(":")[2]
        return int(port) if port.isdecimal() else 0


@dataclass
class Load(processes.Program):
    """One Locust process against the gateway."""

    grace_s = 5.0

    folder: Path
    config: Path
    traffic: Traffic
    rate: float
    values: Mapping[str, str]
    # Users of the configuration's own, instead of those that send its `requests`.
    locustfile: Path | None = None
    seconds: list[Second] = field(default_factory=list)
    # The lowest factor of the rate that was asked for: what every second had to hold.
    lowest: float = 1.0
    _read: int = 0

    def start(self, url: str) -> None:
        """Starts sending."""
        self.folder.mkdir(parents=True, exist_ok=True)
        own = self.locustfile
        files = str(LOCUSTFILE) if own is None else f"{USERS_LOG},{own}"
        command = [sys.executable, "-m", "locust", "-f", files, "--headless"]
        command += ["--host", url, "--users", str(self.traffic.users)]
        command += ["--spawn-rate", str(self.traffic.users), "--run-time", MAX_RUN]
        command += ["--loglevel", "WARNING", "--only-summary", "--stop-timeout", "1"]
        variables = processes.inherited(
            LOADTEST_CONFIG=str(self.config),
            LOADTEST_RATE=str(self.rate),
            LOADTEST_USERS=str(self.traffic.users),
            LOADTEST_VALUES=json.dumps(dict(self.values)),
            LOADTEST_LOG=str(self._log),
            LOADTEST_PACE=str(self._pace),
            # Users of one's own lie in a repository, in which nothing is left.
            **({"PYTHONDONTWRITEBYTECODE": "1"} if own else {}),
        )
        self._child = processes.start(
            "locust", command, self.folder / "locust.log", variables, yielding=True
        )

    def pace(self, factor: float) -> None:
        """Sends so many times the rate from now on; 0 is nothing."""
        self.lowest = min(self.lowest, factor)
        fresh = self._pace.with_suffix(".new")
        fresh.write_text(str(factor), encoding="utf-8")
        fresh.rename(self._pace)

    def read(self) -> list[Second]:
        """The seconds that were written since the last call.

        Raises:
            MachineError: if Locust has ended by itself, or hangs.
            UsageError: if it never began, with a locustfile of the configuration's own.
        """
        if self._child is not None and not self.running:
            said = self._child.tail()
            if self.locustfile is not None and not self.seconds:
                raise UsageError(f"{self.locustfile} cannot be used: {said}", "correct it")
            raise MachineError(f"locust ended by itself: {said}", "see its log")
        if not self._log.exists():
            return []
        with self._log.open(encoding="utf-8") as log:
            log.seek(self._read)
            text = log.read()
        complete = text[: text.rfind("\n") + 1]
        self._read += len(complete.encode())
        fresh = [Second(**json.loads(line)) for line in complete.splitlines()]
        self.seconds += fresh
        if self.seconds and time.time() - self.seconds[-1].at > SILENT_TIMEOUT_S:
            raise MachineError(
                f"locust has written nothing for {SILENT_TIMEOUT_S:.0f} s: the load has stopped",
                "see its log, and use a less busy machine",
            )
        return fresh

    def refusals(self) -> list[Refusal]:
        """The first bodies of answers that were errors."""
        log = self._log.with_name("refusals.jsonl")  # as users_log.py names it
        text = log.read_text(encoding="utf-8") if log.exists() else ""
        return [Refusal(**json.loads(line)) for line in text.splitlines()]

    @property
    def _pace(self) -> Path:
        return self.folder / "pace"

    @property
    def _log(self) -> Path:
        return self.folder / "seconds.jsonl"
