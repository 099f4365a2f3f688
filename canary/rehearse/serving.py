"""One pod of the manifests on a port of the caller's, with the services that it needs."""

import secrets
import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from canary.errors import MachineError, UsageError
from canary.rehearse import gaps, services
from canary.rehearse.environment import PodFacts
from canary.rehearse.fakes import Fakes
from canary.rehearse.kubelet import LOCALHOST, Source
from canary.rehearse.plan import Build
from canary.runtime import processes, scratch

TICK_S = 0.1


def serve(build: Build, port: int) -> int:
    """Runs until Ctrl-C; returns the pod's exit code if it ends by itself.

    Raises:
        UsageError: if the port is taken.
        MachineError: if the pod was killed.
    """
    if not processes.port_is_free(port):
        raise UsageError(f"port {port} on 127.0.0.1 is occupied", "choose another with --port")
    gaps.check(build.bundle, build.config, build.config_file)
    template = build.bundle.rollout.spec.template
    pod = PodFacts(
        build.bundle.rollout.metadata.name,
        build.bundle.namespace,
        template.metadata.labels,
        template.metadata.annotations,
        LOCALHOST,
    )
    with (
        scratch.folder("serve") as folder,
        services.running(build.config.services, build, folder / "services") as around,
    ):
        fakes = Fakes(build, around, secrets.token_urlsafe(24), folder / "volumes")
        fakes.prepare(pod)
        source = fakes.source()
        ports = {name: processes.free_port() for name in source.ports} | {source.served: port}
        print(f"http://{LOCALHOST}:{port} — Ctrl-C ends it and what it needs", flush=True)  # noqa: T201 — a program that prints
        for name, number in ports.items():
            if name != source.served:
                print(f"{name}: http://{LOCALHOST}:{number}", flush=True)  # noqa: T201 — same
        for name, value in fakes.values.items():
            if "://" not in value:
                print(f"{name}: {value}", flush=True)  # noqa: T201 — made for this run alone
        return _until_one_ends(source, pod, ports)


def _until_one_ends(source: Source, pod: PodFacts, ports: Mapping[str, int]) -> int:
    """Runs the containers until the first of them ends, and returns its exit code."""
    with ExitStack() as ends:
        running = []
        for container in source.template.spec.containers:
            if container.name in source.images:
                command, variables = source.command(container, pod, ports)
                child = processes.popen(command, env=variables, cwd=source.working_directory)
                running.append(child)
                ends.callback(_end, child)
        while all(child.poll() is None for child in running):
            time.sleep(TICK_S)
        code = next(child.returncode for child in running if child.returncode is not None)
    if code < 0:
        raise MachineError(f"the pod was ended by signal {-code}", "see what it said above")
    return code


def _end(child: subprocess.Popen[Any]) -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(timeout=30)
        except subprocess.TimeoutExpired:
            child.kill()
