"""Every curl of the README is run against a live server."""

import json
import re
import subprocess
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()
COMMANDS = [
    command
    for block in re.findall(r"```sh\n(.*?)\n```", README, re.DOTALL)
    for command in re.split(r"\n(?=curl|printf)", block)
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_curl_of_the_readme_answers_what_it_promises(server, command):
    variables = {"URL": f"http://127.0.0.1:{server.port}", "KEY": "a-key", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        ["sh", "-c", command], env=variables, capture_output=True, text=True, check=True
    )
    answer = json.loads(done.stdout)
    assert not str(answer.get("type", "")).startswith("urn:gridos:problem"), answer


def test_no_curl_of_the_page_is_left_out():
    assert 0 < len(COMMANDS) == README.count("curl -") == sum("curl -" in c for c in COMMANDS)
