"""What documents tell a person to type is understood by the programs; acceptance runs it."""

import contextlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from canary.cli import parser

_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
_CONTINUED = re.compile(r"\\\n\s*")
# Up to what the shell makes of the rest: a comment, a redirection or another command.
_CALL = re.compile(r"(?:^|[(|;&]) *(?:\.venv/bin/)?canary ([^\n#|&;<>)]+)", re.MULTILINE)
# A command of ours in a sentence, which may be wrapped: its program, its own command, and the rest.
_NAMED = re.compile(
    r"`(?:\.venv/bin/|ci/run-)?(canary|gridos|loadtest|observe|pipeline)\s+([a-z][a-z-]+)([^`]*)`"
)
_OPTION = re.compile(r"(?:^|\s)(--[a-z-]+|-[a-z])(?=[\s=]|$)")


@pytest.fixture(scope="module")
def pages(root):
    """The text of each page."""
    listed = subprocess.run(
        ["git", "ls-files", "*.md"], cwd=root, check=True, capture_output=True, text=True
    )
    return {page: (root / page).read_text(encoding="utf-8") for page in listed.stdout.split()}


@pytest.fixture(scope="module")
def commands(pages):
    """(page, words) of each call of `canary` in a code block."""
    return [
        (page, shlex.split(call))
        for page, text in pages.items()
        for block in _BLOCK.findall(text)
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


def _help(program, command, capsys):
    """What a program says of one of its commands; nothing if it has no such."""
    if program != "canary":
        asked = [Path(sys.executable).with_name(program), command, "--help"]
        return subprocess.run(asked, check=False, capture_output=True, text=True).stdout
    with contextlib.suppress(SystemExit):
        parser().parse_args([command, "--help"])
    return capsys.readouterr().out


def test_every_command_of_ours_in_a_sentence_is_known_with_its_options(pages, capsys):
    named = {}
    for page, text in pages.items():
        # What was, is told there.
        for program, command, rest in _NAMED.findall(text) if page != "CHANGELOG.md" else ():
            uses = named.setdefault((program, command), set())
            uses |= {(page, option) for option in _OPTION.findall(rest)} or {(page, "--help")}
    assert len(named) > 15
    unknown = []
    for (program, command), uses in named.items():
        known = _OPTION.findall(re.sub(r"[][(){},|]", " ", _help(program, command, capsys)))
        unknown += [f"{page}: {program} {command} {o}" for page, o in uses if o not in known]
    assert unknown == []
