#!/usr/bin/env python3
"""Run checkov and tflint over the roots, and ask az whether it knows what it is to be asked.

`make accept-terraform` does so, after the matrix. checkov's and az's requirements clash with ours,
so each has a lock and an environment of its own, in a cache.
tflint is a Go program; where it is not on PATH it is built from its module: minutes, once.
Exit 0 when nothing was found, 1 when something was, 4 when a linter is not available.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import azure_commands
import document
import workspace

from canary.errors import MachineError
from canary.runtime import binaries, packages, program

LOCKS = Path(__file__).resolve().parents[3] / "requirements"
TFLINT = "github.com/terraform-linters/tflint@v0.61.0"


def installed(name: str, lock: Path) -> Path:
    """A program of a lock's packages.

    Raises:
        UnavailableError: It cannot be installed.
    """
    folder = binaries.cache() / f"{lock.stem}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    if not folder.is_dir():
        fresh = folder.with_suffix(".new")
        made = ("venv", "--clear", "--relocatable", "--python", sys.executable, str(fresh))
        python = ("--python", str(fresh / "bin" / "python"))
        install = ("pip", "install", *python, *packages.LOCKED, "-r", str(lock))
        for step in (made, install):
            _must(packages.command(*step), packages.environment(), f"{name} cannot be installed")
        fresh.rename(folder)
    return folder / "bin" / name


def tflint() -> Path:
    """The tflint program.

    Raises:
        UnavailableError: It is neither on PATH nor can it be built.
    """
    if found := shutil.which("tflint"):
        return Path(found)
    program = binaries.cache() / "bin" / "tflint"
    if not program.is_file():
        if shutil.which("go") is None:
            raise workspace.UnavailableError("tflint is not on PATH; install it, or Go to build it")
        _must(["go", "install", TFLINT], {"GOBIN": str(program.parent)}, "tflint cannot be built")
    return program


def _must(command: Sequence[str | Path], more: dict[str, str], complaint: str) -> None:
    done = subprocess.run(
        command, env={**os.environ, **more}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise workspace.UnavailableError(f"{complaint}: {last}")


def check(copy: Path) -> tuple[int, int, list[str]]:
    """Run checkov; return how many checks passed, how many are skipped, and what failed."""
    options = ("--directory", str(copy), "--framework", "terraform", "--quiet", "-o", "json")
    done = workspace.said([str(installed("checkov", LOCKS / "checkov.txt")), *options])
    try:
        report = json.loads(done.stdout)
    except ValueError:
        raise workspace.UnavailableError(f"checkov: {done.stderr.strip()[-200:]}") from None
    failed = [
        f"{found['check_id']} {found['resource']}: {found['check_name']}"
        for found in report["results"]["failed_checks"]
    ]
    return report["summary"]["passed"], report["summary"]["skipped"], failed


def lint(copy: Path) -> list[str]:
    """Run tflint over each root; return what it found."""
    program = tflint()
    found = []
    for root in workspace.ROOTS:
        workspace.initialise(copy / root)
        command: list[str | Path] = [
            program,
            f"--config={copy / '.tflint.hcl'}",
            "--format=compact",
        ]
        done = workspace.said(command, copy / root)
        if done.returncode not in (0, 2):
            raise workspace.UnavailableError(f"tflint: {done.stderr.strip()[-200:]}")
        found += [line for line in done.stdout.splitlines() if ": " in line]
    return found


def main(arguments: Sequence[str]) -> int:
    """Print what was found."""
    program.parser("linters", description=__doc__).parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        copy = workspace.copy(Path(scratch) / "terraform")
        try:
            passed, skipped, failed = check(copy)
            linted = lint(copy)
            commands = sorted(azure_commands.written())
            unknown = list(azure_commands.unknown(installed("az", LOCKS / "runner.txt"), commands))
        except workspace.UnavailableError as cause:
            raise MachineError(str(cause)) from None
    reasons = len(document.skips())
    uncounted = [] if skipped == reasons else [f"checkov skipped {skipped}, with {reasons} reasons"]
    complaints = [*failed, *uncounted, *linted, *unknown]
    sys.stdout.writelines(f"{line}\n" for line in complaints)
    sys.stdout.write(
        f"checkov: {passed} passed, {len(failed)} failed, {skipped} skipped with a reason; "
        f"tflint: {len(linted)} found; az: {len(commands)} commands, {len(unknown)} unknown\n"
    )
    return program.BAD if complaints else program.GOOD


if __name__ == "__main__":
    sys.exit(program.run("linters", main))
