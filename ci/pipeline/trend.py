"""What a benchmark measured, night after night: one line of JSON a night, shown as one table. Pure.

A benchmark's output is Markdown, `| what | goal | measured |`; the first number of what was
measured is followed. One night is no finding: runners differ, and what counts is a drift.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from pipeline.errors import PipelineError

NIGHTS = 14
_ROW = re.compile(r"^\| ([^|]+) \|[^|]*\| ([^|]+) \|$", re.MULTILINE)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_HEADS = {"what", "---"}


def add(history: str, table: str, day: str, commit: str) -> str:
    """Returns the history with this night at its end, in place of what the day had before.

    Raises:
        PipelineError: The table has no figure, or the history is not one.
    """
    figures = {
        what: number[0]
        for what, measured in _ROW.findall(table)
        if what not in _HEADS and (number := _NUMBER.search(measured))
    }
    if not figures:
        raise PipelineError("the benchmark measured nothing: a trend of nothing is refused")
    kept = [night for night in _read(history) if night["day"] != day]
    nights = [*kept, {"day": day, "commit": commit, "figures": figures}]
    return "".join(json.dumps(night) + "\n" for night in nights)


def show(history: str) -> str:
    """Returns the last nights as a table: a row for each figure, the newest night last.

    Raises:
        PipelineError: The history is not one.
    """
    nights = _read(history)[-NIGHTS:]
    names = list(dict.fromkeys(name for night in nights for name in night["figures"]))
    head = " | ".join(f"{night['day']} `{night['commit'][:7]}`" for night in nights)
    rows = [_row(name, nights) for name in names]
    return "\n".join([f"| | {head} |", f"|---|{'--:|' * len(nights)}", *rows])


def _row(name: str, nights: list[Mapping[str, Any]]) -> str:
    return f"| {name} | {' | '.join(night['figures'].get(name, '–') for night in nights)} |"


def _read(history: str) -> list[Mapping[str, Any]]:
    try:
        nights = [json.loads(line) for line in history.splitlines()]
        return [n for n in nights if n["day"] and n["commit"] and n["figures"]]
    except (ValueError, TypeError, KeyError, RecursionError) as cause:
        raise PipelineError(f"this is not the history of a trend: {cause!r}") from None
