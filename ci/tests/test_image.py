"""The image, as a container: read-only, without a capability, as nobody.

GRIDOS_IMAGE names one that podman has; docs/pipeline.md says how to build it.
"""

import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from acceptance.client import ask
from canary.runtime import processes
from canary.runtime.waiting import wait_until

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
    wait_until(lambda: answers(address), 60)
    yield name, address
    podman("rm", "--force", name)


def answers(address):
    return ask(f"{address}/livez").status == 200


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


def in_flight(address):
    metrics = ask(f"{address}/metrics").text
    return int(re.search(r"^http_requests_in_flight (\d+)", metrics, re.MULTILINE)[1])


def test_it_answers_what_it_was_asked_before_it_ends(served):
    name, address = served
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, f"{address}/v1/feeders", timeout_s=60)
        assert wait_until(lambda: in_flight(address), 30)
        podman("kill", "--signal=TERM", name)
        assert not asked.done()
        # There is no database, and it says so in order; a cut connection would be 0 here.
        assert asked.result(60).status == 503
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
