"""The Makefile: what documents and workflows call by `make`, there is."""

import os
import re
import subprocess

import pytest

_CALLED = re.compile(r"(?:^|[`\s])make ([a-z][a-z-]*)(?=[`\s]|$)", re.MULTILINE)
_CODE = re.compile(r"```sh\n.*?```|`[^`\n]+`", re.DOTALL)


@pytest.fixture(scope="module")
def tracked(root):
    """The text of every tracked document and workflow, by path."""
    listed = subprocess.run(
        ["git", "ls-files", "*.md", ".github/workflows/*.yaml"],
        cwd=root, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return {path: (root / path).read_text() for path in listed.stdout.split()}


def test_help_lists_every_target_but_the_parts_of_lint(root):
    declared = re.findall(r"^\.PHONY: (.+)", (root / "Makefile").read_text(), re.MULTILINE)
    targets = {name for line in declared for name in line.split() if name != "$(LINTS)"}
    said = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=root, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert len(targets) > 30
    assert set(re.findall(r"^  ([a-z-]+) +\S", said, re.MULTILINE)) == targets


def test_every_target_that_a_document_or_workflow_names_exists(root, tracked):
    targets = set()
    for line in (root / "Makefile").read_text().splitlines():
        if match := re.match(r"([a-z][a-z -]*):(?!=)", line):
            targets |= set(match[1].split())
    called = {
        (path, target)
        for path, text in tracked.items()
        for code in (_CODE.findall(text) if path.endswith(".md") else [re.sub(r"#.*", "", text)])
        for target in _CALLED.findall(code)
    }
    assert len(called) > 30
    assert {(path, target) for path, target in called if target not in targets} == set()


# Each is a legal name of a branch, or could be typed; each would make a file named `y` if it ran.
_HOSTILE = [
    "x;touch${IFS}y", "x;touch y", "`touch y`", "$(touch y)", "$$(touch y)", "$(shell touch y)",
    "${shell touch y}", "$(eval $(shell touch y))", "x>y", "x|touch y", "x&&touch y", "x&touch y",
    "x';touch y;'", 'x";touch y;"', "x\ntouch y", "x\\", "#x", "*", "?", "~", "$(error stop)", "@x",
    "$(info $(shell touch y))", "-x", "$(file >y,x)",
]  # fmt: skip
# Prints the arguments that make gives it, whichever program it stands for.
_ECHO = """#!/bin/sh
printf '<%s>' "${0##*/}" "$@"; echo
"""


@pytest.fixture
def made(root, tmp_path):
    """Runs make on our Makefile, with programs that print what they are called with."""
    (tmp_path / "Makefile").write_bytes((root / "Makefile").read_bytes())
    for program in ("canary", "observe", "python", "diff-cover"):
        file = tmp_path / ".venv/bin" / program
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(_ECHO)
        file.chmod(0o755)
    for script in ("ci/install.py", "ci/terraform", "ci/lock"):
        file = tmp_path / script
        file.parent.mkdir(exist_ok=True)
        file.write_text("" if script.endswith(".py") else _ECHO)
        file.chmod(0o755)
    (tmp_path / "service").mkdir()
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}

    def run(*arguments, **variables):
        return subprocess.run(
            ["make", "--no-print-directory", *arguments], cwd=tmp_path, capture_output=True,
            text=True, check=False, env=environment | variables,
        )  # fmt: skip

    yield run
    assert not (tmp_path / "y").exists()


@pytest.mark.parametrize("value", _HOSTILE)
def test_no_value_is_run_and_each_arrives_as_it_was_given(made, value):
    targets = ["rehearse", "serve", "observe", "test-cluster", "accept-gitops", "lock"]
    targets += ["test", "coverage", "accept-load", "terraform-plan"]
    names = ["CANDIDATE", "STABLE", "TARGET", "SCALE", "PORT", "FAULT", "PART", "ONLY", "UPGRADE"]
    names += ["TESTS", "COMPARE", "FLOOR", "ENVIRONMENT"]
    said = made("-k", *targets, *(f"{name}={value}" for name in names)).stdout
    first = f"<--target={value}><--time-scale={value}><--stable={value}><--candidate={value}>"
    assert f"<canary><rehearse>{first}" in said
    assert f"<canary><serve><--port={value}>" in said
    assert "<observe><up>" + "".join(f"<--fault={word}>" for word in value.split()) in said
    assert f"<--compare-branch={value}><--fail-under={value}>" in said
    assert f"<acceptance><conformance><--part><{value}>" in said
    assert f"<acceptance><load><-k><{value}>" in said
    assert f"<terraform><plan><{value}>" in said


def test_a_value_of_the_environment_is_not_run_either(made):
    value = "x;touch y $(touch y) `touch y`"
    said = made("rehearse", CANDIDATE=value).stdout
    assert said == f"<canary><rehearse><--target=local><--candidate={value}>\n"


def test_the_python_is_a_program_and_no_command(made):
    done = made("rehearse", "PYTHON=python3;touch y")
    assert (done.returncode, done.stdout) == (2, "")


def test_several_faults_are_several_words(made):
    said = made("rehearse", "FAULT=errors=3%  latency=400ms@10%").stdout
    assert (
        said == "<canary><rehearse><--target=local><--fault=errors=3%><--fault=latency=400ms@10%>\n"
    )


@pytest.mark.parametrize("unknown", ["FAULTS", "CANDIDATES", "fault", "SHELL", "BIN"])
def test_an_unknown_variable_is_refused_with_those_there_are(made, unknown):
    done = made("rehearse", f"{unknown}=$(shell touch y)")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert f"unknown: {unknown}. What can be set is PYTHON PORT FAULT STABLE CANDIDATE" in line


def test_every_variable_that_can_be_set_is_used(root):
    text = (root / "Makefile").read_text()
    options = re.search(r"^OPTIONS := ((?:.*\\\n)*.*)", text, re.MULTILINE)[1].split()
    options.remove("\\")
    assert {name for name in options if not re.search(rf"\$\${{?{name}\b", text)} == set()
    assert {name for name in re.findall(r"\$\${?([A-Z]+)", text) if name not in options} <= {"PATH"}
    # Through make itself would be through the shell's parser.
    assert {name for name in options if f"$({name})" in text} == set()
