"""Whatever is sent, no 5xx and no breach of the OpenAPI document: schemathesis and a live pod.

Two of its checks are left out: `positive_data_acceptance`, because a bus that does not exist is
refused however well its id is formed, and `ignored_auth`, whose requests all come with a key.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from acceptance.calling import quietly
from acceptance.services import KEY, WRITABLE, Service

STATELESS = "examples,coverage,fuzzing"
# At length, stateful and all.
TIMEOUT_S = 7200
LEFT_OUT = "positive_data_acceptance,ignored_auth"


@dataclass(frozen=True)
class Outcome:
    """Requests sent, as the service counted them; statuses of 500 and above; and what was found."""

    requests: int
    server_errors: int
    passed: bool
    report: str


def run(
    folder: Path,
    database_url: str,
    examples: int,
    seed: int,
    phases: str,
) -> Outcome:
    """Sends up to `examples` generated requests to each operation, and as many in each phase."""
    (folder / "schemathesis.toml").write_text(CONFIGURATION)
    with Service(folder, {**WRITABLE, "GRIDOS_DATABASE_URL": database_url}) as pod:
        pod.start().await_ready()
        command = [*_command(pod.url, examples, seed), "--phases", phases]
        done = quietly(*command, cwd=folder, timeout=TIMEOUT_S)
    written = (json.loads(line) for line in pod.log.read_text("utf-8").splitlines() if "{" in line)
    lines = [line for line in written if line.get("logger") == "gridos.access"]
    errors = sum(line["status"] >= 500 for line in lines)
    return Outcome(len(lines), errors, done.returncode == 0, done.stdout + done.stderr)


# Too large is a rejection too, which schemathesis does not count as one by itself.
CONFIGURATION = """
[checks.negative_data_rejection]
expected-statuses = ["4xx"]
"""


def _command(url: str, examples: int, seed: int) -> list[str]:
    program = str(Path(sys.executable).parent / "schemathesis")
    command = [program, "run", f"{url}/v1/openapi.json", "--no-color", "--seed", str(seed)]
    command += ["--max-examples", str(examples), "--exclude-checks", LEFT_OUT]
    command += ["--header", f"X-API-Key: {KEY}", "--continue-on-failure", "--warnings", "off"]
    # As many at once as the pod has threads to answer with.
    command += ["--workers", "4"]
    return [*command, "--suppress-health-check", "all"]
