#!/usr/bin/env python3
"""Write REFERENCE.md: inputs, outputs, what an environment costs, and which checks are off.

Read from the code, so that it cannot be wrong; `--check` writes nothing and fails when the file is
not what the code says.
"""

import argparse
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import configuration
import costs

from canary.runtime import program

FILE = configuration.SOURCE / "REFERENCE.md"
ROOTS = {
    ".": "The platform",
    "bootstrap": "Bootstrap",
    "gitops": "GitOps",
    "modules/naming": "Module naming",
}
SKIP = re.compile(r"#checkov:skip=(?P<check>CKV2?_[A-Z]+_\d+):(?P<reason>.*)")


@dataclass(frozen=True)
class Skip:
    """One check of checkov's that does not apply, where, and why."""

    file: str
    check: str
    reason: str


def skips() -> list[Skip]:
    """Every check that is switched off, in the order of the code."""
    return [
        Skip(str(path.relative_to(configuration.SOURCE)), found["check"], found["reason"])
        for root in ROOTS
        for path in sorted((configuration.SOURCE / root).glob("*.tf"))
        for found in SKIP.finditer(path.read_text())
    ]


def render() -> str:
    """The whole file."""
    lines = ["<!-- Written by `make terraform-docs`; not by hand. -->", "", "# Reference"]
    for root, title in ROOTS.items():
        lines += ["", f"## {title}", "", f"`infra/terraform/{root}`".replace("/.", "")]
        lines += table("Input", ("default", "what"), inputs(configuration.SOURCE / root))
        lines += table("Output", ("what",), outputs(configuration.SOURCE / root))
    as_of = costs.read_prices()["as_of"]
    lines += ["", "## Costs", "", f"USD a month, {as_of}, with what `prices.toml` assumes:"]
    lines += table("What", costs.ENVIRONMENTS, costs.table())
    off = skips()
    lines += [
        "",
        "## Checks switched off",
        "",
        f"checkov has {len(off)} skips, each with its reason:",
    ]
    rows = [(skip.check, f"`{skip.file}`", skip.reason) for skip in off]
    return "\n".join([*lines, *table("Check", ("where", "why"), rows)]) + "\n"


def table(first: str, others: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """A Markdown table, or nothing for no rows."""
    if not rows:
        return []
    header = "| " + " | ".join((first, *others)) + " |"
    ruler = "|---" * (1 + len(others)) + "|"
    return ["", header, ruler, *("| " + " | ".join(row) + " |" for row in rows)]


def inputs(root: Path) -> list[tuple[str, ...]]:
    """A row for each variable."""
    return [
        (f"`{name}`", default(body), sentence(body["description"]))
        for name, body in blocks(root, "variable")
    ]


def default(body: Mapping[str, Any]) -> str:
    """A variable's default, as one writes it; a variable without one must be given."""
    if "default" not in body:
        return "required"
    value = body["default"]
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, list):
        return "`[" + ", ".join(f'"{item}"' for item in value) + "]`"
    return f"`{value}`" if value is not None else "`null`"


def outputs(root: Path) -> list[tuple[str, ...]]:
    """A row for each output."""
    return [(f"`{name}`", sentence(body["description"])) for name, body in blocks(root, "output")]


def blocks(root: Path, kind: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The named blocks of a kind in a root's files, in the order of the code."""
    for path in sorted(root.glob("*.tf")):
        for block in configuration.load(path).get(kind, []):
            yield from block.items()


def sentence(description: str) -> str:
    """A description on one line; one over several lines keeps them."""
    indented = re.match(r"<<-?(\w+)\n(.*)\n\s*\1\Z", description, re.DOTALL)
    text = textwrap.dedent(indented[2]) if indented else description
    return "<br>".join(line.replace("|", r"\|") for line in text.splitlines())


def main(arguments: list[str]) -> int:
    """Write the file, or check it; exit 0 when it is current, 1 when it was not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, fail if it would")
    check = parser.parse_args(arguments).check
    text = render()
    if FILE.is_file() and FILE.read_text() == text:
        return program.GOOD
    if check:
        sys.stderr.write(f"{FILE.name} is not what the code says; run: make terraform-docs\n")
        return program.BAD
    FILE.write_text(text)
    return program.GOOD


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
