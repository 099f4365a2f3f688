#!/usr/bin/env python3
"""Break each control on purpose and see that a test notices.

Each flip of `tests/flips.toml` turns one setting the wrong way, in a copy; each rule on a variable
is taken out in turn. The Terraform tests that assert it are run, and must fail by an assertion: a
copy that does not plan shows nothing. Prints the matrix; exit 0 when every flip was noticed, 1
when one was not, 2 when Terraform is not available, 4 when a flip no longer fits the code.
"""

import re
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

import workspace

from canary.errors import MachineError
from canary.runtime import program

MISSED = "MISSED"
BROKEN = "BROKEN"

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
        control: Row of docs/reference/controls.md that it breaks, or "rule": one on a variable.
        title: What is wrong now, in a few words.
        root: The root it is in, such as `bootstrap`.
        file: The file, inside the root.
        old: What is there; white space counts as one space.
        new: What is put in its place.
        test: The test file that must notice, without its ending.
        refused: For a rule on a variable, the variable: only runs that expect its refusal matter.
    """

    control: str
    title: str
    root: str
    file: str
    old: str
    new: str
    test: str
    refused: str = ""


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
                    yield Flip("rule", title, root, path.name, block, "\n", test, variable)


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


def runs_that_refuse(text: str, variable: str) -> str:
    """A test file without the runs that do not expect a variable's refusal; they cost time only."""
    head, *runs = re.split(r"(?m)^(?=run \")", text)
    wanted = re.compile(rf"\bvar\.{variable}\b")
    return head + "".join(run for run in runs if wanted.search(run.partition("expect_failures")[2]))


def noticed_by(copy: Path, flip: Flip) -> str | None:
    """Break the copy, run the tests that guard it, mend it; return the run that noticed, or None.

    Raises:
        ValueError: The flip does not fit, or the broken copy does not even plan.
    """
    code = copy / flip.root / flip.file
    test = copy / flip.root / "tests" / f"{flip.test}.tftest.hcl"
    whole = {path: path.read_text() for path in (code, test)}
    code.write_text(flipped(whole[code], flip))
    if flip.refused:
        test.write_text(runs_that_refuse(whole[test], flip.refused))
    try:
        with closing(workspace.test_events(copy / flip.root, flip.test)) as events:
            return verdict(events)
    finally:
        for path, text in whole.items():
            path.write_text(text)


def verdict(events: Iterable[Mapping[str, object]]) -> str | None:
    """Read Terraform's events: the first run that failed by an assertion, or None if all passed.

    Raises:
        ValueError: Something failed, but no assertion did.
    """
    first_error = ""
    for event in events:
        if event.get("@level") != "error":
            continue
        detail = event.get("diagnostic")
        if isinstance(detail, dict) and detail.get("summary") in NOTICED:
            return str(event.get("@testrun"))
        first_error = first_error or str(event.get("@message"))
    if first_error:
        raise ValueError(f"the flip breaks the code itself: {first_error}")
    return None


def outcome(copies: SimpleQueue[Path], flip: Flip) -> str:
    """Try one flip in a copy that nobody else uses: the run that noticed, or what is wrong."""
    copy = copies.get()
    try:
        return noticed_by(copy, flip) or MISSED
    except ValueError as cause:
        return f"{BROKEN}: {cause}"
    finally:
        copies.put(copy)


def prove(flips: list[Flip], jobs: int) -> int:
    """Try each flip and print a line for each, in their order; `jobs` at a time."""
    copies: SimpleQueue[Path] = SimpleQueue()
    outcomes = []
    with tempfile.TemporaryDirectory() as scratch, program.threads(jobs) as pool:
        for number in range(jobs):
            copy = workspace.copy(Path(scratch) / str(number))
            for root in sorted({flip.root for flip in flips}):
                workspace.initialise(copy / root)
            copies.put(copy)
        for flip, noticed in zip(
            flips, pool.map(lambda one: outcome(copies, one), flips), strict=True
        ):
            outcomes.append(noticed)
            sys.stdout.write(f"{flip.control:>4}  {flip.title:<72.72}  {noticed}\n")
            sys.stdout.flush()
    missed = outcomes.count(MISSED)
    broken = sum(noticed.startswith(BROKEN) for noticed in outcomes)
    noticed_count = len(flips) - missed - broken
    sys.stdout.write(
        f"{len(flips)} flips: {noticed_count} noticed, {missed} not noticed, {broken} broken\n"
    )
    if broken:
        return program.FAULT
    return program.BAD if missed else program.GOOD


def main(arguments: Sequence[str]) -> int:
    """Choose the flips and try them."""
    parser = program.parser("mutate", description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="flips whose title or file contains this")
    parser.add_argument("--part", type=_part, default=(1, 1), help="2/3: the second third of them")
    parser.add_argument(
        "--jobs", type=int, choices=range(1, 65), metavar="N", default=2, help="how many at a time"
    )
    given = parser.parse_args(arguments)
    part, parts = given.part
    flips = [flip for flip in (*listed(), *rules()) if given.only in f"{flip.title} {flip.file}"]
    if not flips:
        parser.error(f"no flip's title or file contains {given.only!r}")
    flips = flips[len(flips) * (part - 1) // parts : len(flips) * part // parts]
    try:
        return prove(flips, given.jobs)
    except workspace.UnavailableError as cause:
        raise MachineError(str(cause)) from None


def _part(text: str) -> tuple[int, int]:
    part, parts = (int(number) for number in text.split("/"))
    if not 1 <= part <= parts:
        raise ValueError
    return part, parts


if __name__ == "__main__":
    sys.exit(program.run("mutate", main))
