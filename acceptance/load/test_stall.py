"""What is reported of a stall, against the server's own account and against other generators."""

import re
import threading
from datetime import datetime

import pytest
from openarrivals.schedule import Plan
from openarrivals.shapes import constant

from acceptance.load import peers
from acceptance.load.runs import freeze, is_out_of_cpu, lines, loadtest, quantile, row

STALL_RATE, STALL_SECONDS, STALL_AT_S = 100.0, 30.0, 10.0
MAX_REPEATS = 3
CLOSE = 0.05


def test_what_is_reported_of_a_stall_is_what_callers_met(serve, key_file, measured):
    for _ in range(MAX_REPEATS + 1):
        document, reported, log = frozen(serve, key_file)
        if not is_out_of_cpu(document["verdict"]["headline"]):
            break
    due = dict(enumerate(Plan(constant(STALL_RATE, STALL_SECONDS)).due()))
    start_at = lines(document)[-1]["start_at"]
    ended = ended_at(log, document["id"])
    truth = [ended[number] - start_at - due_s for number, due_s in due.items() if number in ended]
    _, closed, _ = frozen(serve, key_file, "--closed", "--users", "100")
    for name, values in (
        ("reported", reported), ("truth (server's log)", truth), ("closed model", closed)
    ):  # fmt: skip
        slow = sum(value >= 0.25 for value in values) / len(values)
        measured(name, f"{row(values)}, slower than 250 ms {slow:.1%}")
    off = quantile(reported, 0.95) / quantile(truth, 0.95) - 1
    measured(f"p95 off the truth, of {len(truth)} requests joined by their id", f"{off:+.2%}")
    assert abs(off) <= CLOSE, document["verdict"]["headline"]


def frozen(serve, key_file, *options):
    """A run whose server is frozen for a while: (document, its latencies, the server's log)."""
    shape = f"{STALL_RATE:g} for {STALL_SECONDS:g}s"
    with serve() as service:
        freezing = threading.Thread(target=freeze, args=(service, STALL_AT_S))
        freezing.start()
        arguments = ("run", "smoke", "--host", service.url, "--shape", shape, "--no-early-stop")
        _, said, document = loadtest(*arguments, "--api-key-file", key_file, *options)
        freezing.join()
        log = service.log.read_text(encoding="utf-8", errors="replace")
    assert document["folder"], said
    latencies = [sample[4] for line in lines(document) for sample in line["samples"]]
    return document, latencies, log


def ended_at(log, run):
    """When the server had finished each request, by its number; Unix seconds."""
    found = {}
    pattern = re.compile(rf'"request_id":"{re.escape(run)}-(\d+)"')
    for line in log.splitlines():
        match = pattern.search(line)
        if match:
            stamp = re.search(r'"timestamp":"([^"]+)"', line)
            found[int(match[1])] = datetime.fromisoformat(stamp[1]).timestamp() if stamp else 0.0
    return found


def test_three_generators_tell_the_same_of_one_stall(serve, measured):
    """The same schedule at once; k6 and vegeta are taken from PATH."""
    ample = peers.three(serve)
    for name, found in ample.items():
        measured(name, f"{found['sent']:.0f} sent, {row(found)}")
    # The peers time a request from when they sent it, so that is what can be compared.
    ours = ample.pop("loadtest")
    measured(
        "loadtest, from when it was due", row({q: ours[f"{q} due"] for q in ("p50", "p95", "p99")})
    )
    off = {
        f"{q} {name}": ours[q] / found[q] - 1
        for name, found in ample.items()
        for q in ("p50", "p95", "p99")
    }
    ours_dropped, k6_dropped = peers.two_with_few_places(serve)
    measured(
        f"dropped with {peers.SCARCE} places", f"loadtest {ours_dropped:.0f}, k6 {k6_dropped:.0f}"
    )
    off["dropped k6"] = ours_dropped / k6_dropped - 1
    measured("off", {name: f"{share:+.1%}" for name, share in off.items()})
    assert off == pytest.approx(dict.fromkeys(off, 0.0), abs=CLOSE)
