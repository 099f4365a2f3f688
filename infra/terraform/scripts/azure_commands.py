"""The az commands that documents and scripts tell people and jobs to type, asked of the real az.

Azure is not here, but its program is: it says without a login which commands there are and which
options each has. What it would do is not shown.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import steps
import workspace

ROOT = Path(__file__).resolve().parents[3]
FILES = (
    "ci/registry-login",
    "ci/terraform",
    "infra/terraform/README.md",
    "infra/terraform/certificate/renew",
    "infra/terraform/scripts/create_role",
    *(str(page.relative_to(ROOT)) for page in sorted((ROOT / "docs").rglob("*.md"))),
)
CONTINUED = re.compile(r"\s*\\\n\s*")
# What is passed on is no option of az's own.
QUOTED = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'")
# Where a command may begin: a line, a substitution, a list of commands, or code in a sentence.
COMMAND = re.compile(r"(?:^|[(`;|&])\s*az((?: [a-z][a-z0-9-]*)+)((?: [^\n`;|&)]*)?)", re.MULTILINE)
OPTION = re.compile(r"(?:^|\s)(--[a-z][a-z0-9-]*)")
TIME_LIMIT_S = 120

# A command's words, and the options that it is given.
Command = tuple[str, tuple[str, ...]]


def found(text: str) -> Iterator[Command]:
    """The az commands in a text."""
    for words, rest in COMMAND.findall(QUOTED.sub("…", CONTINUED.sub(" ", text))):
        yield words.strip(), tuple(sorted(set(OPTION.findall(rest))))


def written() -> set[Command]:
    """Every one that is written down, and every one that preflight asks."""
    commands = {command for file in FILES for command in found((ROOT / file).read_text())}
    for environment in ("dev", "production"):
        for check in steps.checks(steps.names(environment), steps.secrets(), "owner/name"):
            if check.command[:1] == ("az",):
                commands |= set(found(" ".join(check.command)))
    return commands


def unknown(az: Path, commands: Iterable[Command]) -> Iterator[str]:
    """Name each command or option that az does not know."""
    for words, options in commands:
        done = workspace.said([az, *words.split(), "--help"], time_limit_s=TIME_LIMIT_S)
        known = set(OPTION.findall(done.stdout))
        if done.returncode != 0 or "\nCommand\n" not in done.stdout:
            yield f"az {words}: no such command"
            continue
        for option in options:
            if option not in known:
                yield f"az {words}: no option {option}"
