"""The README of openarrivals: its user, its command, and a server that answers."""

import os
import re
import sys
from pathlib import Path

from openarrivals import shapes
from openarrivals.schedule import Plan

from acceptance import documents
from acceptance.load.fast_server import answering

PAGE = "loadtest/openarrivals/README.md"


def test_the_command_of_the_page_sends_its_whole_schedule_with_the_user_of_the_page(
    root, tmp_path, measured
):
    text = (root / PAGE).read_text(encoding="utf-8")
    user = re.search(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)[1]
    (tmp_path / "visitor.py").write_text(user, encoding="utf-8")
    (command,) = documents.commands(PAGE)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with answering(int(re.search(r"127\.0\.0\.1:(\d+)", command)[1])):
        done = documents.typed(command, tmp_path, {**os.environ, "PATH": path})
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    due = len(list(Plan(shapes.parse(re.search(r'-shape "(.+)"', command)[1])).due()))
    (line,) = re.findall(r"open arrivals: .*", said)
    measured(command, line)
    assert line.startswith(f"open arrivals: {due} due, ")
    assert line.endswith(" 0 without an end")
