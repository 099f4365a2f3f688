"""What the generator itself costs, beside plain Locust and against what a worker is sized by."""

import itertools
import re
import statistics
import sys

from acceptance.calling import quietly
from acceptance.load.fast_server import answering
from acceptance.load.peers import USERS
from acceptance.load.runs import lines, loadtest
from canary.runtime import processes

MIN_THROUGHPUT = 0.9
# Of the requests a second that a core can send, in a comparison at one rate.
LOADED = 0.75
ROUNDS = 5
# Requests a second that a worker is sized by.
PLANNED = 1000.0


def test_open_arrivals_cost_little_more_than_plain_users(measured, times):
    rounds = []
    with answering() as host:
        for _ in range(times(ROUNDS)):
            fastest = throughput(host, "closed", 50)
            # What both can send on the wall clock as well, when the core is not all theirs.
            rate = round(LOADED * fastest)
            paced, opened = (throughput(host, kind, 50, rate) for kind in ("paced", "open"))
            rounds.append({"closed": fastest, "paced": paced, "open": opened})
    for kind in ("closed", "paced", "open"):
        middle = statistics.median(found[kind] for found in rounds)
        measured(f"{kind}, requests a CPU second", f"{middle:,.0f}")
    for kind in ("closed", "paced"):
        ratios = sorted(found["open"] / found[kind] for found in rounds)
        spread = f"{ratios[0]:.2f} … {ratios[-1]:.2f}"
        measured(f"open / {kind}", f"{statistics.median(ratios):.3f}, {spread}")
    assert statistics.median(ratios) >= MIN_THROUGHPUT


def throughput(host, kind, users, rate=1000.0):
    """Requests a CPU second of one kind of users."""
    command = [sys.executable, "-m", "locust", "-f", str(USERS), "--headless", "--host", host]
    command += ["-u", str(users), "-r", str(users), "--only-summary", "--loglevel", "ERROR"]
    command += ["--arrivals-shape", f"{rate:g} for 8s"] if kind == "open" else ["--run-time", "8s"]
    given = {"USERS_KIND": kind, "USERS_RATE": str(rate), "USERS_COUNT": str(users)}
    done = quietly(*command, env=processes.inherited(**given))
    found = re.search(r"SENT (\d+) ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    return int(found[1]) / float(found[2])


def test_a_core_sends_as_much_of_the_mix_as_a_worker_is_sized_by(key_file, measured):
    """Posts and all; loadtest/README.md sizes a worker by less."""
    with answering() as host:
        run = ("run", "smoke", "--host", host, "--api-key-file", key_file)
        _, said, document = loadtest(*run, "--shape", f"{PLANNED:g} for 15s", "--no-early-stop")
    assert document["folder"], said
    # The first lines hold the start as well.
    written = lines(document)[2:]
    sent = sum(len(line["samples"]) for line in written[1:])
    spent_s = sum(
        after["cpu_percent"] / 100 * (after["at"] - before["at"])
        for before, after in itertools.pairwise(written)
    )
    name = f"requests of the mix a CPU second, at {PLANNED:g}/s"
    measured(name, f"{sent / spent_s:,.0f}", f"≥ {PLANNED:g}")
    assert sent / spent_s >= PLANNED, document["verdict"]["headline"]
