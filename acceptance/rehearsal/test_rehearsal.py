"""Rehearsals that take longer than a test may, each run as a user would run it."""

import html
import json
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from acceptance.git import commit, git
from canary.runtime import processes

ROOT = Path(__file__).parents[2]
CANARY = Path(sys.executable).parent / "canary"
TIMEOUT_S = 900
RUNS = Path("out/rehearsals")
# After the release began: while stable and canary both answer, for once stable is gone nothing
# tells what is shared. And longer than it takes to call a pod unready.
HANG_AFTER_S, HANG_S = 12.0, 8.0


@dataclass(frozen=True)
class Scenario:
    """A release, and how its rehearsal must end.

    `gate` is the one that must decide; `named` are words that the report's first screenful must
    hold, so that a person sees at once what is to blame. `hangs` names a program of the run that is
    stopped for a while, for `hang_s`.
    """

    name: str
    arguments: tuple[str, ...] = ()
    exit_codes: tuple[int, ...] = (0,)
    gate: str | None = None
    words: str = ""
    busy: bool = False
    hangs: str = ""
    hang_s: float = HANG_S
    regression: tuple[str, str] | None = None
    named: tuple[str, ...] = ()


# Real code that a branch might bring, appended to a file of the service.
_APP = "service/gridos/__init__.py"
_ONE_ROUTE = """

_create_app = create_app


def create_app(*arguments, **named):
    app = _create_app(*arguments, **named)

    @app.before_request
    def regress():
        import os, time
        from flask import abort, request
        if request.path.endswith("/load"):
            {what}

    return app
"""
_ROUTE = "GET /v1/feeders/{feeder_id}/load: "
_UNCOUNTED = """
class Uncounted(frozenset):
    def __contains__(self, path):
        return super().__contains__(path) or path.startswith("/v1/feeders")


UNCOUNTED = Uncounted(UNCOUNTED)
"""
_LEAK = "app.config.setdefault('seen', []).append(b'x' * 2**20)"  # a MiB a request
BRANCHES = (
    Scenario("branch, as it was", (), (0,), regression=(_APP, "\n# Nothing to see.\n")),
    # The six kinds of fault that a person must find in the report within ten seconds.
    Scenario(
        "branch, slow route", (), (1,), "p95-latency-seconds",
        regression=(_APP, _ONE_ROUTE.format(what="time.sleep(0.4)")),
        named=(_ROUTE, "none below 40"),
    ),
    Scenario(
        "branch, exception", (), (1,), None, "errors",
        regression=(_APP, _ONE_ROUTE.format(what="raise RuntimeError(request.path)")),
        named=(_ROUTE, "failed with 500", "RuntimeError", f"{_APP}:"),
    ),
    Scenario(
        "branch, leak", (), (1,), "container-restarts",
        regression=(_APP, _ONE_ROUTE.format(what=_LEAK)),
        named=("out of memory", f"{_APP} ("),
    ),
    Scenario(
        "branch, crash", (), (1,), "container-restarts",
        regression=(_APP, _ONE_ROUTE.format(what="os._exit(3)")),
        named=(_ROUTE, "restarted"),
    ),
    Scenario(
        "branch, 404 storm", (), (1,), regression=(_APP, _ONE_ROUTE.format(what="abort(404)")),
        named=(_ROUTE, "answered with 404"),
    ),
    Scenario(
        "branch, hang", (), (1,), regression=(_APP, _ONE_ROUTE.format(what="time.sleep(600)")),
        named=(_ROUTE,),
    ),
    # What no counter of failures shows: most requests of the canary's pods are not counted at all.
    Scenario(
        "branch, uncounted", (), (1,), "requests-against-stable",
        regression=("service/gridos/recorder.py", _UNCOUNTED),
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
    Scenario("errors", ("--fault", "errors=3%"), (1,), "errors-against-stable"),
    Scenario("latency", ("--fault", "latency=400ms@10%"), (1,), "p95-latency-seconds"),
    Scenario("cpu", ("--fault", "cpu=90%"), (1,), "cpu-saturation-ratio"),
)
# The other words of faults, each stopped by its gate; what no release is to blame for is promoted.
WORDS = (
    Scenario("route", ("--fault", "errors=100%@/v1/overloads"), (1,), "route-errors"),
    Scenario("status", ("--fault", "status=404@20%"), (1,), "client-errors-against-stable"),
    Scenario("hang", ("--fault", "hang=1%"), (1,), "errors-against-stable"),
    Scenario("reset", ("--fault", "reset=1%"), (1,), "errors-against-stable"),
    Scenario("leak", ("--fault", "leak=1MiB"), (1,), "container-restarts"),
    Scenario("crash", ("--fault", "crash=300"), (1,), "container-restarts"),
    Scenario("slower", ("--fault", "latency=150ms"), (1,), "p95-against-stable"),
    Scenario("after", ("--fault", "errors=5%,after=45s"), (1,), "errors-against-stable"),
    # At the default scale a sixth of the 3 s that a pod may be slow: its times are the service's own.
    Scenario("warmup", ("--fault", "warmup=500ms")),
    Scenario("database down", ("--fault", "database-down=2s@40s")),
    Scenario("slow start", ("--fault", "slow-start=20s")),
)
# Responses that are lost after the pods counted them: only an edge of Envoys counts these failures.
_ENVOYS = ("--manifests", "acceptance/rehearsal/envoy-edge")
_CUT = ("--fault", "cut=1%")
EDGE = (
    Scenario("edge, healthy", _ENVOYS),
    Scenario("edge, cut", (*_ENVOYS, *_CUT), (1,), "gateway-errors-against-stable"),
    Scenario("edge, cut and not counted", _CUT),
)
# What users meet is what is rehearsed, with the questions about alerts that only these ask.
_PRODUCTION = ("--manifests", "deploy/overlays/production")
_ALERT = "alert=GridosDatabaseDown"
OVERLAYS = (
    *(
        Scenario(f"overlay, {name}", ("--manifests", f"deploy/overlays/{name}"))
        for name in ("dev", "staging", "production")
    ),
    Scenario(
        "overlay, errors", (*_PRODUCTION, "--fault", "errors=3%"), (1,), "errors-against-stable"
    ),
    Scenario(
        "overlay, alert before",
        (*_PRODUCTION, "--event", f"{_ALERT}@before"),
        (1,),
        "blocking-alerts-before",
    ),
    Scenario(
        "overlay, alert during",
        (*_PRODUCTION, "--event", f"{_ALERT}@step=7+10s"),
        (1,),
        "blocking-alerts",
    ),
)


# A service that costs a few CPU-seconds a rehearsal: setWeight 25, a minute's pause, its gate.
_SHOP = ("--config", "canary/tests/rehearse/shop/rehearsal.yaml")
_FAULTY = ("--fault", "0.5")


def event(name, *words, ends=0, gate=None, says="", more=()):
    """A release during which something happens; a busy machine may end it with 4."""
    given = [part for word in words for part in ("--event", word)]
    return Scenario(f"event, {name}", (*_SHOP, *more, *given), (ends, 4), gate, says)


EVENTS = (
    event("traffic stops", "traffic=0@step=1+2s", ends=3, gate="failed"),
    event("traffic doubles", "traffic=2@step=1+2s"),
    event(
        "prometheus goes and is back", "prometheus=stop@step=1+5s", "prometheus=start@step=1+15s"
    ),
    event("replicas more and fewer", "replicas=8@step=1+10s", "replicas=3@step=1+50s"),
    event("canary pods are lost", "lose-canary=all@step=1+10s", "lose-canary=1@step=1+30s"),
    event("promoted at a pause", "promote@step=1+30s"),
    event("promoted in full", "promote-full@step=1+20s", ends=3, says="Promoted by", more=_FAULTY),
    event("aborted", "abort@step=1+20s", ends=3, says="Aborted by hand"),
    event("aborted and retried", "abort@step=1+10s", "retry@step=1+40s"),
    event("undone", "undo@step=1+20s", ends=3, says="Undone by hand"),
    event("paused and promoted", "pause@step=1+10s", "promote@step=1+30s"),
    event("paused", "pause@step=1+10s", ends=3, says="Paused by hand"),
    event("a second release", "release@step=1+20s", more=_FAULTY),
)
SCENARIOS = (
    *OVERLAYS,
    *(Scenario(f"healthy {number + 1}") for number in range(10)),
    *BRANCHES,
    *FAULTS,
    *WORDS,
    *EDGE,
    Scenario("never ready", ("--fault", "slow-start=1h"), (1,), None, "has timed out progressing"),
    Scenario("no traffic", ("--without", "traffic"), (3,), "canary-requests"),
    Scenario("prometheus killed", ("--without", "prometheus"), (3,), None, "could not be read 5"),
    Scenario("more than it sustains", ("--rate", "20000"), (4,), None, "of the 20000 requests/s"),
    Scenario("several faults", ("--fault", "errors=20%", "--fault", "cpu=90%"), (1,)),
    # Stable and canary alike lose their database: the release is not blamed, and no pod restarted.
    Scenario("database hung", (), (0, 3, 4), hangs="postgres"),
    # For good, the backstop ends it, and the run ends without the stable pod that cannot start.
    Scenario(
        "database hung for good",
        (),
        (1, 4),
        "error-ratio",
        "the cause is probably shared",
        hangs="postgres",
        hang_s=TIMEOUT_S,
    ),
    Scenario(
        "prometheus hung",
        (),
        (4,),
        None,
        "has not answered a measurement",
        hangs="prometheus",
        hang_s=60.0,
    ),
    *EVENTS,
    # With both cores taken, an honest "the machine is at fault" is as good as the verdict.
    Scenario("busy, healthy", (), (0, 4), busy=True),
    *(Scenario(f"busy, {s.name}", s.arguments, (1, 4), s.gate, busy=True) for s in FAULTS),
)


def regress(tree, path, text):
    """A commit on top of HEAD with a text appended to a file; nothing here changes."""
    git(ROOT, "worktree", "add", "--detach", str(tree), "HEAD")
    try:
        with (tree / path).open("a", encoding="utf-8") as file:
            file.write(text)
        return commit(tree, "Regress")
    finally:
        git(ROOT, "worktree", "remove", "--force", str(tree))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_rehearsal_ends_as_its_release_deserves(scenario, tmp_path, measured, times):
    given = scenario.arguments
    if scenario.regression is not None:
        given = (
            "--stable",
            "HEAD",
            "--candidate",
            regress(tmp_path / "tree", *scenario.regression),
        )
    for _ in range(times(1)):
        assert_ends(scenario, given, measured)


def assert_ends(scenario, given, measured):
    began, before = time.monotonic(), programs()
    with hogs(psutil.cpu_count() or 1 if scenario.busy else 0), hanging(scenario):
        code = processes.run(
            [CANARY, "rehearse", *given], stdout=subprocess.DEVNULL, timeout=TIMEOUT_S
        ).returncode
    took = time.monotonic() - began
    result = json.loads((RUNS / "latest/result.json").read_text())
    verdict, machine = result["verdict"], result["machine"]
    measured(
        scenario.name,
        f"exit {code} after {took:.0f} s, {machine['cpu_seconds_total']:.0f} CPU-s, busy "
        f"{machine['cpu_busy_share']:.2f}, late {machine['harness_lag_p99_ms']:.0f} ms: "
        f"{verdict['headline']}",
    )
    assert code in scenario.exit_codes
    if scenario.gate is not None and code != 4:
        assert verdict["gate"], verdict["headline"]
        assert verdict["gate"]["name"] == scenario.gate
    assert scenario.words in verdict["headline"]
    first_screenful = html.unescape(
        (RUNS / "latest/report.html").read_text().partition("</header>")[0]
    )
    assert [words for words in scenario.named if words not in first_screenful] == []
    # A release is not to blame for a database that hangs, and no pod is.
    if scenario.hangs == "postgres":
        assert "; restart " not in json.dumps(result["events"])
        assert [cause for cause in result["evidence"]["cause"] if " /" in cause] == []
    assert programs() - before == set(), "left running"


def programs():
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


def begun():
    """The runs whose release has begun: its migration is the first that happens."""
    return {log.parent.name for log in RUNS.glob("*/release.log")}


@contextmanager
def hanging(scenario):
    """Stops a program of the run for a while, and lets it go on."""
    if not scenario.hangs:
        yield
        return
    over = threading.Event()
    thread = threading.Thread(target=hang, args=(scenario, over, begun()))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def hang(scenario, over, known):
    while not (begun() - known):
        if over.wait(0.2):
            return
    if over.wait(HANG_AFTER_S):
        return
    running = psutil.process_iter(["name"])
    ours = {child.pid for child in psutil.Process().children(recursive=True)}
    stopped = [each for each in running if each.pid in ours and each.info["name"] == scenario.hangs]
    for process in stopped:
        process.suspend()
    over.wait(scenario.hang_s)
    for process in stopped:
        with suppress(psutil.NoSuchProcess):
            process.resume()


@contextmanager
def hogs(count):
    """Keeps so many cores busy with something else; each hog ends by itself."""
    spin = f"import time\nwhile time.monotonic() < {time.monotonic() + TIMEOUT_S}: pass"
    spinning = [processes.popen([sys.executable, "-c", spin]) for _ in range(count)]
    try:
        yield
    finally:
        for hog in spinning:
            hog.kill()
            hog.wait()
