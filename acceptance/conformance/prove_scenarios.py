"""Runs every scenario on a cluster that is up, beside our own controller, and writes the table."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from acceptance.conformance import real, walks
from acceptance.conformance.real import Follower
from acceptance.conformance.scenarios import SCENARIOS, Scenario
from acceptance.conformance.scripted import Scripted
from acceptance.conformance.walks import Walk
from canary.errors import RehearsalError
from canary.runtime import program
from canary.runtime.kubectl import Watch, connect

# They mostly wait. A node has room for 110 pods, and a release of ten takes thirteen.
TOGETHER = 6
PAUSE_IMAGE = "gridos.local/pause:1"
HEAD = """\
| scenario | ends | pods at each pause (canary + stable) | analyses | agree |
|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Row:
    """A scenario's outcome: the real walk if there was one, and what differs."""

    scenario: Scenario
    walk: Walk | None
    differences: tuple[str, ...]


def run(host: str, names: Sequence[str], image: str = PAUSE_IMAGE) -> list[Row]:
    """Walks the named scenarios, or all of them, some at a time."""
    chosen = [s for s in SCENARIOS if not names or s.name in names]
    kubectl = connect(None)
    with ExitStack() as stack:
        log = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "kubectl-proxy.log"
        watch = Watch(kubectl, log)
        stack.callback(watch.close)
        server = Scripted(host, {scenario.name: scenario.script for scenario in chosen})
        stack.callback(server.close)
        pool = stack.enter_context(ThreadPoolExecutor(TOGETHER))
        rows = pool.map(lambda s: _row(Follower(kubectl, watch, s, server.url, image)), chosen)
        return [_told(row) for row in rows]


def _row(follower: Follower) -> Row:
    scenario = follower.scenario
    try:
        walk = follower.walk()
    except RehearsalError as failed:
        return Row(scenario, None, (str(failed),))
    if scenario.expected:
        wrong = real.as_expected(follower, walk)
        return Row(scenario, walk, (wrong,) if wrong else ())
    with tempfile.TemporaryDirectory() as folder:
        mine = walks.ours(scenario, Path(folder))
    return Row(scenario, walk, tuple(walks.differences(mine, walk)))


def _told(row: Row) -> Row:
    words = "; ".join(row.differences) or "agree"
    print(f"{row.scenario.name}: {words}", flush=True)
    return row


def table(rows: Sequence[Row]) -> str:
    """The outcome as Markdown."""
    return HEAD + "".join(_line(row) + "\n" for row in rows)


def _line(row: Row) -> str:
    walk = row.walk
    if walk is None:
        return f"| {row.scenario.name} | – | – | – | **no**: {row.differences[0]} |"
    ends = f"{walk.phase}, aborted" if walk.aborted else walk.phase
    counts = ", ".join(f"{c} + {s}" for _, (c, s) in sorted(walk.counts.items())) or "–"
    runs = ", ".join(f"{r.place} {r.phase}" for r in walk.runs) or "–"
    agree = f"as expected: {row.scenario.expected}" if row.scenario.expected else "yes"
    if row.differences:
        agree = "**no**: " + "; ".join(row.differences)
    return f"| {row.scenario.name} | {ends} | {counts} | {runs} | {agree} |"


def main(host: str, names: Sequence[str]) -> int:
    """Prints the table; exit 0 if all agree, 1 if not."""
    rows = run(host, names)
    differing = [row for row in rows if row.differences]
    print(table(rows))
    print(f"{len(rows) - len(differing)} of {len(rows)} scenarios agree")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(program.run("prove-scenarios", lambda given: main(given[0], given[1:])))
