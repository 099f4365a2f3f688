"""A real Alertmanager: found or unpacked, and asked what fires."""

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from canary.runtime import binaries, processes

PACKAGE = "prometheus-alertmanager"
DEFAULT_TEMPLATES = Path("/usr/share/prometheus/alertmanager")


@dataclass(eq=False)
class Alertmanager(processes.Program):
    """One Alertmanager on loopback, its data in a folder of the run; alone without `cluster`."""

    folder: Path
    configuration: Mapping[str, Any]
    templates: Path
    cluster: Sequence[str] = ("--cluster.listen-address=",)
    port: int = field(default_factory=processes.free_port)

    def start(self) -> None:
        """Starts it and waits until it is ready.

        Raises:
            MachineError: if it does not come up.
        """
        folder = self.folder.absolute()  # it is started in another one
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "alertmanager.yml"
        file.write_text(yaml.safe_dump(dict(self.configuration)), encoding="utf-8")
        for template in self.templates.glob("*.tmpl"):
            shutil.copy(template, folder)
        program = find()
        command = [str(program), f"--config.file={file}", *self.cluster]
        command += [f"--storage.path={folder / 'data'}", "--log.level=warn"]
        command += [f"--web.listen-address=127.0.0.1:{self.port}"]
        log = folder / "alertmanager.log"
        child = processes.start("alertmanager", command, log, working_directory=home(program))
        self._begin(child, lambda: processes.answers(f"{self.url}/-/ready"))

    @property
    def url(self) -> str:
        """Where it is asked."""
        return f"http://127.0.0.1:{self.port}"

    def alerts(self) -> list[dict[str, Any]]:
        """What it knows now: labels, and whether each is active or suppressed."""
        known: list[dict[str, Any]] = processes.json_at(f"{self.url}/api/v2/alerts", 5)
        return known

    def state(self, alert: str) -> str:
        """An alert's state by its name: active, suppressed, or nothing where it is not known."""
        states = [a["status"]["state"] for a in self.alerts() if a["labels"]["alertname"] == alert]
        return states[0] if states else ""


def find() -> Path:
    """The alertmanager program: on PATH, else unpacked from Debian's package.

    Raises:
        MachineError: if there is neither.
    """
    upstream = shutil.which("alertmanager")
    if upstream:
        return Path(upstream)
    program = binaries.program(PACKAGE)
    return program if DEFAULT_TEMPLATES.is_dir() else _relocated(program)


def home(program: Path) -> Path:
    """Where it is started: a relocated program looks for its /usr there."""
    return program.parent.parent.parent


def amtool() -> Path:
    """The amtool program, got the same way."""
    return binaries.program("amtool", PACKAGE)


def _relocated(program: Path) -> Path:
    """The same program, which finds its default templates below its working directory.

    Debian's build reads them from one absolute path, wherever it was unpacked, and only root could
    put them there. A path of the same length that starts at the working directory takes its place.
    """
    relocated = program.with_name("alertmanager-relocated")
    if not relocated.exists():
        absolute = os.fsencode(DEFAULT_TEMPLATES)
        relative = absolute.removeprefix(b"/") + b"/"
        # Whole or not at all: another run may be doing the same.
        with tempfile.NamedTemporaryFile(dir=program.parent, delete=False) as fresh:
            fresh.write(program.read_bytes().replace(absolute, relative))
        Path(fresh.name).chmod(0o755)
        Path(fresh.name).replace(relocated)
    return relocated
