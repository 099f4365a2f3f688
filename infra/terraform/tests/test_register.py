"""What registers a runner, over a server in place of GitHub's and Azure's APIs."""

import json
import os
import shutil
import subprocess

import pytest
import workspace
from observe import http_stub

from canary.runtime import processes

SCRIPT = workspace.SOURCE / "runners/register"
JOB = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.App/jobs/isolated"
CONTAINER = {"name": "runner", "image": "runner@sha256:0", "command": ["bash"]}

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("bash", "curl", "jq", "openssl"))),
    reason="needs bash, curl, jq and openssl on PATH, as the runner image has them",
)


@pytest.fixture(scope="module")
def key():
    made = subprocess.run(["openssl", "genrsa", "2048"], capture_output=True, text=True, check=True)
    return made.stdout


def answer(path, states):
    """As documented."""
    if path.endswith("/access_tokens"):
        return {"token": "installation"}
    if path.endswith("/generate-jitconfig"):
        return {"encoded_jit_config": "once"}
    if path.startswith("/token"):
        return {"access_token": "azure"}
    if "/start" in path:
        return {"name": "isolated-1"}
    return {"properties": {"status": states.pop(0)}}


def register(key, states):
    """Runs it; returns how it ended, and what was asked, with which token."""
    asked = []

    def apis(request):
        body = json.loads(http_stub.sent(request) or "null")
        asked.append((request.path, request.headers["Authorization"], body))
        return 200, json.dumps(answer(request.path, states)).encode()

    server = http_stub.Server(http_stub.answering(apis))
    address = f"http://127.0.0.1:{server.port}"
    given = {
        "APP_ID": "1",
        "APP_KEY": key,
        "INSTALLATION_ID": "2",
        "GROUP_ID": "3",
        "ORGANIZATION": "example",
        "LABELS": "gridos-dev-weu",
        "CLIENT_ID": "4",
        "GITHUB_API": address,
        "AZURE_API": address,
        "IDENTITY_ENDPOINT": f"{address}/token",
        "IDENTITY_HEADER": "header",
        "RUNNER_JOB": JOB,
        "CONTAINER": json.dumps(CONTAINER),
        "POLL_S": "0",
    }
    try:
        command = ["bash", "-c", SCRIPT.read_text()]  # as the container has it
        environment = {"PATH": os.environ["PATH"], **given}
        done = processes.run(command, env=environment, capture_output=True, text=True, timeout=60)
    finally:
        server.stop()
    return done, asked


def test_a_runner_is_started_with_a_configuration_for_one_job_and_nothing_else(key):
    done, asked = register(key, ["Running", "Succeeded"])
    assert done.returncode == 0, done.stderr
    starts = [(token, body) for path, token, body in asked if path.startswith(f"{JOB}/start")]
    env = [{"name": "JIT_CONFIG", "value": "once"}]
    assert starts == [("Bearer azure", {"containers": [CONTAINER | {"env": env}]})]
    assert key not in json.dumps(starts)


def test_it_registers_in_the_group_of_the_organisation_with_its_label(key):
    _, asked = register(key, ["Succeeded"])
    ((token, body),) = [
        (t, b) for path, t, b in asked if path == "/orgs/example/actions/runners/generate-jitconfig"
    ]
    assert token == "Bearer installation"
    assert body["runner_group_id"] == 3
    assert body["labels"] == ["self-hosted", "gridos-dev-weu"]


def test_it_stays_until_the_runner_has_ended_so_that_none_is_started_for_the_same_job(key):
    done, asked = register(key, ["Processing", "Running", "Running", "Failed"])
    assert len([path for path, *_ in asked if "/executions/isolated-1" in path]) == 4
    assert done.stdout.rstrip().endswith(": Failed")
    assert not any(word in done.stdout + done.stderr for word in ("once", "installation", "azure"))
