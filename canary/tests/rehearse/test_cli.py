"""The program: what it says when it cannot start, and that it leaves nothing behind."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import psutil
import pytest
import yaml

from acceptance.calling import call
from canary import cli
from canary.runtime import processes
from canary.runtime.waiting import wait_until
from canary.tests.argo import shapes
from canary.tests.machine import lives

CANARY = Path(sys.executable).parent / "canary"


def run(*arguments, root):
    return call(cli.main, arguments, root)


def assert_one_line(done, code, *words):
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith(("canary: ", "canary rehearse: "))
    assert done.stderr.count("\n") == 1
    for word in words:
        assert word in done.stderr


def test_help_explains_faults_exit_codes_and_what_is_left(root):
    done = run("rehearse", "--help", root=root)
    assert done.returncode == 0
    for word in ("errors=3%", "latency=400ms@10%", "3 no verdict", "report.html"):
        assert word in done.stdout


@pytest.mark.parametrize("fault", ["errors=3", "latency=fast", "sloth=1%", "errors=101%"])
def test_a_bad_fault_is_one_line_with_the_known_words(root, tmp_path, fault):
    done = run("rehearse", "--fault", fault, "--out", str(tmp_path), root=root)
    assert_one_line(done, 2, fault)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "before", "after", "said"),
    [
        (
            "rollout.yaml",
            *("replicas: 10", "replicas: 10\n  paused: true"),
            ("rollout.yaml line ", ": Rollout field spec.paused is not supported"),
        ),
        (
            "analysis-release-gates.yaml",
            *("name: release-gates", "name: other"),
            ("'release-gates' is referenced and missing", "other"),
        ),
    ],
    ids=["an unknown field", "a missing template"],
)
def test_what_is_wrong_with_a_manifest_is_one_line(root, tmp_path, name, before, after, said):
    base = shutil.copytree(root / "deploy/base", tmp_path / "base")
    (base / name).write_text((base / name).read_text().replace(before, after, 1))
    done = run("rehearse", "--manifests", str(base), "--out", str(tmp_path), root=root)
    assert_one_line(done, 2, *said)


def test_serve_runs_one_pod_with_a_seeded_database_until_it_is_ended(root):
    port = processes.free_port()
    serving = subprocess.Popen(
        [CANARY, "serve", "--port", str(port)],
        cwd=root,
        # The service's own variable, as a shell may hold it, is not read.
        env={**os.environ, "GRIDOS_DATABASE_URL": "postgresql://127.0.0.1:1/production"},
        stdout=subprocess.PIPE,
        text=True,
    )
    children = []

    def feeders():
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{port}/v1/feeders", timeout=60
            ) as answer:
                return json.load(answer)["feeders"]
        except OSError:
            return []

    try:
        assert wait_until(lambda: feeders() != [], timeout_s=60)
        assert feeders()[0]["id"] == "ieee33"
        children = psutil.Process(serving.pid).children(recursive=True)
    finally:
        serving.send_signal(signal.SIGINT)
        output, _ = serving.communicate(timeout=60)
    assert serving.returncode == 130
    assert "gridos-api-keys.keys: " in output
    assert wait_until(lambda: not any(map(lives, children)), timeout_s=60)


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="mounts a tiny disk")
def test_a_full_disk_is_one_line_with_the_remedy(root, tmp_path):
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", tmp_path], check=False
    )
    assert mounted.returncode == 0
    try:
        assert_one_line(
            run("rehearse", "--out", str(tmp_path), root=root), 4, "MB free and a run needs"
        )
    finally:
        subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM])
def test_ending_it_at_any_time_leaves_no_process_and_says_what_was_torn_down(
    root, tmp_path, ended_by
):
    rehearsal = subprocess.Popen(
        [CANARY, "rehearse", "--out", str(tmp_path)],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    process = psutil.Process(rehearsal.pid)

    assert wait_until(lambda: len(programs(process, "envoy", "gridos serve")) > 1, timeout_s=60)
    children = process.children(recursive=True)
    rehearsal.send_signal(ended_by)
    rehearsal.send_signal(signal.SIGINT)  # an impatient second one changes nothing
    output, _ = rehearsal.communicate(timeout=60)
    assert rehearsal.returncode == 130
    assert "Interrupted" in output
    assert "torn down" in output
    assert wait_until(lambda: not any(map(lives, children)), timeout_s=60)


def test_nothing_outlives_a_rehearsal_that_is_killed(root, tmp_path):
    rehearsal = subprocess.Popen(
        [CANARY, "rehearse", "--out", str(tmp_path)], cwd=root, stdout=subprocess.DEVNULL
    )
    process = psutil.Process(rehearsal.pid)
    assert wait_until(lambda: len(programs(process, "envoy", "gridos serve")) > 3, timeout_s=60)
    children = process.children(recursive=True)
    rehearsal.kill()
    rehearsal.wait()
    assert wait_until(lambda: not any(map(lives, children)), timeout_s=60)


def test_nothing_outlives_a_served_pod_whose_program_is_killed(root):
    port = processes.free_port()
    serving = subprocess.Popen(
        [CANARY, "serve", "--port", str(port)], cwd=root, stdout=subprocess.DEVNULL
    )
    assert wait_until(lambda: not processes.port_is_free(port), timeout_s=60)
    children = psutil.Process(serving.pid).children(recursive=True)
    assert programs(psutil.Process(serving.pid), "postgres")
    serving.kill()
    serving.wait()
    assert wait_until(lambda: not any(map(lives, children)), timeout_s=60)
    assert processes.port_is_free(port)


def programs(process, *names):
    """Those descendants whose command line names one of the programs."""
    found = []
    for child in process.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            line = " ".join(child.cmdline())
            if any(name in line for name in names):
                found.append(child)
    return found


def test_explain_names_a_metric_that_is_not_there_beside_what_is_refused(tmp_path, root):
    bodies = shapes.manifests(("basic", "datadog", "timed", "plain", "none"))
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all(bodies))
    given = ("--explain", "--manifests", str(tmp_path), "--without-metric")
    assert run("rehearse", *given, "datadog", root=root).returncode == 0
    done = run("rehearse", *given, "other", root=root)
    assert done.returncode == 2
    assert "provider.datadog is not supported" in done.stdout
    assert "has the metric 'other' — there are datadog" in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "contains 0 Rollouts"),
        ("kind: Rollout\nspec: {}\n", "spec.strategy is missing"),
    ],
)
def test_manifests_that_could_not_be_rehearsed_are_no_success_to_explain(
    text, said, tmp_path, root
):
    (tmp_path / "all.yaml").write_text(text)
    done = run("rehearse", "--explain", "--manifests", str(tmp_path), root=root)
    assert done.returncode == 2
    assert said in done.stdout + done.stderr
