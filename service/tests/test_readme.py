"""Every curl of the README is run against a live server."""

import json
import re
import subprocess
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
COMMANDS = re.split(
    r"\n(?=curl|printf)",
    re.search(r"```sh\n(curl.*?)\n```", README.read_text(), re.DOTALL)[1],
)


@pytest.fixture(scope="module")
def server(serve):
    with serve(GRIDOS_API_KEYS="a-key:readings+networks") as server:
        yield server


@pytest.mark.parametrize("command", COMMANDS)
def test_a_curl_of_the_readme_answers_what_it_promises(server, command):
    variables = {"URL": f"http://127.0.0.1:{server.port}", "KEY": "a-key", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        ["sh", "-c", command], env=variables, capture_output=True, text=True, check=True
    )
    answer = json.loads(done.stdout)
    assert not str(answer.get("type", "")).startswith("urn:gridos:problem"), answer


def test_there_are_as_many_as_the_page_shows():
    assert len(COMMANDS) == 8
