#!/usr/bin/env python3
"""Break each control on purpose and see that a test notices.

Each flip of `tests/flips.toml` turns one setting the wrong way, in a copy; each rule on a variable
is taken out in turn. The Terraform tests that guard it are run, and must fail by an assertion: a
copy that does not plan proves nothing. Prints the matrix; exit 0 when every flip was noticed, 1
when one was not, 2 when Terraform cannot be had, 4 when a flip no longer fits the code.
"""

import argparse
import json
import re
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import workspace

EXIT_NOTICED = 0
EXIT_MISSED = 1
EXIT_UNMEASURED = 2
EXIT_FLIP_BROKEN = 4

FLIPS = workspace.SOURCE / "tests" / "flips.toml"

# Which test file guards the rules on a root's variables.
GUARDS_OF_RULES = {
    ".": "refusals",
    "bootstrap": "bootstrap",
    "gitops": "gitops",
    "modules/naming": "naming",
}

# What Terraform calls an assertion that failed, and a refusal that did not come.
NOTICED = {"Test assertion failed", "Missing expected failure"}

RULE = re.compile(
    r'variable "(?P<variable>\w+)"|(?P<block>\n  validation \{\n.*?\n  \}\n)', re.DOTALL
)


@dataclass(frozen=True)
class Flip:
    """One setting turned the wrong way.

    Attributes:
        control: Row of the README's table that it breaks, or "rule" for a rule on a variable.
        title: What is wrong now, in a few words.
        root: The root it is in, such as `bootstrap`.
        file: The file, inside the root.
        old: What is there; white space counts as one space.
        new: What is put in its place.
        test: The test file that must notice, without its ending.
    """

    control: str
    title: str
    root: str
    file: str
    old: str
    new: str
    test: str


def listed() -> Iterator[Flip]:
    """Read the flips of `tests/flips.toml`."""
    for group in tomllib.loads(FLIPS.read_text())["group"]:
        for control, title, old, new in group["flips"]:
            root = group.get("root", ".")
            yield Flip(str(control), title, root, group["file"], old, new, group["test"])


def rules() -> Iterator[Flip]:
    """Make a flip of each rule on a variable: the rule is gone."""
    for root, test in GUARDS_OF_RULES.items():
        for path in sorted((workspace.SOURCE / root).glob("variables*.tf")):
            variable = ""
            for found in RULE.finditer(path.read_text()):
                variable = found["variable"] or variable
                if block := found["block"]:
                    title = f"{variable} takes anything: {reason(block)}"
                    yield Flip("rule", title, root, path.name, block, "\n", test)


def reason(block: str) -> str:
    """The first words of a rule's message, which say what it demands."""
    message = re.search(r'error_message = "([^"\\:;]*)', block)
    return message[1][:60].strip() if message else "no message"


def flipped(text: str, flip: Flip) -> str:
    """Turn the setting in a file's text.

    Raises:
        ValueError: The old text is not there exactly once.
    """
    pattern = r"\s+".join(re.escape(word) for word in flip.old.split())
    found = re.findall(pattern, text)
    if len(found) != 1:
        raise ValueError(f"{flip.file}: {flip.old!r} is there {len(found)} times, not once")
    return text.replace(found[0], flip.new)


def noticed_by(copy: Path, flip: Flip) -> str | None:
    """Break the copy, run the tests that guard it, mend it; return the run that noticed, or None.

    Raises:
        ValueError: The flip does not fit, or the broken copy does not even plan.
    """
    path = copy / flip.root / flip.file
    whole = path.read_text()
    path.write_text(flipped(whole, flip))
    try:
        done = workspace.terraform(
            copy / flip.root, "test", "-json", f"-filter=tests/{flip.test}.tftest.hcl"
        )
    finally:
        path.write_text(whole)
    return verdict([json.loads(line) for line in done.stdout.splitlines()])


def verdict(events: list[dict[str, object]]) -> str | None:
    """Read Terraform's events: the first run that failed by an assertion, or None if all passed.

    Raises:
        ValueError: Something failed, but no assertion did.
    """
    errors = [event for event in events if event.get("@level") == "error"]
    for event in errors:
        detail = event.get("diagnostic")
        if isinstance(detail, dict) and detail.get("summary") in NOTICED:
            return str(event.get("@testrun"))
    if errors:
        raise ValueError(f"the flip breaks the code itself: {errors[0].get('@message')}")
    return None


def prove(flips: list[Flip]) -> int:
    """Try each flip in turn and print a line for each."""
    missed = broken = 0
    with tempfile.TemporaryDirectory() as scratch:
        copy = workspace.copy(Path(scratch) / "terraform")
        for root in sorted({flip.root for flip in flips}):
            workspace.initialise(copy / root)
        for flip in flips:
            try:
                run = noticed_by(copy, flip)
            except ValueError as cause:
                broken += 1
                run = f"BROKEN: {cause}"
            missed += run is None
            sys.stdout.write(f"{flip.control:>4}  {flip.title:<72.72}  {run or 'MISSED'}\n")
            sys.stdout.flush()
    noticed = len(flips) - missed - broken
    sys.stdout.write(f"{len(flips)} flips: {noticed} noticed, {missed} missed, {broken} broken\n")
    if broken:
        return EXIT_FLIP_BROKEN
    return EXIT_MISSED if missed else EXIT_NOTICED


def main(arguments: list[str]) -> int:
    """Choose the flips and try them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="flips whose title or file contains this")
    only = parser.parse_args(arguments).only
    flips = [flip for flip in (*listed(), *rules()) if only in f"{flip.title} {flip.file}"]
    try:
        return prove(flips)
    except workspace.UnavailableError as cause:
        sys.stderr.write(f"skipped: {cause}\n")
        return EXIT_UNMEASURED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
