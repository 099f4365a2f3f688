"""The shipped configuration of Alertmanager, led to a receiver of ours, and what amtool says of it.

What changes on the way: addresses, the files that templates and secrets are read from, and the
clock. Routes, grouping, inhibition and texts are the shipped ones.
"""

import copy
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from canary import durations
from canary.errors import MachineError
from canary.runtime import processes
from observe.receiver import Receiver

# Alertmanager keeps its own rhythms in whole seconds; below one there is nothing to gather.
MIN_INTERVAL_S = 0.2
_WAITS = ("group_wait", "group_interval", "repeat_interval")


def check(program: Path, file: Path) -> str:
    """What amtool objects to in a configuration; nothing if nothing."""
    done = _run(program, "check-config", str(file))
    return "" if done.returncode == 0 else done.stdout + done.stderr


def receivers(program: Path, file: Path, labels: Mapping[str, str]) -> list[str]:
    """The receivers that an alert with these labels reaches, in the order of the routes.

    Raises:
        MachineError: if amtool cannot say.
    """
    pairs = [f"{name}={value}" for name, value in labels.items()]
    said = _said(program, file, "config", "routes", "test", f"--config.file={file}", *pairs)
    return said.strip().split(",")


def rendered(program: Path, templates: Path, text: str) -> str:
    """What amtool makes of a template with the example that it brings.

    Raises:
        MachineError: if it refuses the template.
    """
    options = (f"--template.glob={templates}", f"--template.text={text}")
    return _said(program, templates, "template", "render", *options)


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


def _said(program: Path, about: Path, *arguments: str) -> str:
    done = _run(program, *arguments)
    if done.returncode != 0:
        raise MachineError(f"amtool: {(done.stdout + done.stderr).strip()}", f"check {about}")
    return str(done.stdout)


def _run(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return processes.run([program, *arguments], capture_output=True, text=True, timeout=60)
