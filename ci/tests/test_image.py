"""The image, as a container: read-only, without a capability, as nobody.

GRIDOS_IMAGE names one that podman has; docs/pipeline.md says how to build it.
"""

import os
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from canary.runtime import processes

IMAGE = os.environ.get("GRIDOS_IMAGE")
HARD = (
    "--runtime=runc",
    "--network=host",
    "--read-only",
    "--tmpfs=/tmp",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--ulimit=nofile=1000:1000",
    "--ulimit=nproc=1000:1000",
)

pytestmark = pytest.mark.skipif(
    not (IMAGE and shutil.which("podman")),
    reason="needs podman, and GRIDOS_IMAGE=<an image it has>",
)


def podman(*arguments):
    return subprocess.run(
        ["podman", *arguments], capture_output=True, text=True, check=False, timeout=120
    )


@pytest.fixture
def served():
    """A container that serves without its database; returns its name and address."""
    port = processes.free_port()
    settings = {
        "GRIDOS_HOST": "127.0.0.1",
        "PORT": str(port),
        "GRIDOS_API_KEYS": "key",
        "GRIDOS_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none",
        "GRIDOS_FAULTS": "latency=2s",  # of the API's answers; probes are at once
    }
    given = [word for key, value in settings.items() for word in ("--env", f"{key}={value}")]
    name = f"gridos-test-{port}"
    started = podman("run", "--detach", "--name", name, *HARD, *given, IMAGE)
    assert started.returncode == 0, started.stderr
    address = f"http://127.0.0.1:{port}"
    end = time.monotonic() + 60
    while not answers(address) and time.monotonic() < end:
        time.sleep(0.1)
    yield name, address
    podman("rm", "--force", name)


def answers(address):
    try:
        with urllib.request.urlopen(f"{address}/livez", timeout=60) as answer:
            return answer.status == 200
    except OSError:
        return False


def test_it_serves_read_only_without_capabilities_and_as_nobody(served):
    name, address = served
    assert answers(address)
    assert podman("exec", name, "python", "-c", "import os; print(os.getuid())").stdout == "10001\n"
    wrote = podman("exec", name, "python", "-c", "open('/app/x', 'w')")
    assert "Read-only file system" in wrote.stderr
    status = podman("exec", name, "python", "-c", "print(open('/proc/1/status').read())").stdout
    assert "CapEff:\t0000000000000000" in status


def test_nothing_in_it_is_compiled_again_at_each_start(served):
    name, _ = served
    found = podman(
        "exec",
        name,
        "python",
        "-c",
        "import flask, gridos; print(flask.__cached__, gridos.__cached__)",
    )
    compiled = found.stdout.split()
    assert len(compiled) == 2
    for path in compiled:
        assert podman("exec", name, "test", "-e", path).returncode == 0, path


def status(address):
    try:
        with urllib.request.urlopen(address, timeout=60) as answer:
            return answer.status
    except urllib.error.HTTPError as refusal:
        return refusal.code


def in_flight(address):
    with urllib.request.urlopen(f"{address}/metrics", timeout=60) as answer:
        found = re.search(r"^http_requests_in_flight (\d+)", answer.read().decode(), re.MULTILINE)
    return int(found.group(1))


def test_it_answers_what_it_was_asked_before_it_ends(served):
    name, address = served
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(status, f"{address}/v1/feeders")
        end = time.monotonic() + 30
        while not in_flight(address):
            assert time.monotonic() < end
        podman("kill", "--signal=TERM", name)
        assert not asked.done()
        # There is no database, and it says so in order; a cut connection would raise here.
        assert asked.result(60) == 503
    assert podman("wait", name).stdout.strip() == "0"


def test_it_ends_in_order_when_it_is_asked_to(served):
    name, _ = served
    podman("stop", "--time", "60", name)
    ended = podman("inspect", name, "--format", "{{.State.ExitCode}}")
    assert ended.stdout.strip() == "0"


def test_bad_configuration_ends_it_at_once_with_one_line_that_names_the_remedy():
    done = podman("run", "--rm", *HARD, IMAGE)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "GRIDOS_DATABASE_URL" in done.stderr
