"""The program: its commands, what each imports, and how a shell completes them."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from acceptance.calling import call
from canary import cli
from canary.runtime import program

CANARY = Path(sys.executable).parent / "canary"


def run(*arguments, **options):
    return subprocess.run(
        [*arguments], capture_output=True, text=True, check=False, timeout=60, **options
    )


def test_help_lists_every_command_and_the_exit_codes():
    told = run(CANARY, "--help").stdout
    for name in cli.COMMANDS:
        assert f"\n    {name} " in told
    assert "exit codes:" in told


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_the_help_of_a_command_has_examples_and_fits_a_terminal(root, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    told = call(cli.main, (command, "--help"), root).stdout
    assert told.startswith(f"usage: canary {command} ")
    assert f"examples:\n  canary {command}" in told
    assert [line for line in told.splitlines() if len(line) > 80] == []


# What a command does not need may be absent, and takes a second to import.
HEAVY = {"numpy", "scipy", "locust", "psutil", "pydantic", "rich"}


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [
        (["--help"], set()),
        (["lint"], {"psutil"}),
        (
            ["power", "canary/tests/power/margins.yaml", "--releases", "20"],
            {"numpy", "scipy", "psutil"},
        ),
    ],
    ids=lambda value: " ".join(sorted(value)),
)
def test_a_command_imports_only_what_it_needs(root, arguments, needed):
    program = (
        "import sys\nfrom canary import cli\n"
        "try:\n    cli.main(sys.argv[1:])\n"
        "except SystemExit:\n    pass\n"
        f"print('imported', *sorted({HEAVY!r} & set(sys.modules)))"
    )
    told = run(sys.executable, "-c", program, *arguments, cwd=root).stdout
    imported = set(told.splitlines()[-1].split()[1:])
    assert imported <= needed


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_shell_completes_commands_and_their_options(tmp_path, shell):
    script = run(CANARY, "--completion", shell)
    assert script.returncode == 0
    for word in (*cli.COMMANDS, "--target", "--compare-queries"):
        assert word in script.stdout


def test_bash_takes_the_completions(tmp_path):
    file = tmp_path / "canary.bash"
    file.write_text(run(CANARY, "--completion", "bash").stdout)
    typed = (
        f"source {file}; COMP_WORDS=(canary re); COMP_CWORD=1; _shtab_canary canary re; "
        "echo ${COMPREPLY[@]}"
    )
    assert run("bash", "-c", typed).stdout.split() == ["rehearse", "replay"]


@pytest.mark.parametrize("given", [["deploy/base"], ["--manifests", "deploy/base"]])
def test_manifests_are_named_as_an_argument_or_by_the_option(root, given):
    done = run(CANARY, "lint", *given, cwd=root)
    assert done.returncode == 0
    assert "1 canary Rollout(s)" in done.stdout


def test_manifests_as_an_option_are_no_second_argument_on_any_python(root):
    """Python 3.13 makes a text of its own of each path, and in a folder of a checkout so do we."""
    assert program.place(argparse.SUPPRESS) is argparse.SUPPRESS
    done = run(CANARY, "power", "--manifests", "no-such", cwd=root / "docs")
    assert (done.returncode, "docs/no-such does not exist" in done.stderr) == (2, True)
