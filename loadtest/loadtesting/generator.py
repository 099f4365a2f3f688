"""Locust as a child process, and what it has measured so far."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from openarrivals.samples import Batch, Counts, Sample
from openarrivals.schedule import Plan

from canary.errors import MachineError
from canary.runtime import processes

LOCUSTFILE = Path(__file__).parent / "users.py"


@dataclass(frozen=True)
class Setup:
    """How the load is made.

    Attributes:
        host: Base URL of the target.
        plan: The schedule.
        users: Requests that can be under way at once.
        processes: Locust processes; 1 is one that does everything.
        workers: Workers of other machines to wait for; 0 is none.
        key_file: Holds the API key, if there is one.
        ca_file: Certificates to trust beside the system's.
        newer: Newer paths that the target answers.
        closed: Closed users at the plan's mean rate, instead of the schedule.
    """

    host: str
    plan: Plan
    users: int
    processes: int = 1
    workers: int = 0
    key_file: Path | None = None
    ca_file: Path | None = None
    newer: Sequence[str] = ()
    closed: bool = False


@dataclass
class Generator:
    """One Locust, its log and its measurements in a folder of the run."""

    folder: Path
    setup: Setup
    run_id: str
    cpu_percent: float = 0.0
    _child: processes.Child | None = None
    _read: int = 0
    _rest: bytes = b""

    def start(self) -> None:
        """Starts sending."""
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / "locust.log"
        self._child = processes.start("locust", self._command(), log, self._environment())

    @property
    def running(self) -> bool:
        """Whether it still sends or drains."""
        return self._child is not None and self._child.running

    def stop(self) -> None:
        """Ends it."""
        if self._child is not None:
            self._child.stop(grace_s=5)

    def read(self) -> list[Batch]:
        """The batches written since the last call."""
        if not self._out.exists():
            return []
        with self._out.open("rb") as file:
            file.seek(self._read)
            text = file.read()
        self._read += len(text)
        *lines, self._rest = (self._rest + text).split(b"\n")
        return [self._batch(line) for line in lines]

    def check_ended_well(self) -> None:
        """Raises if Locust ended by a fault of its own.

        Raises:
            MachineError: with the last words of its log.
        """
        if self._child is not None and not self._child.running and not self._read:
            raise MachineError(
                f"locust ended before it sent anything: {self._child.tail()}",
                f"see {self._child.log}",
            )

    def _batch(self, line: bytes) -> Batch:
        content = json.loads(line)
        self.cpu_percent = max(self.cpu_percent, content["cpu_percent"])
        samples = [Sample(*sample) for sample in content["samples"]]
        return Batch(samples, content["dropped_s"], Counts(**content["counts"]))

    @property
    def _out(self) -> Path:
        return self.folder / "samples.jsonl"

    def _command(self) -> list[str]:
        setup, plan = self.setup, self.setup.plan
        command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless"]
        command += ["--host", setup.host, "--users", str(setup.users)]
        command += ["--spawn-rate", str(setup.users), "--only-summary", "--loglevel", "INFO"]
        command += ["--arrivals-shape", str(plan.shape), "--arrivals-spacing", plan.spacing]
        command += ["--arrivals-seed", str(plan.seed)]
        command += ["--arrivals-max-queue-time", str(plan.max_queue_time_s)]
        # What fails is judged by the verdict; Locust itself is to end well.
        command += ["--exit-code-on-error", "0", "--stop-timeout", "1"]
        if setup.workers:
            command += ["--master", "--expect-workers", str(setup.workers)]
        elif setup.processes > 1:
            command += ["--processes", str(setup.processes)]
        return command

    def _environment(self) -> Mapping[str, str]:
        setup = self.setup
        variables = {
            **processes.inherited(),
            "LOADTEST_OUT": str(self._out),
            "LOADTEST_RUN": self.run_id,
            "LOADTEST_NEWER": " ".join(setup.newer),
            "LOADTEST_USERS": str(setup.users),
            "LOADTEST_SECONDS": str(setup.plan.shape.seconds),
        }
        if setup.key_file is not None:
            variables["LOADTEST_KEY_FILE"] = str(setup.key_file)
        if setup.ca_file is not None:
            variables["SSL_CERT_FILE"] = str(setup.ca_file)
        if setup.closed:
            variables["LOADTEST_CLOSED"] = str(setup.plan.shape.expected / setup.plan.shape.seconds)
        return variables
