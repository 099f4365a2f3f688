#!/usr/bin/env python3
"""Say which step of the way from an empty subscription to a running service comes next.

Looks at the files, at Azure (az) and at GitHub (gh), changes nothing, and prints what is there and
what is missing, with the step of docs/azure.md that brings it. Ends at the first step
that is not done, since those after it rest on it.

Exit codes: 0 everything is there, 1 something is missing, 2 unusable input, 3 something could not
be looked at.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import configuration
import steps
import workspace
import write_overlay
from steps import Check, Names

from canary.runtime import program as exits

PROGRAMS = ("az", "gh", "git", "jq", "terraform")
TIME_LIMIT_S = 60

# How az and gh say that something is not there, in contrast to not being allowed or able to look.
ABSENT = re.compile(r"not ?found|could not be found|does not exist|HTTP 404", re.IGNORECASE)
# What the examples have and nobody's own names do.
EXAMPLE = re.compile(r"example|00000000-0000-4000-8000-|sha256:0{64}")


@dataclass(frozen=True)
class Finding:
    """What a check found: `there`, `missing` or `unseen`, and why in a line."""

    check: Check
    state: str
    reason: str = ""


Ask = Callable[[tuple[str, ...]], subprocess.CompletedProcess[str]]


def files(its: Names, root: Path) -> Iterator[Finding]:
    """What can be told without asking anybody: programs, and names that are still the examples'."""
    for program in PROGRAMS:
        there = "there" if shutil.which(program) else "missing"
        yield Finding(Check(1, program, (), remedy=f"install {program}"), there)
    terraform = root / "infra" / "terraform"
    settings = {
        2: (
            terraform / "bootstrap" / "gridos.tfvars",
            terraform / "environments" / f"{its.environment}.tfvars",
            terraform / "gitops" / "environments" / f"{its.environment}.tfvars",
        ),
        13: (root / "deploy" / "overlays" / its.environment / write_overlay.FILE,),
    }
    for step, paths in settings.items():
        for path in paths:
            yield from examples(step, path, root)


def examples(step: int, path: Path, root: Path) -> Iterator[Finding]:
    """Name each line of a file that still has an example in it."""
    where = path.relative_to(root)
    found = False
    for number, line in enumerate(path.read_text().splitlines(), 1):
        code = line.partition("#")[0]
        if not EXAMPLE.search(code):
            continue
        found = True
        check = Check(step, f"{where}:{number}, your own name", ())
        if "sha256:" in code:
            # The image comes of a step of its own.
            check = Check(7, "the runner image, by its digest", ())
        yield Finding(check, "missing", f"{where}:{number} has {code.strip()}")
    if not found:
        yield Finding(Check(step, f"{where}, with your own names", ()), "there")


def examine(check: Check, ask: Ask) -> Finding:
    """Ask, and judge the answer."""
    try:
        done = ask(check.command)
    except FileNotFoundError:
        return Finding(check, "unseen", f"{check.command[0]} is not installed")
    except (OSError, subprocess.TimeoutExpired) as cause:
        return Finding(check, "unseen", str(cause))
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    if done.returncode != 0:
        return Finding(check, "missing" if ABSENT.search(done.stderr) else "unseen", last)
    said = done.stdout.strip()
    if check.holds(said):
        return Finding(check, "there")
    return Finding(check, "missing", f"it is {said}" if said else "")


def ask(command: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """Run a command that only reads."""
    return workspace.said(command, time_limit_s=TIME_LIMIT_S)


def examine_all(known: Iterable[Finding], to_ask: Iterable[Check], ask: Ask) -> list[Finding]:
    """Look at one step after the other, and end with the first that is not done."""
    of_files, of_checks = list(known), list(to_ask)
    found: list[Finding] = []
    for step in steps.STEPS:
        here = [finding for finding in of_files if finding.check.step == step]
        here += [examine(check, ask) for check in of_checks if check.step == step]
        found += here
        if any(finding.state != "there" for finding in here):
            break
    return found


def report(its: Names, found: list[Finding]) -> Iterator[str]:
    """What was found, a line each, and what to do next."""
    for finding in found:
        why = f" ({finding.reason})" if finding.reason else ""
        yield f"{finding.check.step:>3}  {finding.state:<8} {finding.check.what}{why}"
    undone = [finding for finding in found if finding.state != "there"]
    if not undone:
        yield f"{its.environment}: everything is there"
        return
    step = undone[0].check.step
    yield f"{its.environment}: next, step {step} of docs/azure.md: {steps.STEPS[step]}"
    remedies = dict.fromkeys(finding.check.remedy for finding in undone)
    yield from (f"     {remedy}" for remedy in remedies if remedy)


def main(arguments: list[str], ask: Ask = ask) -> int:
    """Look, and print what is there and what is missing."""
    parser = argparse.ArgumentParser("preflight", description=__doc__.splitlines()[0])
    parser.add_argument("environment", help="dev, staging or production")
    parser.add_argument(
        "--repository", default=os.environ.get("REPO", ""), metavar="OWNER/NAME",
        help="on GitHub; otherwise that of the .tfvars",
    )  # fmt: skip
    given = parser.parse_args(arguments)
    try:
        its = steps.names(given.environment)
    except ValueError as cause:
        sys.stderr.write(f"preflight: {cause}\n")
        return exits.UNUSABLE
    root = configuration.SOURCE.parent.parent
    known = files(its, root)
    to_ask = steps.checks(its, steps.secrets(), given.repository or steps.repository(its))
    found = examine_all(known, to_ask, ask)
    sys.stdout.writelines(f"{line}\n" for line in report(its, found))
    states = {finding.state for finding in found}
    if "missing" in states:
        return exits.BAD
    return exits.NO_VERDICT if "unseen" in states else exits.GOOD


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
