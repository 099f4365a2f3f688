"""A real Alertmanager on http_stub, with the shipped configuration led to a receiver of ours.

What changes on the way: addresses, the files that templates and secrets are read from, and the
clock. Routes, grouping, inhibition and texts are the shipped ones.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from canary import durations
from canary.errors import MachineError
from canary.runtime import binaries, processes
from canary.runtime.waiting import wait_until
from observe.receiver import Receiver

PACKAGE = "prometheus-alertmanager"
DEFAULT_TEMPLATES = Path("/usr/share/prometheus/alertmanager")
# Alertmanager keeps its own rhythms in whole seconds; below one there is nothing to gather.
MIN_INTERVAL_S = 0.2
_WAITS = ("group_wait", "group_interval", "repeat_interval")


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


def amtool() -> Path:
    """The amtool program, got the same way."""
    return binaries.program("amtool", PACKAGE)


def check(program: Path, file: Path) -> str:
    """What amtool objects to in a configuration; nothing if nothing."""
    done = _run([str(program), "check-config", str(file)])
    return "" if done.returncode == 0 else done.stdout + done.stderr


def receivers(program: Path, file: Path, labels: Mapping[str, str]) -> list[str]:
    """The receivers that an alert with these labels reaches, in the order of the routes.

    Raises:
        MachineError: if amtool cannot say.
    """
    pairs = [f"{name}={value}" for name, value in labels.items()]
    done = _run([str(program), "config", "routes", "test", f"--config.file={file}", *pairs])
    if done.returncode != 0:
        raise MachineError(f"amtool: {(done.stdout + done.stderr).strip()}", f"check {file}")
    return done.stdout.strip().split(",")


def rendered(program: Path, templates: Path, text: str) -> str:
    """What amtool makes of a template with the example that it brings.

    Raises:
        MachineError: if it refuses the template.
    """
    command = ["template", "render", f"--template.glob={templates}", f"--template.text={text}"]
    done = _run([str(program), *command])
    if done.returncode != 0:
        raise MachineError(f"amtool: {(done.stdout + done.stderr).strip()}", f"check {templates}")
    return str(done.stdout)


def local(
    shipped: Mapping[str, Any], receiver: Receiver, folder: Path, factor: float
) -> dict[str, Any]:
    """The shipped configuration for http_stub, its waits divided by `factor`.

    Writes the files that it reads secrets from: a Slack address is a secret, so that file leads to
    the receiver; keys are the receiver's name, which comes back with each delivery.
    """
    body = copy.deepcopy(dict(shipped))
    body["templates"] = ["*.tmpl"]
    body["global"]["pagerduty_url"] = receiver.url("pagerduty")
    _quicken(body["route"], factor)
    secrets = folder / "secrets"
    secrets.mkdir(parents=True, exist_ok=True)
    for configured in body["receivers"]:
        name = configured["name"]
        for webhook in configured.get("webhook_configs", []):
            webhook["url"] = receiver.url(name)
            authorization = webhook["http_config"]["authorization"]
            authorization["credentials_file"] = _secret(secrets, name, f"token-of-{name}")
        for slack in configured.get("slack_configs", []):
            slack["api_url_file"] = _secret(secrets, name, receiver.url(name))
        for pager in configured.get("pagerduty_configs", []):
            pager["routing_key_file"] = _secret(secrets, name, name)
    return body


class Alertmanager:
    """One Alertmanager on http_stub, without gossip."""

    def __init__(self, folder: Path, configuration: Mapping[str, Any], templates: Path) -> None:
        self._folder = folder
        self._configuration = configuration
        self._templates = templates
        self.port = processes.free_port()
        self._child: processes.Child | None = None

    def start(self) -> None:
        """Starts it and waits until it is ready.

        Raises:
            MachineError: if it does not come up.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / "alertmanager.yml"
        file.write_text(yaml.safe_dump(dict(self._configuration)), encoding="utf-8")
        for template in self._templates.glob("*.tmpl"):
            shutil.copy(template, self._folder)
        program = find()
        command = [str(program), f"--config.file={file}", "--cluster.listen-address="]
        command += [f"--storage.path={self._folder / 'data'}", "--log.level=warn"]
        command += [f"--web.listen-address=127.0.0.1:{self.port}"]
        self._child = processes.start(
            "alertmanager",
            command,
            self._folder / "alertmanager.log",
            # Where a relocated program's /usr is.
            working_directory=program.parent.parent.parent,
        )
        if not wait_until(self._ready, timeout_s=30, give_up=lambda: not self.running):
            raise MachineError(f"alertmanager did not start: {self._child.tail()}", "see its log")

    @property
    def running(self) -> bool:
        """Whether the program still runs."""
        return self._child is not None and self._child.running

    def stop(self) -> None:
        """Ends it."""
        if self._child is not None:
            self._child.stop(grace_s=3)

    def alerts(self) -> list[dict[str, Any]]:
        """What it knows now: labels, and whether each is active or suppressed."""
        url = f"http://127.0.0.1:{self.port}/api/v2/alerts"
        with urllib.request.urlopen(url, timeout=5) as answer:
            known: list[dict[str, Any]] = json.load(answer)
        return known

    def state(self, alert: str) -> str:
        """An alert's state by its name: active, suppressed, or nothing where it is not known."""
        states = [a["status"]["state"] for a in self.alerts() if a["labels"]["alertname"] == alert]
        return states[0] if states else ""

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=2):
                return True
        except OSError:
            return False


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


def _quicken(route: dict[str, Any], factor: float) -> None:
    for wait in _WAITS:
        if wait in route:
            seconds = durations.parse(route[wait]) / factor
            # Only a group's first wait may be nothing.
            least = 0.0 if wait == "group_wait" else MIN_INTERVAL_S
            route[wait] = durations.render(max(seconds, least))
    for child in route.get("routes", []):
        _quicken(child, factor)


def _secret(folder: Path, name: str, content: str) -> str:
    file = folder / name
    file.write_text(content, encoding="utf-8")
    return str(file)


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return processes.run(command, capture_output=True, text=True, check=False, timeout=60)
