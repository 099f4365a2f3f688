"""Runbooks: pages of one shape, their queries told apart from their prose."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from canary.errors import UsageError

SECTIONS = (
    "See it",
    "Do first",
    "Confirm that it is over",
    "Roll back",
    "When it was false",
)
# Of the list of commands: those that the drill of the root Application types.
TYPED = "Needs a cluster: a drill types it"
_QUERY = re.compile(r"```promql\n(.*?)```", re.DOTALL)
_SHELL = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
_FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
# A code span may be wrapped; a heading only names a command.
_SPAN = re.compile(r"`([^`]+)`")
_HEADING = re.compile(r"^#.*$", re.MULTILINE)
_COMMENT = re.compile(r"\s+#.*$", re.MULTILINE)
_PROGRAM = re.compile(
    "amtool|argocd|az|canary|curl|docker|gh|git|gridos|helm|kubectl|loadtest|make|observe|pipeline"
    "|promtool|psql|terraform|SELECT"
)
_PANEL = re.compile(r"Dashboard \*\*(.+?)\*\*, panel \*\*(.+?)\*\*", re.DOTALL)


@dataclass(frozen=True)
class Runbook:
    """One page.

    Attributes:
        alert: Its alert, which is its file's name and its title.
        meaning: What the alert means to a user.
        seen: Queries that answer while the alert fires.
        over: The query that answers once it is over, and not before.
        dashboard: Title of the dashboard that shows it.
        panel: Title of the panel on it.
        text: The whole page.
    """

    alert: str
    meaning: str
    seen: tuple[str, ...]
    over: str
    dashboard: str
    panel: str
    text: str


def read(folder: Path) -> tuple[Runbook, ...]:
    """Every runbook of an alert in a folder; other pages there (README, rollback-…) are not.

    Raises:
        UsageError: if a page has not the one shape.
    """
    return tuple(_page(file) for file in sorted(folder.glob("[A-Z]*.md")) if file.stem != "README")


def commands(text: str) -> Iterator[str]:
    """The commands of a page, each on one line: those of its blocks, and those within sentences."""
    for block in _SHELL.findall(text):
        for line in _COMMENT.sub("", block.replace("\\\n", " ")).splitlines():
            if line.strip():
                yield " ".join(line.split())
    for span in _SPAN.findall(_HEADING.sub("", _FENCED.sub("", text))):
        words = span.split()
        if len(words) > 1 and _PROGRAM.fullmatch(words[0]):
            yield " ".join(words)


def listed(text: str, mark: str) -> list[str]:
    """The commands in the blocks below one heading of a page."""
    return list(commands("\n".join(_FENCED.findall(dict(sections(text))[mark]))))


def _page(file: Path) -> Runbook:
    text = file.read_text(encoding="utf-8")
    parts = dict(sections(text))
    if tuple(parts)[1:] != SECTIONS:
        raise UsageError(f"{file} has the sections {list(parts)[1:]}", f"use {list(SECTIONS)}")
    panel = _PANEL.search(parts["See it"])
    seen = tuple(query.strip() for query in _QUERY.findall(parts["See it"]))
    over = [query.strip() for query in _QUERY.findall(parts["Confirm that it is over"])]
    if panel is None or not seen or len(over) != 1:
        raise UsageError(
            f"{file} lacks a panel, a query to see it by, or the one that says it is over",
            "see docs/runbooks/README.md",
        )
    return Runbook(
        alert=next(iter(parts)),
        meaning=parts[next(iter(parts))],
        seen=seen,
        over=over[0],
        dashboard=" ".join(panel[1].split()),
        panel=" ".join(panel[2].split()),
        text=text,
    )


def sections(text: str) -> Iterator[tuple[str, str]]:
    """Titles and texts of a page, the page's own first."""
    for part in re.split(r"^#{1,2} ", text, flags=re.MULTILINE)[1:]:
        title, _, body = part.partition("\n")
        yield title.strip(), body.strip()
