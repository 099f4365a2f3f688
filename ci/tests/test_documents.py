"""What documents tell a person to type is understood by the programs; acceptance runs it."""

import re
import shlex
import subprocess

import pytest

from canary.cli import parser

_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
_CONTINUED = re.compile(r"\\\n\s*")
# Up to what the shell makes of the rest: a comment, a redirection or another command.
_CALL = re.compile(r"(?:^|[(|;&]) *(?:\.venv/bin/)?canary ([^\n#|&;<>)]+)", re.MULTILINE)


@pytest.fixture(scope="module")
def commands(root):
    """(page, words) of each call of `canary` in a code block."""
    listed = subprocess.run(
        ["git", "ls-files", "*.md"], cwd=root, check=True, capture_output=True, text=True
    )
    return [
        (page, shlex.split(call))
        for page in listed.stdout.split()
        for block in _BLOCK.findall((root / page).read_text(encoding="utf-8"))
        for call in _CALL.findall(_CONTINUED.sub(" ", block))
    ]


def test_every_canary_command_of_a_document_is_understood(commands):
    assert len(commands) > 20
    refused = []
    for page, words in commands:
        try:
            parser().parse_args(words)
        except SystemExit as ended:
            if ended.code:
                refused.append(f"{page}: canary {shlex.join(words)}")
    assert refused == []
