"""The bars of the rehearsal that take longer than a test may: `make prove-rehearsal`.

Each scenario is run as a user would run it; a row says what was expected and what came. Exit code
1 if any differs. `--only WORD` runs the scenarios whose name holds the word; `--healthy N` says how
many healthy releases in a row.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from canary.runtime import processes, program

CANARY = Path(sys.executable).parent / "canary"
LONGEST_S = 900
# While stable and canary both answer, for once stable is gone nothing tells what is shared; and
# longer than it takes to call a pod unready.
HANG_AFTER_S, HANG_S = 30.0, 8.0


@dataclass(frozen=True)
class Scenario:
    """A release, and how its rehearsal must end; `gate` is the one that must decide."""

    name: str
    arguments: tuple[str, ...] = ()
    exit_codes: tuple[int, ...] = (0,)
    gate: str | None = None
    words: str = ""
    busy: bool = False
    hangs: bool = False
    regression: tuple[str, str] | None = None


# Real code that a branch might bring, appended to a file of the service.
_APP = "service/gridos/__init__.py"
_ONE_ROUTE = """

_create_app = create_app


def create_app(*arguments, **named):
    app = _create_app(*arguments, **named)

    @app.before_request
    def regress():
        import time
        from flask import request
        if request.path.endswith("/load"):
            {what}

    return app
"""
_LEAK = "app.config.setdefault('seen', []).append(b'x' * 2**20)"  # a MiB a request
BRANCHES = (
    Scenario("branch, as it was", (), (0,), regression=(_APP, "\n# Nothing to see.\n")),
    Scenario(
        "branch, slow route", (), (1,), "p95-latency-seconds",
        regression=(_APP, _ONE_ROUTE.format(what="time.sleep(0.4)")),
    ),
    Scenario(
        "branch, exception", (), (1,), "error-ratio",
        regression=(_APP, _ONE_ROUTE.format(what="raise RuntimeError(request.path)")),
    ),
    Scenario(
        "branch, leak", (), (1,), "container-restarts",
        regression=(_APP, _ONE_ROUTE.format(what=_LEAK)),
    ),
    Scenario(
        "branch, hungry start", (), (1,), "container-restarts",
        regression=(_APP, "\nHELD = b'x' * (400 * 2**20)\n"),
    ),
    Scenario(
        "branch, migration", (), (1,), None, "`gridos migrate` failed",
        regression=("service/gridos/migrations/9999_again.sql", "CREATE TABLE feeder (id text);\n"),
    ),
    Scenario(
        "branch, cannot start", (), (1,), None, "has timed out progressing",
        regression=(_APP, "\nraise ImportError('a package that the image lacks')\n"),
    ),
)  # fmt: skip

FAULTS = (
    Scenario("errors", ("--fault", "errors=3%"), (1,), "error-ratio"),
    Scenario("latency", ("--fault", "latency=400ms@10%"), (1,), "p95-latency-seconds"),
    Scenario("cpu", ("--fault", "cpu=90%"), (1,), "cpu-saturation-ratio"),
)
SCENARIOS = (
    *BRANCHES,
    *FAULTS,
    Scenario("crash", ("--fault", "crash=300"), (1,), "container-restarts"),
    Scenario("slow start", ("--fault", "slow-start=20s"), (0,)),
    Scenario("never ready", ("--fault", "slow-start=1h"), (1,), None, "has timed out progressing"),
    Scenario("no traffic", ("--without", "traffic"), (3,), "canary-requests"),
    Scenario("prometheus killed", ("--without", "prometheus"), (3,), None, "could not be read 5"),
    Scenario("more than it sustains", ("--rate", "20000"), (4,), None, "of the 20000 requests/s"),
    Scenario("several faults", ("--fault", "errors=20%", "--fault", "cpu=90%"), (1,)),
    # Stable and canary alike lose their database: the release is not blamed, and no pod restarted.
    Scenario("database hung", (), (0, 3, 4), hangs=True),
    # With both cores taken, an honest "the machine is at fault" is as good as the verdict.
    Scenario("busy, healthy", (), (0, 4), busy=True),
    *(Scenario(f"busy, {s.name}", s.arguments, (1, 4), s.gate, busy=True) for s in FAULTS),
)


def main(arguments: Sequence[str]) -> int:
    """Runs the scenarios and prints a row for each."""
    parser = program.parser("prove-rehearsal", description=__doc__)
    parser.add_argument("--only", default="", metavar="WORD")
    parser.add_argument("--healthy", type=int, default=10, metavar="N")
    parser.add_argument("--times", type=int, default=1, metavar="N", help="each scenario so often")
    chosen = parser.parse_args(arguments)
    healthy = tuple(Scenario(f"healthy {n + 1}") for n in range(chosen.healthy))
    wanted = [s for s in (*healthy, *SCENARIOS) if chosen.only in s.name] * chosen.times
    if not wanted:
        parser.error(f"no scenario's name holds {chosen.only!r}")
    columns = f"{'exit':>5}{'seconds':>9}{'CPU-s':>7}{'busy':>6}{'late':>9}"
    print(f"{'scenario':<20}{columns}  verdict", flush=True)
    failed = sum(not _holds(scenario) for scenario in wanted)
    print(f"\n{len(wanted) - failed} passed, {failed} failed")
    return 1 if failed else 0


def _commit(path: str, text: str) -> str:
    """A commit on top of HEAD with a text appended to a file; nothing here changes."""
    who = ("-c", "user.name=prove", "-c", "user.email=prove@localhost")
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        _git("worktree", "add", "--detach", str(tree), "HEAD")
        with (tree / path).open("a", encoding="utf-8") as file:
            file.write(text)
        _git("-C", str(tree), "add", "--all")
        _git("-C", str(tree), *who, "commit", "--quiet", "--message", "Regress")
        commit = _git("-C", str(tree), "rev-parse", "HEAD")
        _git("worktree", "remove", "--force", str(tree))
    return commit


def _git(*arguments: str) -> str:
    done = processes.run(["git", *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _arguments(scenario: Scenario) -> tuple[str, ...]:
    if scenario.regression is None:
        return scenario.arguments
    return ("--stable", "HEAD", "--candidate", _commit(*scenario.regression))


def _holds(scenario: Scenario) -> bool:
    arguments = _arguments(scenario)
    began, before = time.monotonic(), _programs()
    with _hogs(psutil.cpu_count() or 1 if scenario.busy else 0), _hanging(scenario.hangs):
        code = processes.run(
            [CANARY, "rehearse", *arguments],
            stdout=subprocess.DEVNULL,
            check=False,
            timeout=LONGEST_S,
        ).returncode
    result = json.loads(Path("out/rehearsals/latest/result.json").read_text())
    verdict, machine = result["verdict"], result["machine"]
    restarted = scenario.hangs and "; restart " in json.dumps(result["events"])
    gate = verdict["gate"]["name"] if verdict["gate"] else None
    good = (
        code in scenario.exit_codes
        and (scenario.gate is None or gate == scenario.gate or code == 4)
        and scenario.words in verdict["headline"]
        and not restarted
    )
    outlived = _programs() - before
    left = f"   ✗ left running: {sorted(outlived)}" if outlived else ""
    took = time.monotonic() - began
    mark = "" if good and not left else f"   ✗ expected {scenario.exit_codes} {scenario.gate or ''}"
    cost = f"{machine['cpu_seconds_total']:>7.0f}{machine['cpu_busy_share']:>6.2f}"
    late = f"{machine['harness_lag_p99_ms']:>6.0f} ms"
    told = f"{verdict['headline']}{mark}{left}"
    print(f"{scenario.name:<20}{code:>5}{took:>9.0f}{cost}{late}  {told}", flush=True)
    return good and not left


def _programs() -> set[tuple[int, str]]:
    """(pid, command line) of everything that runs now and is such as a rehearsal here starts."""
    names = ("envoy", "gridos serve", "gridos-pg-", "prometheus.yml", "locustfile.py")
    here = str(Path.cwd())
    found = set()
    for process in psutil.process_iter(["cmdline", "cwd"]):
        line = " ".join(process.info["cmdline"] or [])
        ours = here in f"{process.info['cwd']} {line}"
        if ours and any(name in line for name in names):
            found.add((process.pid, line))
    return found


@contextmanager
def _hanging(wanted: bool) -> Iterator[None]:
    """Stops the run's PostgreSQL for a while, and lets it go on."""
    if not wanted:
        yield
        return
    over = threading.Event()
    hanging = threading.Thread(target=_hang, args=(over,))
    hanging.start()
    try:
        yield
    finally:
        over.set()
        hanging.join()


def _hang(over: threading.Event) -> None:
    if over.wait(HANG_AFTER_S):
        return
    ours = psutil.Process().children(recursive=True)
    stopped = [process for process in ours if process.name() == "postgres"]
    for process in stopped:
        process.suspend()
    over.wait(HANG_S)
    for process in stopped:
        with suppress(psutil.NoSuchProcess):
            process.resume()


@contextmanager
def _hogs(count: int) -> Iterator[None]:
    """Keeps so many cores busy with something else; each hog ends by itself."""
    spin = f"import time\nwhile time.monotonic() < {time.monotonic() + LONGEST_S}: pass"
    hogs = [processes.popen([sys.executable, "-c", spin]) for _ in range(count)]
    try:
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


if __name__ == "__main__":
    sys.exit(program.run("prove-rehearsal", main))
