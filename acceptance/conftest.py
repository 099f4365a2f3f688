"""What acceptance tests share. A test's area is its folder; what is not `quick` is `acceptance`."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from acceptance.cluster import INSIDE, Cluster, unusable
from canary.errors import MachineError, RehearsalError
from canary.rehearse import time_compression
from canary.runtime import processes, program

HERE = Path(__file__).parent
RESULTS = Path("out/acceptance")
# For the pytest outside, whose table is the whole one.
INSIDE_RESULTS = RESULTS / "inside.json"
OPTIONS = ("seed", "times", "only", "scale")
INSIDE_TIMEOUT_S = 2 * 3600
UNAVAILABLE = pytest.StashKey[int]()

Measured = Callable[..., None]


def pytest_addoption(parser: pytest.Parser) -> None:
    """What may be said to the tests."""
    group = parser.getgroup("acceptance")
    group.addoption("--seed", type=int, default=int(time.time()), help="of every random choice")
    group.addoption("--times", type=int, default=0, metavar="N", help="how often what is repeated")
    text = "divide the pauses and windows of a release's steps by this"
    group.addoption("--scale", type=time_compression.factor, default=1, metavar="N", help=text)
    group.addoption(
        "--only", default="", metavar="WORD", help="of a test's cases, those that hold it"
    )


def pytest_report_header(config: pytest.Config) -> str:
    """The seed, to do the same again."""
    return f"seed: {config.getoption('seed')}"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks each test with its area."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(item.path.relative_to(HERE).parts[0])
            if item.get_closest_marker("quick") is None:
                item.add_marker("acceptance")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Runs a test that is marked `inside` by a pytest of its own in the cluster's network."""
    if pyfuncitem.get_closest_marker("inside") is None or INSIDE in os.environ:
        return None
    cluster = pyfuncitem.funcargs["cluster"]
    assert isinstance(cluster, Cluster)
    given = [f"--{name}={pyfuncitem.config.getoption(name)}" for name in OPTIONS]
    words = ["-m", "pytest", "-s", "-q", "-m", "", *given, pyfuncitem.nodeid]
    measured_there = HERE.parent / INSIDE_RESULTS
    measured_there.unlink(missing_ok=True)
    command = cluster.command("python", *words)
    code = processes.run(command, cwd=HERE.parent, timeout=INSIDE_TIMEOUT_S).returncode
    if measured_there.is_file():
        pyfuncitem.user_properties += map(tuple, json.loads(measured_there.read_text()))
    assert code == 0, "it failed in the cluster's network: see above"
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Says in one line what a test needs and cannot have here, and counts it."""
    report = yield
    if call.excinfo is not None and isinstance(call.excinfo.value, RehearsalError):
        report.longrepr = f"{item.name}: {call.excinfo.value}"
        item.config.stash[UNAVAILABLE] = item.config.stash.get(UNAVAILABLE, 0) + 1
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Ends otherwise than with an unmet target where nothing is wrong but what cannot be had."""
    if 0 < session.testsfailed <= session.config.stash.get(UNAVAILABLE, 0):
        session.exitstatus = pytest.ExitCode.INTERNAL_ERROR


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table of what was measured, which is kept in out/acceptance as well."""
    stats = terminalreporter.stats
    reports = [
        report
        for report in (*stats.get("passed", ()), *stats.get("failed", ()))
        if report.nodeid.startswith("acceptance/") and "quick" not in report.keywords
    ]
    if reports:
        RESULTS.mkdir(parents=True, exist_ok=True)
    if INSIDE in os.environ:
        found = [row for report in reports for row in report.user_properties]
        INSIDE_RESULTS.write_text(json.dumps(found), encoding="utf-8")
        return
    rows: dict[str, str] = {}
    for report in reports:
        area = report.nodeid.split("/")[1]
        for what, (target, value) in report.user_properties:
            rows[area] = rows.get(area, "") + f"| {what} | {target} | {value} |\n"
    for area, text in rows.items():
        table = f"| what | target | measured |\n|---|---|---|\n{text}"
        terminalreporter.write(f"\n{table}")
        (RESULTS / f"{area}.md").write_text(table, encoding="utf-8")


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Measured:
    """Says what was measured as soon as it is, and puts it into the table of the end."""

    def say(what: str, value: object, target: str = "") -> None:
        print(f"{what}: {value}{target and f' (target: {target})'}", flush=True)
        record_property(what, (target, str(value)))

    return say


@pytest.fixture
def times(request: pytest.FixtureRequest) -> Callable[[int], int]:
    """How often to do what is repeated: as is said, or so often."""
    return lambda usual: request.config.getoption("times") or usual


@pytest.fixture
def only(request: pytest.FixtureRequest) -> str:
    """A word of the cases that are asked for."""
    return str(request.config.getoption("only"))


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Of every random choice."""
    return int(request.config.getoption("seed"))


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A real cluster, brought up and down again; nothing of it may be left.

    Raises:
        MachineError: if there is none to be had; where only the core was asked for, which CI runs
            wherever it is, the tests are skipped instead.
    """
    if INSIDE in os.environ:
        yield Cluster(Path(os.environ[INSIDE]))
        return
    if reason := unusable():
        if all(item.get_closest_marker("core") for item in request.session.items):
            pytest.skip(reason)
        raise MachineError(reason)
    found = Cluster.find()
    before = found.remains()
    try:
        found.start()
        yield found
    finally:
        with program.undisturbed():
            found.down()
    assert not found.remains() - before


@pytest.fixture(scope="session")
def platform(cluster: Cluster) -> Cluster:
    """The cluster, with every image that the local overlay names."""
    if INSIDE not in os.environ:
        cluster.load_images()
    return cluster
