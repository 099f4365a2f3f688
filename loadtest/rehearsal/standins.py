"""What stands in, on one machine, for a cluster's images, Secrets and migration job."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rehearsal.config import Config
from rehearsal.environment import PodFacts, Sources, resolve
from rehearsal.errors import MachineError, UsageError
from rehearsal.kubelet import Image
from rehearsal.manifests import Bundle

PREPARE_TIMEOUT_S = 120.0


class StandIns:
    """The stand-ins of `rehearsal.yaml`, filled in for one run."""

    def __init__(self, bundle: Bundle, config: Config, database_url: str) -> None:
        self._container = bundle.rollout.spec.template.spec.container
        self._config = config
        fresh = {"{database}": database_url, "{secret}": secrets.token_urlsafe(24)}
        self._sources = Sources(
            {name: config_map.data for name, config_map in bundle.config_maps.items()},
            {
                name: {key: fresh.get(text, text) for key, text in values.items()}
                for name, values in config.secrets.items()
            },
        )

    @property
    def values(self) -> Mapping[str, str]:
        """The Secrets' values by `name.key`, for the load's requests."""
        return {
            f"{name}.{key}": value
            for name, keys in self._sources.secrets.items()
            for key, value in keys.items()
        }

    def image(self) -> Image:
        """The command that stands in for the container's image.

        Raises:
            UsageError: if rehearsal.yaml names none, or it is not installed.
        """
        reference = self._container.image
        name = reference.rpartition("/")[2].partition("@")[0].partition(":")[0]
        if name not in self._config.images:
            raise UsageError(
                f"image {reference!r} has no local command",
                f"add {name} under `images` in rehearsal.yaml",
            )
        listen = self._config.listen
        return Image(local_command(self._config.images[name]), listen.host, listen.port)

    def variables(self, pod: PodFacts) -> dict[str, str]:
        """A container's environment; only PATH comes from this machine, or nothing would start."""
        path = os.environ.get("PATH", os.defpath)
        return {"PATH": path, **resolve(self._container, pod, self._sources)}

    def prepare(self, pod: PodFacts) -> None:
        """Runs the release's preparations, each with the container's own environment.

        Raises:
            MachineError: if one fails.
        """
        for command in self._config.prepare:
            done = _run(local_command(command), self.variables(pod))
            if done.returncode != 0:
                said = " ".join((done.stderr or done.stdout).split())
                raise MachineError(f"`{' '.join(command)}` failed: {said}", "run it by hand")


def check_faults(config: Config, faults: Sequence[str]) -> None:
    """Asks the service's own program whether it understands the words.

    Raises:
        UsageError: with that program's answer.
    """
    if not faults or not config.faults.check:
        return
    command = local_command(config.faults.check)
    done = _run([*command, ",".join(faults)], dict(os.environ))
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout).split())
        raise UsageError(said.removeprefix(f"{config.faults.check[0]}: "))


def local_command(command: Sequence[str]) -> list[str]:
    """A command whose program is found beside our own Python first, then on PATH.

    Raises:
        UsageError: if it is in neither place.
    """
    program, *arguments = command
    beside = Path(sys.executable).parent / program
    found = str(beside) if beside.is_file() else shutil.which(program)
    if found is None:
        raise UsageError(f"{program} is not installed", "run: make setup")
    return [found, *arguments]


def _run(command: Sequence[str], variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            env=dict(variables),
            capture_output=True,
            text=True,
            check=False,
            timeout=PREPARE_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise MachineError(
            f"`{' '.join(command)}` did not end within {PREPARE_TIMEOUT_S:.0f} s", "run it by hand"
        ) from None
