"""Rows as text: columns for a terminal, a Markdown table for a pull request; and JSON."""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict
from typing import Any


def text(
    head: Sequence[object], rows: Iterable[Sequence[object]], left: Collection[int] = (0,)
) -> list[str]:
    """Lines whose columns are as wide as what they hold; those of `left` begin at the left."""
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if index in left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


def document(found: Any) -> str:
    """JSON of a dataclass, everything."""
    return json.dumps(asdict(found), indent=2)


def markdown(
    head: Sequence[object], rows: Iterable[Sequence[object]], left: Collection[int] = (0,)
) -> list[str]:
    """The lines of a Markdown table, aligned in the same way."""
    ruler = ["---" if index in left else "---:" for index in range(len(head))]
    return [f"| {' | '.join(map(str, row))} |" for row in (head, ruler, *rows)]
