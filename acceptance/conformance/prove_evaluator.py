"""Runs the evaluator's cases on a cluster that is up, and compares."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from acceptance.conformance import evaluator
from acceptance.conformance.evaluator import Case, Judged
from acceptance.conformance.scripted import Scripted
from canary.runtime import program
from canary.runtime.kubectl import Kubectl, Watch, connect

BATCH = 250
POLL_S = 5.0
# A case of four looks with two errors between them takes 25 s; the rest is the controller's queue.
LONGEST_S = 600.0


def compare(host: str, count: int, seed: int) -> tuple[int, int, list[str]]:
    """How many cases were compared, how many left out, and each that differs, with both sides.

    Left out are those in which the controller asked more often than it kept measurements: it met a
    conflict when it wrote its status, dropped the answer and asked anew, so the script was read on.
    """
    cases = list(evaluator.generate(count, seed))
    kubectl = connect(None)
    with ExitStack() as stack:
        log = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "kubectl-proxy.log"
        watch = Watch(kubectl, log)
        stack.callback(watch.close)
        server = Scripted(host, {case.name: case.script for case in cases})
        stack.callback(server.close)
        stack.callback(kubectl.run, "delete", "namespace", evaluator.NAMESPACE, "--wait=false")
        _create(kubectl, cases, server.url)
        seen = _await(watch, len(cases))
    kept = [c for c in cases if c.name in seen and _kept_all(seen[c.name], server.asked(c.name))]
    said = [text for case in kept if (text := _difference(case, seen[case.name]))]
    return len(kept), len(seen) - len(kept), said


def _kept_all(real: Judged, asked: int) -> bool:
    return asked <= len(real.measurements)


def _create(kubectl: Kubectl, cases: Sequence[Case], url: str) -> None:
    kubectl.run("create", "namespace", evaluator.NAMESPACE)
    for start in range(0, len(cases), BATCH):
        kubectl.run("create", "-f", "-", given=evaluator.bodies(cases[start : start + BATCH], url))


def _await(watch: Watch, count: int) -> dict[str, Judged]:
    deadline = time.monotonic() + LONGEST_S
    done: dict[str, Judged] = {}
    while len(done) < count and time.monotonic() < deadline:
        time.sleep(POLL_S)
        found = watch.get(evaluator.NAMESPACE, ["analysisruns"])
        done = {b["metadata"]["name"]: evaluator.theirs(b) for b in found if evaluator.ended(b)}
        print(f"{len(done)} of {count} ended", flush=True)
    return done


def _difference(case: Case, real: Judged) -> str:
    mine = evaluator.ours(case)
    if mine == real:
        return ""
    return f"{case.name} {json.dumps(case.spec)} {case.answers}: real {real}, ours {mine}"


def main(host: str, count: int, seed: int) -> int:
    """Prints what differs; exit 0 if nothing does, 1 if something, 3 if not all ended."""
    compared, left_out, differences = compare(host, count, seed)
    print(*differences, sep="\n")
    print(
        f"{compared} of {count} cases compared, {len(differences)} differ; "
        f"{left_out} asked anew and left out"
    )
    return 1 if differences else 0 if compared + left_out == count else 3


if __name__ == "__main__":
    sys.exit(program.run("prove-evaluator", lambda a: main(a[0], int(a[1]), int(a[2]))))
