"""The program as its user runs it, against the real service on a real database."""

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from xml.etree import ElementTree as ET

import pytest
from loadtesting import cli

from acceptance.service import wire
from canary.runtime.waiting import wait_until

KEY = "load-key"


@pytest.fixture
def start(serve):
    """Starts the service with faults, until the test ends."""
    with ExitStack() as stack:

        def start(faults=""):
            given = {"GRIDOS_API_KEYS": KEY, "GRIDOS_FAULTS": faults}
            return stack.enter_context(serve(**given))

        yield start


@pytest.fixture
def key_file(tmp_path):
    file = tmp_path / "key"
    file.write_text(KEY + "\n")
    return file


@pytest.fixture
def loadtest(root, tmp_path, monkeypatch, capsys):
    """Runs the program; returns (exit code, what it printed, the run's document or None)."""
    monkeypatch.chdir(root)

    def run(*arguments):
        code = cli.main([*arguments, "--out", str(tmp_path / "out")])
        files = sorted((tmp_path / "out").glob("2*/result.json"))
        document = json.loads(files[-1].read_text()) if files else None
        said = capsys.readouterr()
        return code, said.out + said.err, document

    return run


def assert_nothing_failed(code, said, document):
    """On a busy machine it may be slow, and says so; nothing may fail or be lost."""
    results = {check["name"]: check["result"] for check in document["checks"]}
    assert code in (0, 1, 3), said
    assert {results[name] for name in ("error-ratio", "lost-ratio", "refused-ratio")} == {"PASS"}


def test_a_smoke_run_of_the_whole_mix(start, loadtest, key_file, tmp_path):
    url = start().url
    code, said, document = loadtest(
        *("run", "smoke", "--host", url, "--api-key-file", str(key_file), "--rate", "80"),
        *("--seconds", "3", "--service-metrics", f"{url}/metrics"),
    )
    assert_nothing_failed(code, said, document)
    posted = document["routes"]["/v1/readings"]
    assert posted["outcomes"] == {"ok": posted["requests"]}
    folder = next((tmp_path / "out").glob("2*"))
    assert ",304," in (folder / "samples.jsonl").read_text()
    assert document["counts"]["finished"] == document["planned"] == document["overall"]["requests"]
    both = document["service"]
    assert both["counted_by_service"] == both["sent"] == document["planned"]
    assert both["before_service_s"] > 0
    assert ET.parse(folder / "junit.xml").getroot().get("tests") == str(len(document["checks"]))
    assert "<svg" in (folder / "report.html").read_text()
    assert document["profile"]["name"] in (folder / "summary.md").read_text()
    for text in (said, (folder / "summary.md").read_text()):
        assert "counted by the service: 0 lost before it" in text


def test_a_release_that_fails_is_failed_and_stopped_early(start, loadtest):
    url = start("errors=30%").url
    code, said, document = loadtest("run", "errors-bad", "--host", url)
    assert code in (1, 3), said
    assert "error-ratio" in said
    assert document["overall"]["outcomes"]["failed"] > 6
    assert document["overall"]["unseen"] == 0
    assert not document["complete"]


def test_a_target_that_is_killed_is_told_apart(start, loadtest):
    service = start()

    def kill():
        assert wait_until(lambda: wire.counted(service.ask("/metrics")[1]) > 40, timeout_s=60)
        service.signal(signal.SIGKILL)

    with ThreadPoolExecutor(1) as killer:
        killed = killer.submit(kill)
        sent = ("--host", service.url, "--rate", "40", "--seconds", "25")
        code, said, _ = loadtest("run", "smoke", *sent)
        killed.result()
    assert code == 1, said
    assert "target-gone: no response since second" in said


def test_closed_users_are_there_for_those_who_want_them(start, loadtest):
    url = start().url
    code, said, document = loadtest(
        *("run", "smoke", "--host", url, "--closed", "--rate", "80", "--seconds", "3")
    )
    assert_nothing_failed(code, said, document)
    assert document["closed"]
    assert document["overall"]["requests"] > 50


@pytest.mark.acceptance
def test_a_kept_baseline_is_compared_with(start, loadtest):
    url = start().url
    run = ("run", "smoke", "--host", url, "--rate", "60", "--seconds", "6", "--no-early-stop")
    loadtest(*run, "--keep-baseline")
    _, said, _ = loadtest(*run)
    file = next(line.split()[-1] for line in said.splitlines() if line.startswith("  result"))
    code, said, _ = loadtest("compare", file)
    assert code in (0, 1, 3), said
    assert "p95-latency" in said
    assert "baselines" in said


def test_the_generators_own_metrics_are_served():
    from loadtesting.metrics import Metrics
    from loadtesting.model import Outcome
    from openarrivals.samples import Sample

    metrics = Metrics()
    metrics.take([(Sample("/", 200, "", 0.0, 0.2, 0.0), Outcome.OK)], dropped=2)
    value = metrics.registry.get_sample_value
    assert value("loadtest_requests_total", {"route": "/", "outcome": "ok"}) == 1
    assert value("loadtest_request_duration_seconds_bucket", {"route": "/", "le": "0.25"}) == 1
    assert value("loadtest_dropped_total") == 2
