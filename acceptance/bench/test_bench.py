"""What the service costs beside bare Flask, FastAPI and raw COPY; each goal stands beside its figure.

A benchmark reports and judges nothing: a busy machine is no fault of the code.
"""

import itertools
import json
import shutil
import statistics
from contextlib import contextmanager

import pytest

from acceptance.bench import database, instructions, scrape, starting, throughput
from acceptance.services import WRITABLE, Service
from canary.runtime import database as postgres

CONTESTANTS = (
    "bare", "metrics", "ours", "metrics@worker", "ours@worker", "usual", "usual_log",
    "empty@granian", "bare@granian", "metrics@granian", "ours@granian", "fastapi_", "fastapi_@plain",
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
ROUNDS = 24


def spread(values):
    """Median and quartiles."""
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.3g} ({low:.3g}…{high:.3g})"


def shares(of, base):
    """The ratios of pairs of one round, on which whatever else the machine does falls alike."""
    return [a / b for a, b in zip(of, base, strict=True)]


def need(program):
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not there: sudo apt-get install {program}")


@contextmanager
def prepared(folder):
    with postgres.server(DURABLE) as running:
        service = Service(folder, {**WRITABLE, "GRIDOS_DATABASE_URL": running.url})
        service.run("migrate", "seed")
        yield running.url


@pytest.fixture
def durable(tmp_path):
    with prepared(tmp_path) as url:
        yield url


@pytest.mark.parametrize(("pods", "cpu_goal", "time_goal"), [(1, "≤ 0.5", ""), (5, "", "≤ 3")])
def test_start(durable, tmp_path, measured, times, pods, cpu_goal, time_goal):
    starting.measure(tmp_path, durable, 1)  # what is not compiled and read yet
    rounds = range(max(2, times(ROUNDS) // pods))
    starts = [starting.measure(tmp_path, durable, pods) for _ in rounds]
    each = spread(start.cpu_s / pods for start in starts)
    name = f"{pods} pod{'s at once' * (pods > 1)}"
    measured(f"{name}, CPU-seconds each until ready", each, cpu_goal)
    ratio = spread(start.cpu_s / pods / start.flask_cpu_s for start in starts)
    measured(f"{name}, the same ÷ `import flask`", ratio)
    measured(f"{name}, seconds until ready", spread(start.seconds for start in starts), time_goal)
    measured(f"{name}, MB each", spread(start.pss_mb / pods for start in starts))


@pytest.mark.parametrize(("label_sets", "most"), [(50, "0.5"), (500, "3")])
def test_scrape(measured, label_sets, most):
    ours, stock, ratio = scrape.measure(label_sets)
    shown = f"{ours:.2f} ms; stock {stock:.1f} ms; {ratio:.0f} ×"
    measured(f"/metrics with {label_sets} label sets", shown, f"≤ {most} ms, ≥ 15 ×")


@pytest.mark.parametrize("size", [10, 100, 1000, 10_000])
def test_ingest(durable, tmp_path, measured, times, size):
    goals = {"append": "≥ 0.93", "served": "≥ 0.5"}
    goals |= dict.fromkeys(("resent", "half resent", "a tenth resent"), "≥ 0.85")
    times_s, cpu_s = database.ingest(tmp_path, durable, size, times(ROUNDS), served=size <= 1000)
    measured(f"{size} rows, COPY", f"{size / statistics.median(times_s['copy']) / 1e3:.0f} k/s")
    for words, taken in (("", times_s), (", by CPU time", cpu_s)):
        copies = taken.pop("copy")
        for name, values in taken.items():
            goal = goals.get(name, "") if size == 1000 else ""
            measured(f"{size} rows, {name} ÷ COPY{words}", spread(shares(copies, values)), goal)


def test_throughput(tmp_path, measured, times):
    need("wrk")
    rates, costs = throughput.measure(tmp_path, CONTESTANTS, times(ROUNDS))
    goals = dict.fromkeys(("ours", "ours@worker"), "≥ 0.97")
    for name in CONTESTANTS[1:]:
        shown = (
            f"{spread(shares(rates[name], rates['bare']))}, {statistics.median(rates[name]):.0f}/s"
        )
        measured(f"{name} ÷ bare, requests/s", shown, goals.get(name, ""))
        shown = spread(shares(costs[name], costs["bare"]))
        measured(f"{name} ÷ bare, requests a CPU-second", shown)
    # The FastAPI contestant counts and neither logs nor sends ids: `metrics` is its like.
    for name, base in itertools.product(ON_GRANIAN[1:], ("fastapi_", "fastapi_@plain")):
        goal = "≥ 1.35" if name.startswith("ours") and base == "fastapi_" else ""
        measured(f"{name} ÷ {base}, requests/s", spread(shares(rates[name], rates[base])), goal)
        shown = spread(shares(costs[name], costs[base]))
        measured(f"{name} ÷ {base}, requests a CPU-second", shown)
    # Where a request's time goes, and so what stands in the way of that goal: a server that has a
    # CPU of its own and is always asked spends all of it on requests.
    for name in (ON_GRANIAN[0], "fastapi_", "fastapi_@plain"):
        measured(f"{name}, µs a request", spread(1e6 / rate for rate in rates[name]))
    for base, name in itertools.pairwise(ON_GRANIAN):
        taken = (1e6 / a - 1e6 / b for a, b in zip(rates[name], rates[base], strict=True))
        measured(f"{name} − {base}, µs a request", spread(taken))


# 1.06 million rows a feeder: 106 million take 10 GB.
@pytest.mark.parametrize("feeders", [10, pytest.param(100, marks=pytest.mark.large)])
def test_series(tmp_path, measured, times, feeders):
    with prepared(tmp_path) as small, prepared(tmp_path) as large:
        tables = {small: database.grow(small, 1), large: database.grow(large, feeders)}
        found = database.months(tmp_path, tables, times(20))
    for month in found:
        rows = len(json.loads(month.plain)["rows"])
        name = f"month of 33 buses, {rows} rows of {month.table_rows / 1e6:.1f} M"
        sizes = f"{len(month.plain) / 1e6:.1f} MB ({len(month.packed) / 1e6:.2f} MB packed)"
        measured(name, f"{spread(s * 1e3 for s in month.seconds)} ms, {sizes}")
    first, last = found
    ratios = shares(last.seconds, first.seconds)
    measured("the large table's ÷ the small one's, in turns", spread(ratios), "≤ 1.3")


def test_instructions(measured):
    need("valgrind")
    counted = {name: instructions.count(name) for name in COUNTED}
    for name in COUNTED[1:]:
        goal = INSTRUCTION_GOALS.get(name, "")
        more = (counted[name] - counted["bare"]) / 1e3
        share = counted["bare"] / counted[name]
        measured(f"bare ÷ {name}, instructions", f"{share:.3f} (+{more:.0f} k)", goal)
