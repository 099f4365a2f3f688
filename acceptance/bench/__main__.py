"""`python -m acceptance.bench [part …]`: measures, and prints each goal with what came of it.

Exit code 0 whatever the figures: a benchmark reports, and a busy machine is no fault of the code.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from acceptance.bench import database, instructions, scrape, starting, throughput
from acceptance.service.pods import Pod
from canary.runtime import database as postgres
from canary.runtime import program

CONTESTANTS = (
    "bare", "metrics", "ours", "usual", "usual_log", "empty@granian", "bare@granian",
    "metrics@granian", "ours@granian", "fastapi_", "fastapi_@plain",
)  # fmt: skip
# Each is what the one before is, and more.
ON_GRANIAN = ("empty@granian", "bare@granian", "metrics@granian", "ours@granian")
COUNTED = (
    "bare", "metrics", "metrics_ids", "ours", "bare@worker", "metrics@worker", "ours@worker",
    "usual", "usual_log",
)  # fmt: skip

INSTRUCTION_GOALS = {
    "metrics": "≥ 0.985", "metrics@worker": "≥ 0.985", "ours": "≥ 0.95", "ours@worker": "≥ 0.95",
}  # fmt: skip

# A commit costs what it costs where data must outlive a power cut.
DURABLE = {"fsync": "on"}

Line = tuple[str, str, str]


def bench_instructions(_: argparse.Namespace) -> Iterator[Line]:
    """What watching costs, in instructions."""
    if not instructions.available():
        yield "instructions", "", "valgrind is not there: sudo apt-get install valgrind"
        return
    counts = {name: instructions.count(name) for name in COUNTED}
    for name in COUNTED[1:]:
        goal = INSTRUCTION_GOALS.get(name, "")
        share = counts["bare"] / counts[name]
        more = (counts[name] - counts["bare"]) / 1e3
        yield f"bare ÷ {name}, instructions", goal, f"{share:.3f} (+{more:.0f} k)"


def bench_throughput(chosen: argparse.Namespace) -> Iterator[Line]:
    """Requests a second."""
    if not throughput.available():
        yield "requests/s", "", "wrk is not there: sudo apt-get install wrk"
        return
    with tempfile.TemporaryDirectory(prefix="gridos-bench-") as folder:
        rates = throughput.measure(Path(folder), CONTESTANTS, chosen.rounds)
    goals = {"ours": "≥ 0.95", "ours@granian": ""}
    for name in CONTESTANTS[1:]:
        middle, low, high = throughput.ratio(rates, name, "bare")
        rate = statistics.median(rates[name])
        shown = f"{middle:.3f} ({low:.3f}…{high:.3f}), {rate:.0f}/s"
        yield f"{name} ÷ bare, requests/s", goals.get(name, ""), shown
    # The FastAPI contestant counts and neither logs nor sends ids: `metrics` is its like.
    for name, base in itertools.product(ON_GRANIAN[1:], ("fastapi_", "fastapi_@plain")):
        middle, low, high = throughput.ratio(rates, name, base)
        goal = "" if name.startswith("bare") else "≥ 1.4"
        yield f"{name} ÷ {base}, requests/s", goal, f"{middle:.2f} ({low:.2f}…{high:.2f})"
    # Where a request's time goes, and so what stands in the way of that goal.
    for name in (ON_GRANIAN[0], "fastapi_", "fastapi_@plain"):
        yield f"{name}, µs a request", "", _spread(1e6 / rate for rate in rates[name])
    for base, name in itertools.pairwise(ON_GRANIAN):
        spread = _spread(throughput.difference(rates, name, base))
        yield f"{name} − {base}, µs a request", "", spread


def bench_scrape(_: argparse.Namespace) -> Iterator[Line]:
    """/metrics."""
    for label_sets, most in ((50, "0.5"), (500, "3")):
        ours, stock, ratio = scrape.measure(label_sets)
        shown = f"{ours:.2f} ms; stock {stock:.1f} ms; {ratio:.0f} ×"
        yield f"/metrics with {label_sets} label sets", f"≤ {most} ms, ≥ 15 ×", shown


def bench_ingest(chosen: argparse.Namespace) -> Iterator[Line]:
    """Ingest against raw COPY."""
    goals = {"append": "≥ 0.93", "resent": "≥ 0.7", "sorted": "≥ 0.7", "served": "≥ 0.5"}
    with _database() as url, tempfile.TemporaryDirectory() as folder:
        for size in chosen.sizes:
            times = database.ingest(Path(folder), url, size, chosen.rounds, served=size <= 1000)
            copied = size / statistics.median(times["copy"])
            for name in [name for name in times if name != "copy"]:
                shown = _spread(c / t for c, t in zip(times["copy"], times[name], strict=True))
                goal = goals.get(name, "") if size == 1000 else ""
                yield f"{size} rows, {name} ÷ COPY", goal, f"{shown}; COPY {copied / 1e3:.0f} k/s"


def bench_series(chosen: argparse.Namespace) -> Iterator[Line]:
    """A month's series as the table grows."""
    with _database() as url:
        for feeders in chosen.feeders:
            rows = database.grow(url, feeders)
            seconds, plain, packed, count = database.month(url)
            shown = f"{_spread(s * 1e3 for s in seconds)} ms, {plain / 1e6:.1f} MB"
            shown += f" ({packed / 1e6:.2f} MB packed)"
            yield f"month of 33 buses, {count} rows of {rows / 1e6:.1f} M", "flat", shown


def bench_start(chosen: argparse.Namespace) -> Iterator[Line]:
    """A pod's start, alone and five at once."""
    goals = {1: ("≤ 0.5", ""), 5: ("", "≤ 3")}
    with _database() as url, tempfile.TemporaryDirectory() as folder:
        starting.measure(Path(folder), url, 1)  # what is not compiled and read yet
        for pods, (cpu_goal, time_goal) in goals.items():
            starts = [
                starting.measure(Path(folder), url, pods)
                for _ in range(max(2, chosen.rounds // pods))
            ]
            name = f"{pods} pod{'s at once' * (pods > 1)}"
            each = _spread(start.cpu_s / pods for start in starts)
            yield f"{name}, CPU-seconds each until ready", cpu_goal, each
            ratio = _spread(start.cpu_s / pods / start.flask_cpu_s for start in starts)
            yield f"{name}, the same ÷ `import flask`", "", ratio
            yield f"{name}, seconds until ready", time_goal, _spread(s.seconds for s in starts)
            yield f"{name}, MB each", "", _spread(start.pss_mb / pods for start in starts)


def _spread(values: Iterable[float]) -> str:
    """Median and quartiles."""
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.3g} ({low:.3g}…{high:.3g})"


PARTS: dict[str, Callable[[argparse.Namespace], Iterator[Line]]] = {
    "start": bench_start,
    "scrape": bench_scrape,
    "ingest": bench_ingest,
    "throughput": bench_throughput,
    "series": bench_series,
    "instructions": bench_instructions,
}


@contextmanager
def _database() -> Iterator[str]:
    with postgres.server(DURABLE) as running, tempfile.TemporaryDirectory() as folder:
        pod = Pod(Path(folder), "bench", {"GRIDOS_DATABASE_URL": running.url})
        pod.run("migrate")
        pod.run("seed")
        yield running.url


def main(arguments: Sequence[str]) -> int:
    """Prints a table, line by line as it is measured."""
    parser = program.parser("bench", description="what the service costs, in ratios")
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all if none is named")
    parser.add_argument("--rounds", type=int, default=24, help="of each shuffled comparison")
    parser.add_argument(
        "--sizes", type=int, nargs="*", default=[10, 100, 1000, 10_000], help="batches of ingest"
    )
    parser.add_argument(
        "--feeders",
        type=int,
        nargs="*",
        default=[1, 10],
        help="table sizes of the series, 1.06 million rows a feeder; 100 takes 10 GB",
    )
    chosen = parser.parse_args(arguments)
    unknown = set(chosen.parts) - PARTS.keys()
    if unknown:
        parser.error(f"{', '.join(unknown)} is no part: there are {', '.join(PARTS)}")
    print("| what | goal | measured |\n|---|---|---|")
    for part in chosen.parts or PARTS:
        for what, goal, measured in PARTS[part](chosen):
            print(f"| {what} | {goal} | {measured} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(program.run("bench", main))
