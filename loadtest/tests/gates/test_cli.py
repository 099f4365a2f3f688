"""The program: its formats, its exit codes, its errors."""

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

GATES = str(Path(sys.executable).parent / "gates")
DESIGN = "loadtest/tests/gates/design.yaml"


def run(*arguments, root, **options):
    return subprocess.run(
        [GATES, *arguments], cwd=root, capture_output=True, text=True, check=False, **options
    )


def test_our_gates_exit_0_and_the_designs_exit_1(root):
    assert run("lint", root=root).returncode == 0
    assert run("lint", DESIGN, root=root).returncode == 1


def test_a_stream_is_read(root):
    text = (root / DESIGN).read_text()
    assert run("lint", "-", root=root, input=text).returncode == 1


@pytest.mark.parametrize("path", ["no/such/folder", "loadtest/locustfile.py", "docs"])
def test_what_cannot_be_read_is_one_line_and_exit_2(root, path):
    done = run("lint", path, root=root)
    assert done.returncode == 2
    assert done.stderr.startswith("gates: ")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


def test_the_machine_formats_parse_and_agree_on_the_number_of_findings(root):
    told = {f: run("lint", DESIGN, "-o", f, root=root).stdout for f in ("json", "sarif", "junit")}
    findings = json.loads(told["json"])["findings"]
    assert len(json.loads(told["sarif"])["runs"][0]["results"]) == len(findings)
    assert len(ET.fromstring(told["junit"])) == len(findings)
    github = run("lint", DESIGN, "-o", "github", root=root).stdout.splitlines()
    assert len(github) == len(findings)
    assert all(line.startswith(("::error file=", "::warning file=")) for line in github)
    assert run("lint", DESIGN, "-o", "markdown", root=root).stdout.count("\n| error") > 5


def test_queries_are_printed_as_the_controller_would_send_them(root):
    printed = run("lint", "--queries", root=root).stdout
    assert "{{" not in printed
    assert 'rollouts_pod_template_hash="latest0hash", status=~"5.."}[2m]' in printed


def test_help_teaches(root):
    told = run("lint", "--help", root=root).stdout
    assert "exit codes:" in told
    assert "gates.gridos/ignore" in told
