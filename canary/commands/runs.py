"""`canary runs`: the rehearsals of the past, listed, compared and removed."""

import argparse
import json

from rich.console import Console
from rich.table import Table
from rich.text import Text

from canary import tables
from canary.commands import options
from canary.errors import UsageError
from canary.rehearse import runs

EPILOG = """\
Each rehearsal removes all but the newest 20 runs of its folder when it ends (`rehearse --keep`).

exit codes:
  0 done   2 the input cannot be used   4 the tool or the machine is at fault   130 interrupted

examples:
  canary runs                               the newest first
  canary runs --outcome rolled-back         those that were rolled back
  canary runs --compare latest healthy      two runs; each word must occur in exactly one id
  canary runs --prune 5                     remove all but the newest 5
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which runs, and what to do with them."""
    options.runs(parser)
    parser.add_argument(
        "--word", default="", help="only runs whose id, verdict or command contains it"
    )
    parser.add_argument(
        "--outcome", default="", help="only runs with this outcome, such as rolled-back"
    )
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--compare", nargs=2, metavar=("A", "B"), help="compare two runs")
    group.add_argument(
        "--prune", type=options.count, metavar="N", help="remove all but the newest N"
    )
    options.output(parser, ("table", "json"))


def run(chosen: argparse.Namespace) -> int:
    """Lists, compares or removes."""
    if chosen.prune is not None:
        removed = runs.prune(chosen.out, chosen.prune)
        options.say(f"{len(removed)} removed, {len(runs.listed(chosen.out))} kept in {chosen.out}")
    elif chosen.compare:
        _compare(chosen)
    else:
        _list(chosen)
    return 0


def _compare(chosen: argparse.Namespace) -> None:
    first, second = (runs.find(chosen.out, name) for name in chosen.compare)
    if first.result is None or second.result is None:
        raise UsageError("a run without a result cannot be compared", "choose another")
    rows = runs.compare(first.result, second.result)
    if chosen.output == "json":
        facts = {row.what: {"a": row.first, "b": row.second} for row in rows}
        made = {"a": first.id, "b": second.id, "facts": facts}
        options.say(json.dumps(made, indent=1, ensure_ascii=False))
        return
    table = Table(box=None, pad_edge=False, header_style="")
    for head in ("", "", first.id, second.id):
        table.add_column(head, overflow="fold")
    for row in rows:
        cells = ("≠" if row.differs else "", row.what, row.first, row.second)
        table.add_row(*map(Text, cells))
    # A verdict is a sentence, and is folded to the terminal's width.
    Console(highlight=False).print(table)


def _list(chosen: argparse.Namespace) -> None:
    found = runs.listed(chosen.out, chosen.word, chosen.outcome)
    if chosen.output == "json":
        made = [
            {"id": one.id, "folder": str(one.folder), "outcome": one.outcome}
            | ({"headline": one.result.verdict.headline} if one.result else {})
            for one in found
        ]
        options.say(json.dumps(made, indent=1, ensure_ascii=False))
        return
    rows = [runs.row(one) for one in found]
    options.say("\n".join(tables.text(runs.HEADS, rows, left=(0, 1))))
    options.remark(f"{len(found)} runs in {chosen.out}")
