"""The same load through the same stall from our generator, k6 and vegeta."""

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from acceptance.load.runs import OUT, freeze, quantile
from acceptance.services import Service
from canary.errors import MachineError
from canary.runtime import processes, program

USERS = Path(__file__).parent / "users.py"
RATE, SECONDS, STALL_AT_S, FAULT = 20.0, 30.0, 8.0, "latency=30ms"
# Places for requests: more than were used before the stall and are needed in it, or too few.
AMPLE, SCARCE = 600, 10
K6_SCRIPT = Path(__file__).with_name("k6.js").read_text("utf-8")

Serve = Callable[..., AbstractContextManager[Service]]
Found = dict[str, float]


def three(serve: Serve) -> dict[str, Found]:
    """What each says of the stall.

    Raises:
        MachineError: if one of them is not here.
    """
    missing = [name for name in ("k6", "vegeta") if shutil.which(name) is None]
    if missing:
        how = "go install them as loadtest/README.md says"
        raise MachineError(f"not on PATH: {', '.join(missing)}", how)
    with serve(GRIDOS_FAULTS=FAULT) as service:
        runs = {
            "loadtest": lambda: _ours(service.url, AMPLE, 1.0),
            "k6": lambda: _k6(service.url, AMPLE),
            "vegeta": lambda: _vegeta(service.url),
        }
        return _together(service, runs)


def two_with_few_places(serve: Serve) -> tuple[float, float]:
    """How many requests loadtest and k6 drop where there is no place for them."""
    with serve(GRIDOS_FAULTS=FAULT) as service:
        runs = {
            "loadtest": lambda: _ours(service.url, SCARCE, 0.0),
            "k6": lambda: _k6(service.url, SCARCE),
        }
        found = _together(service, runs)
    return found["loadtest"]["dropped"], found["k6"]["dropped"]


def _together(service: Service, runs: Mapping[str, Callable[[], Found]]) -> dict[str, Found]:
    with program.threads(len(runs) + 1) as pool:
        pool.submit(freeze, service, STALL_AT_S)
        found = {name: pool.submit(run) for name, run in runs.items()}
        return {name: run.result() for name, run in found.items()}


def _ours(url: str, places: int, max_queue_time_s: float) -> Found:
    folder = Path(tempfile.mkdtemp(prefix="ours-", dir=OUT))
    command = [sys.executable, "-m", "locust", "-f", str(USERS), "--headless", "--host", url]
    command += ["-u", str(places), "-r", str(places), "--only-summary"]
    command += ["--arrivals-shape", f"{RATE:g} for {SECONDS:g}s"]
    command += ["--arrivals-spacing", "constant"]
    command += ["--arrivals-max-queue-time", str(max_queue_time_s)]
    variables = processes.inherited(USERS_KIND="open", USERS_OUT=str(folder / "samples.json"))
    processes.run(command, env=variables, capture_output=True, check=True, timeout=180)
    told = json.loads((folder / "samples.json").read_text())
    due = [latency_s for latency_s, _ in told["latencies"]]
    sent = [latency_s - lag_s for latency_s, lag_s in told["latencies"]]
    quantiles: Found = {}
    for q in (0.5, 0.95, 0.99):
        name = f"p{round(q * 100)}"
        quantiles |= {name: quantile(sent, q), f"{name} due": quantile(due, q)}
    return {**quantiles, "sent": len(due), "dropped": told["dropped"]}


def _k6(url: str, places: int) -> Found:
    folder = Path(tempfile.mkdtemp(prefix="k6-", dir=OUT))
    script = K6_SCRIPT.replace("RATE", f"{RATE:g}").replace("SECONDS", f"{SECONDS:g}")
    script = script.replace("VUS", str(places)).replace("URL", url)
    (folder / "load.js").write_text(script)
    command = ["k6", "run", "--quiet", "--no-usage-report", "--address", ""]
    command += ["--summary-export", str(folder / "summary.json"), str(folder / "load.js")]
    processes.run(command, capture_output=True, check=True, timeout=180)
    metrics = json.loads((folder / "summary.json").read_text())["metrics"]
    duration = metrics["http_req_duration"]
    quantiles = {f"p{n}": duration[f"p({n})"] / 1000 for n in (50, 95, 99)}
    dropped = metrics.get("dropped_iterations", {"count": 0})["count"]
    return {**quantiles, "sent": metrics["http_reqs"]["count"], "dropped": dropped}


def _vegeta(url: str) -> Found:
    attack = ["vegeta", "attack", f"-rate={RATE:g}", f"-duration={SECONDS:g}s"]
    told = f"GET {url}/v1/feeders\n".encode()
    for command in ([*attack, "-timeout=30s"], ["vegeta", "report", "-type=json"]):
        done = processes.run(command, input=told, capture_output=True, check=True, timeout=180)
        told = done.stdout
    report = json.loads(told)
    quantiles = {f"p{n}": report["latencies"][f"{n}th"] / 1e9 for n in (50, 95, 99)}
    return {**quantiles, "sent": report["requests"], "dropped": 0.0}
