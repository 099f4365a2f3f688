"""Requests a second, side by side: all servers are up, and wrk asks one of them a second long.

The order is shuffled anew each round and ratios are medians of pairs of one round, so that whatever
else the machine does falls on all alike. Servers share one CPU and wrk has another.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random

import psutil
from gridos.storage import pool

from acceptance.client import ask
from canary.runtime import processes
from canary.runtime.waiting import wait_until

SERVER_CPU, CLIENT_CPU = {0}, {os.cpu_count() - 1 if os.cpu_count() else 0}  # type: ignore[operator]
GUNICORN = ["-m", "gunicorn", "-w", "1", "--keep-alive", "75"]
GUNICORN += ["--threads", str(pool.THREADS["gunicorn"])]
GRANIAN = ["-m", "granian", "--interface", "wsgi", "--workers", "1", "--no-ws"]
GRANIAN += ["--blocking-threads", str(pool.THREADS["granian"])]
UVICORN = ["-m", "uvicorn", "--log-level", "warning", "--no-access-log"]
# As it is without its extras, uvloop and httptools.
PLAIN = ["--loop", "asyncio", "--http", "h11"]


def command(name: str, port: int) -> list[str]:
    """How a contestant is served: an app of `apps`, after an @ by what if not as usual."""
    app, _, server = name.partition("@")
    target = f"acceptance.bench.apps:{app}"
    if server == "granian":
        return [sys.executable, *GRANIAN, "--no-access-log", "--port", str(port), target]
    if app == "fastapi_":
        extra = PLAIN if server == "plain" else []
        return [sys.executable, *UVICORN, *extra, "--port", str(port), target]
    worker = "gridos.worker.Worker" if server == "worker" else "gthread"
    return [sys.executable, *GUNICORN, "-k", worker, "--bind", f"127.0.0.1:{port}", target]


Rounds = Mapping[str, list[float]]


def measure(folder: Path, names: Sequence[str], rounds: int) -> tuple[Rounds, Rounds]:
    """Requests a second of each contestant in each round, and requests a second of CPU time.

    The second counts what the server itself used, however busy the machine is with other things.
    """
    rates: dict[str, list[float]] = {name: [] for name in names}
    costs: dict[str, list[float]] = {name: [] for name in names}
    random = Random(33)
    with _servers(folder, names) as servers:
        for _ in range(rounds):
            for name in random.sample(list(names), len(names)):
                port, pid = servers[name]
                before = cpu_s(pid)
                answered, rate = _ask(port)
                rates[name].append(rate)
                costs[name].append(answered / (cpu_s(pid) - before))
    return rates, costs


@contextmanager
def _servers(folder: Path, names: Sequence[str]) -> Iterator[dict[str, tuple[int, int]]]:
    children, ports = {}, {name: processes.free_port() for name in names}
    try:
        for name, port in ports.items():
            children[name] = processes.start(name, command(name, port), folder / f"{name}.log")
            os.sched_setaffinity(children[name].pid, SERVER_CPU)
        for name, port in ports.items():
            url = f"http://127.0.0.1:{port}/hello"
            up = wait_until(lambda url=url: ask(url).status == 200, timeout_s=60)  # type: ignore[misc]
            assert up, f"{name} does not answer; see {folder}"
        yield {name: (ports[name], child.pid) for name, child in children.items()}
    finally:
        for child in children.values():
            child.kill()


def cpu_s(pid: int) -> float:
    """CPU time of a server and its workers, by the scheduler's own clock."""
    root = psutil.Process(pid)
    family = [root.pid, *(child.pid for child in root.children(recursive=True))]
    tasks = [task for each in family for task in Path(f"/proc/{each}/task").iterdir()]
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def _ask(port: int) -> tuple[int, float]:
    """Requests answered within a second, and so many a second."""
    done = subprocess.run(
        ["wrk", "-t1", "-c8", "-d1s", f"http://127.0.0.1:{port}/hello"],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, CLIENT_CPU),
    )
    found = re.search(r"(\d+) requests in .*Requests/sec:\s+([\d.]+)", done.stdout, re.DOTALL)
    assert found, done.stdout
    return int(found[1]), float(found[2])
