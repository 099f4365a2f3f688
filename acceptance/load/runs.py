"""Runs of the load test against the real service, and what watches them."""

import json
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from acceptance.calling import quietly
from acceptance.services import Service
from canary.rehearse.exporter import PATH as EXPORTED
from canary.rehearse.exporter import ContainerFacts, Exporter
from canary.runtime.prometheus import Prometheus, ScrapeJob, Target
from canary.runtime.waiting import wait_until

BIN = Path(sys.executable).parent
OUT = Path("out/acceptance/load")
STALL_S = 3.0
TIMEOUT_S = 1200
# Of a container; what the manifest gives it.
CPU_LIMIT_CORES = 0.5


def loadtest(*arguments: str, prefix: Sequence[str] = ()) -> tuple[int, str, dict[str, Any]]:
    """(exit code, what was said, the run's document) of one `loadtest`."""
    OUT.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=OUT))
    command = [*prefix, str(BIN / "loadtest"), *arguments, "--out", str(folder)]
    done = quietly(*command, timeout=TIMEOUT_S)
    found = sorted(folder.glob("2*/result.json"))
    document = json.loads(found[-1].read_text()) if found else {}
    document["folder"] = str(found[-1].parent) if found else ""
    return done.returncode, done.stdout + done.stderr, document


def lines(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a run wrote, a line a second."""
    text = (Path(document["folder"]) / "samples.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def is_out_of_cpu(headline: str) -> bool:
    """Whether a run says that it measured its own generator, so that it is none of the target."""
    return headline.startswith("generator-lag")


def freeze(service: Service, after_s: float) -> None:
    """Freezes the service for a while, some seconds after its first request."""
    wait_until(lambda: b'"request"' in service.log.read_bytes(), timeout_s=60)
    time.sleep(after_s)
    service.signal(signal.SIGSTOP)
    time.sleep(STALL_S)
    service.signal(signal.SIGCONT)


@contextmanager
def watching(service: Service, pod: str) -> Iterator[str]:
    """A real Prometheus that scrapes the pod's CPU as a kubelet would report it."""
    facts = ContainerFacts("gridos", pod, "gridos", "gridos", service.pid, 0, CPU_LIMIT_CORES)
    exporter = Exporter(lambda: [facts])
    job = ScrapeJob("kubelet", EXPORTED, 1.0, [Target(exporter.port, {})], honour_labels=True)
    OUT.mkdir(parents=True, exist_ok=True)
    prometheus = Prometheus(Path(tempfile.mkdtemp(prefix="prometheus-", dir=OUT)), [job])
    prometheus.start()
    try:
        wait_until(prometheus.scraping, timeout_s=30)
        yield f"http://127.0.0.1:{prometheus.port}"
    finally:
        prometheus.stop()
        exporter.stop()


def quantile(values: Sequence[float], share: float) -> float:
    """Nearest rank, of the values themselves."""
    ordered = sorted(values)
    return ordered[max(0, -(-int(share * len(ordered) * 1000) // 1000) - 1)]


def row(values: Mapping[str, float] | Sequence[float]) -> str:
    """Three quantiles, in milliseconds."""
    if not isinstance(values, Mapping):
        values = {f"p{round(q * 100)}": quantile(values, q) for q in (0.5, 0.95, 0.99)}
    return ", ".join(f"{name} {values[name] * 1000:,.1f} ms" for name in ("p50", "p95", "p99"))
