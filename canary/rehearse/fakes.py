"""What stands in, on one machine, for a cluster's images, Secrets, volumes and migration job."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from canary.argo import objects
from canary.errors import MachineError
from canary.rehearse import programs
from canary.rehearse.config import Replacement
from canary.rehearse.environment import PodFacts, Sources, fill, resolve
from canary.rehearse.gaps import image_name, ports
from canary.rehearse.kubelet import Image, Source
from canary.rehearse.plan import Build

NO_MORE: Mapping[str, str] = MappingProxyType({})


class Fakes:
    """The fakes of one release's `rehearsal.yaml`, filled in for one run.

    Args:
        build: The release, whose file says all that its manifests need (`gaps.check`).
        services: What `{NAME}` stands for, of each service that runs.
        secret: What `{secret}` stands for; the same for both releases, as a Secret is.
        folder: Where volumes are written; emptied by whoever made it.
    """

    def __init__(
        self, build: Build, services: Mapping[str, str], secret: str, folder: Path
    ) -> None:
        self._build = build
        self._spec = build.bundle.rollout.spec.template.spec
        self._folder = folder.absolute()
        self._fresh = {**services, "secret": secret}
        self._sources = Sources(
            {name: config_map.data for name, config_map in build.bundle.config_maps.items()},
            {
                name: {key: fill(text, self._fresh) for key, text in values.items()}
                for name, values in build.config.secrets.items()
            },
        )
        for volume in self._spec.volumes:
            self._write(volume)

    def _write(self, volume: objects.Volume) -> None:
        """Writes a volume's files, readable by this user only, as the pod's volume is."""
        held = [(one, self._sources.secrets) for one in volume.secrets]
        held += [(one, self._sources.config_maps) for one in volume.config_maps]
        files: dict[str, str] = {}
        for one, store in held:
            values = store.get(one.name, {})
            chosen = {item.path: values[item.key] for item in one.items if item.key in values}
            files |= chosen if one.items else values
        for name, value in files.items():
            file = self._folder / volume.name / name
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            file.write_text(value, encoding="utf-8")

    @property
    def values(self) -> Mapping[str, str]:
        """The Secrets' values by `name.key`, for the load's requests."""
        return {
            f"{name}.{key}": value
            for name, keys in self._sources.secrets.items()
            for key, value in keys.items()
        }

    def source(self, more: Mapping[str, str] = NO_MORE) -> Source:
        """What the kubelet makes this release's pods from, with some more variables.

        Raises:
            UsageError: if a program is not installed.
        """
        images = {}
        for container in self._spec.containers:
            given = self._build.config.images[image_name(container.image)]
            if given:
                images[container.name] = self._image(container, given)
        return Source(
            template=self._build.bundle.rollout.spec.template,
            images=images,
            ports=sorted(ports(self._build.bundle, self._build.config)),
            served=self._build.bundle.served_port,
            working_directory=self._build.folder,
            variables=lambda container, pod: {**self._environment(container, pod), **more},
            localise=self._localise,
        )

    def _image(self, container: objects.Container, given: list[str] | Replacement) -> Image:
        config, served = self._build.config, self._build.bundle.served_port
        whole = isinstance(given, Replacement)
        command = given.run if isinstance(given, Replacement) else given
        listen = config.listen.variables(served)
        own = container.port_names | ({served} if len(self._spec.containers) == 1 else set())
        told = {name: f"{{port.{port}}}" for port, name in listen.items() if port in own}
        if told and config.listen.host:
            told[config.listen.host] = "{host}"

        def here(text: str) -> str:
            return self._localise(container, fill(text, self._fresh))

        program, *words = self._build.command(command)
        texts = {name: here(text) for name, text in config.variables.items()}
        return Image([program, *map(here, words)], {**told, **texts}, whole)

    def variables(self, pod: PodFacts) -> dict[str, str]:
        """The environment of what prepares a release: its first container's, but for ports."""
        given = self._build.config.variables.items()
        filled = {name: fill(text, self._fresh) for name, text in given if "{port" not in text}
        return self._environment(self._spec.container, pod) | filled

    def _environment(self, container: objects.Container, pod: PodFacts) -> dict[str, str]:
        """A container's environment; only PATH comes from this machine, or nothing would start."""
        path = os.environ.get("PATH", os.defpath)
        variables = resolve(container, pod, self._sources)
        local = {name: self._localise(container, value) for name, value in variables.items()}
        return {"PATH": path, **local}

    def _localise(self, container: objects.Container, text: str) -> str:
        """A text that says where a volume is mounted, told where it is on this machine."""
        held = {volume.name for volume in self._spec.volumes if volume.holds_files}
        for mount in container.volume_mounts:
            if mount.name in held:
                path = re.escape(mount.mount_path.rstrip("/"))
                here = str(self._folder / mount.name / mount.sub_path).replace("\\", r"\\")
                text = re.sub(rf"(?<![\w./-]){path}(?![\w.-])", here, text)
        return text

    def prepare(self, pod: PodFacts) -> None:
        """Runs what comes before the first pod, each with the container's own environment.

        Raises:
            MachineError: if one fails.
        """
        for command in self._build.config.prepare:
            done = programs.run(
                self._build.command(command), self.variables(pod), self._build.folder
            )
            if done.returncode != 0:
                said = " ".join((done.stderr or done.stdout).split())
                raise MachineError(f"`{' '.join(command)}` failed: {said}", "run it by hand")
