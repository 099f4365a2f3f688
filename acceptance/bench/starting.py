"""What a pod costs to start: CPU-seconds, seconds and memory until it says that it is ready.

CPU-seconds are of the whole tree, from the first instruction of the interpreter; they depend on the
machine, and on what else its cores do, so they stand beside those of `import flask` in the same
turn. Bytecode is there already, as it is in the image.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from acceptance.services import Service
from canary.runtime import processes
from canary.runtime.waiting import wait_until

TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Start:
    """A pod's, or the sum of several that started at once; `flask_cpu_s` is what it is beside."""

    cpu_s: float
    flask_cpu_s: float
    seconds: float
    pss_mb: float


def measure(folder: Path, url: str, pods: int) -> Start:
    """Starts so many pods at once, and ends them."""
    variables = {"GRIDOS_DATABASE_URL": url}
    started = [Service(folder, variables, f"start-{number}") for number in range(pods)]
    flask_cpu_s = _import("flask")
    began = time.monotonic()
    try:
        for pod in started:
            pod.start()
        waiting = list(started)

        def ready() -> bool:
            waiting[:] = [pod for pod in waiting if not pod.is_ready()]
            return not waiting

        assert wait_until(ready, timeout_s=TIMEOUT_S), "no pod became ready"
        seconds = time.monotonic() - began
        pids = [pod.pid for pod in started]
        cpu_s = sum(processes.cpu_seconds(pids).values())
        return Start(cpu_s, flask_cpu_s, seconds, sum(processes.memory_bytes(pids).values()) / 1e6)
    finally:
        for pod in started:
            pod.stop()


def _import(module: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
