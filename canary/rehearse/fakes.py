"""What stands in, on one machine, for a cluster's images, Secrets and migration job."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from canary.errors import MachineError, UsageError
from canary.rehearse import programs
from canary.rehearse.environment import PodFacts, Sources, resolve
from canary.rehearse.kubelet import Image, Source
from canary.rehearse.plan import Build

NO_MORE: Mapping[str, str] = MappingProxyType({})


class Fakes:
    """The fakes of one release's `rehearsal.yaml`, filled in for one run.

    Args:
        build: The release.
        database_url: What `{database}` stands for.
        secret: What `{secret}` stands for; the same for both releases, as a Secret is.
        folder: Where mounted secrets are written; emptied by whoever made it.
    """

    def __init__(self, build: Build, database_url: str, secret: str, folder: Path) -> None:
        self._build = build
        spec = build.bundle.rollout.spec.template.spec
        self._container = spec.container
        self._mounts = spec.secret_mounts
        self._folder = folder
        fresh = {"{database}": database_url, "{secret}": secret}
        self._sources = Sources(
            {name: config_map.data for name, config_map in build.bundle.config_maps.items()},
            {
                name: {key: fresh.get(text, text) for key, text in values.items()}
                for name, values in build.config.secrets.items()
            },
        )

        for source in self._mounts.values():
            self._write(source)

    def _write(self, source: str) -> None:
        """Writes a mounted secret's files, readable by this user only, as the pod's volume is."""
        if source not in self._sources.secrets:
            raise UsageError(
                f"{source} is mounted and has no fake",
                "add it under `secrets` in rehearsal.yaml",
            )
        folder = self._folder / source
        folder.mkdir(parents=True, mode=0o700)
        for key, value in self._sources.secrets[source].items():
            (folder / key).write_text(value, encoding="utf-8")

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
        config = self._build.config
        if name not in config.images:
            raise UsageError(
                f"image {reference!r} has no local command",
                f"add {name} under `images` in rehearsal.yaml",
            )
        command = programs.local_command(config.images[name], self._build.programs)
        served = self._build.bundle.served_port
        variables = config.listen.variables(served)
        for port in sorted({served, *self._container.probed_ports} - variables.keys()):
            raise UsageError(
                f"the container's port {port!r} has no variable",
                "add it under `listen.ports` in rehearsal.yaml",
            )
        return Image(command, config.listen.host, variables, served)

    def source(self, more: Mapping[str, str] = NO_MORE) -> Source:
        """What the kubelet makes this release's pods from, with some more variables."""
        return Source(
            self._build.bundle.rollout.spec.template,
            self.image(),
            self._build.folder,
            lambda pod: {**self.variables(pod), **more},
        )

    def variables(self, pod: PodFacts) -> dict[str, str]:
        """A container's environment; only PATH comes from this machine, or nothing would start."""
        path = os.environ.get("PATH", os.defpath)
        variables = resolve(self._container, pod, self._sources)
        return {"PATH": path, **{name: self._local(value) for name, value in variables.items()}}

    def _local(self, value: str) -> str:
        """A variable that says where secrets are mounted, told where they are on this machine."""
        source = self._mounts.get(value)
        return value if source is None else str((self._folder / source).absolute())

    def prepare(self, pod: PodFacts) -> None:
        """Runs what comes before the first pod, each with the container's own environment.

        Raises:
            MachineError: if one fails.
        """
        for command in self._build.config.prepare:
            done = programs.run(
                programs.local_command(command, self._build.programs), self.variables(pod)
            )
            if done.returncode != 0:
                said = " ".join((done.stderr or done.stdout).split())
                raise MachineError(f"`{' '.join(command)}` failed: {said}", "run it by hand")
