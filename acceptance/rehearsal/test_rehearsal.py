"""Rehearsals that take longer than a test may, each run as a user would run it."""

import html
import json
import shlex
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import field
from pathlib import Path

import psutil
import pytest
import yaml
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from acceptance.git import commit, git
from acceptance.rehearsed import CANARY, result
from canary.runtime import processes

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 900
RUNS = Path("out/rehearsals")
# After the release began: while stable and canary both answer, for once stable is gone nothing
# tells what is shared. And longer than it takes to call a pod unready.
HANG_AFTER_S, HANG_S = 12.0, 8.0


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Scenario:
    """A release, and how its rehearsal must end.

    `gate` is the one that must decide; `named` are words that the report's first screenful must
    hold, so that a person sees at once what is to blame. `hangs` names a program of the run that is
    stopped for a while, for `hang_s`. `appended` is real code that a branch might bring, by its
    file, and `one_route` what a branch lets one route of the service do. `events` are of a release
    of the shop.
    """

    name: str
    arguments: str = ""
    events: tuple[str, ...] = ()
    appended: dict[str, str] = field(default_factory=dict)
    one_route: str = ""
    exit_codes: tuple[int, ...] = (0,)
    gate: str | None = None
    words: str = ""
    named: tuple[str, ...] = ()
    busy: bool = False
    hangs: str = ""
    hang_s: float = HANG_S

    @property
    def given(self):
        """The program's arguments."""
        shop = SHOP if self.events else ()
        events = (word for event in self.events for word in ("--event", event))
        return (*shop, *shlex.split(self.arguments), *events)

    @property
    def regression(self):
        """(file, text) of a branch; nothing where there is none."""
        one_route = {APP: ONE_ROUTE.format(what=self.one_route)} if self.one_route else {}
        return next(iter((self.appended | one_route).items()), None)


SHOP = ("--config", "canary/tests/rehearse/shop/rehearsal.yaml")
APP = "service/gridos/__init__.py"
ONE_ROUTE = """

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
FILE = Path(__file__).with_name("scenarios.yaml")
SCENARIOS = [Scenario(**given) for given in yaml.safe_load(FILE.read_text("utf-8"))]


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
    given = scenario.given
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
    found = result(RUNS / "latest")
    verdict, machine = found["verdict"], found["machine"]
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
        assert "; restart " not in json.dumps(found["events"])
        assert [cause for cause in found["evidence"]["cause"] if " /" in cause] == []
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
