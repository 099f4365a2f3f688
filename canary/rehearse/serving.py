"""One pod of the manifests on a port of the caller's, with the database it needs."""

from __future__ import annotations

import secrets
import subprocess
from pathlib import Path

from canary.errors import MachineError, UsageError
from canary.rehearse.environment import PodFacts
from canary.rehearse.fakes import Fakes
from canary.rehearse.plan import Build
from canary.runtime import database, processes, scratch


def serve(build: Build, port: int) -> int:
    """Runs until Ctrl-C; returns the pod's exit code if it ends by itself.

    Raises:
        UsageError: if the port is taken.
        MachineError: if the pod was killed.
    """
    if not processes.port_is_free(port):
        raise UsageError(f"port {port} on 127.0.0.1 is occupied", "choose another with --port")
    spec = build.bundle.rollout.spec.template
    pod = PodFacts(
        build.bundle.rollout.metadata.name,
        build.bundle.namespace,
        spec.metadata.labels,
        spec.metadata.annotations,
        "127.0.0.1",
    )
    with database.running() as url, scratch.folder("secrets") as folder:
        fakes = Fakes(build, url, secrets.token_urlsafe(24), folder)
        fakes.prepare(pod)
        image = fakes.image()
        ports = {name: processes.free_port() for name in image.port_variables}
        ports[image.served] = port
        variables = fakes.variables(pod) | {
            image.host_variable: "127.0.0.1",
            **{image.port_variables[name]: str(number) for name, number in ports.items()},
        }
        command = [*image.command, *spec.spec.container.args]
        print(f"http://127.0.0.1:{port} — Ctrl-C ends it and its database", flush=True)  # noqa: T201 — a program that prints
        for name, number in ports.items():
            if name != image.served:
                print(f"{name}: http://127.0.0.1:{number}", flush=True)  # noqa: T201 — same
        for name, value in fakes.values.items():
            if "://" not in value:
                print(f"{name}: {value}", flush=True)  # noqa: T201 — made for this run alone
        with processes.popen(command, env=variables, cwd=Path.cwd()) as pod_process:
            try:
                code = pod_process.wait()
            finally:
                pod_process.terminate()
                try:
                    pod_process.wait(timeout=30)
                except subprocess.TimeoutExpired:
                    pod_process.kill()
    if code < 0:
        raise MachineError(f"the pod was ended by signal {-code}", "see what it said above")
    return code
