"""`python -m conformance`: the platform on a real cluster, brought up and down again."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from policies import objects
from rehearsal.errors import MachineError, RehearsalError

from conformance import kit
from conformance.kit import HOST, ROOT, Kit

EPILOG = """\
parts:
  core        every object admitted under `restricted`, a release promoted and one aborted (.ci/run)
  cluster     core, and the rollback paths through a real Argo CD      (make test-cluster)
  conformance every scenario, and the evaluator's cases, ours beside the real controller's
                                                                       (make prove-conformance)

exit codes: 0 as it should be, or skipped with its reason   1 not   2 not to be done   4 our fault
"""

OVERLAYS = ("dev", "staging", "production", "local")
# APIs whose controllers the kit does not have; their objects are held against schemas instead.
ABSENT = {"SecretProviderClass", "PodMonitor", "Probe", "ExternalSecret", "SecretStore"}
BAD, SCALE = "errors=20%", "3"
CASES, SEED = 1000, 1

Step = Callable[[Kit], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a part; every failure is one line on standard error."""
    parser = argparse.ArgumentParser(
        prog="conformance",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("part", choices=[*PARTS])
    chosen = parser.parse_args(arguments)
    if reason := kit.unusable():
        _say(f"skipped: {reason}")
        return 0
    found = kit.find()
    assert found is not None  # noqa: S101 — `unusable` said so
    try:
        found.up()
        for step in PARTS[chosen.part]:
            began = time.monotonic()
            step(found)
            _say(f"{(step.__doc__ or '').strip()} ({time.monotonic() - began:.0f} s)")
    except RehearsalError as failed:
        sys.stderr.write(f"conformance: {failed}\n")
        return failed.exit_code
    except AssertionError as wrong:
        sys.stderr.write(f"conformance: {wrong}\n")
        return 1
    finally:
        found.down()
    return 0


def _admit(found: Kit) -> None:
    """Every object of every overlay is admitted under restricted."""
    found.kubectl("apply", "-f", str(ROOT / "deploy/base/namespace.yaml"))
    found.kubectl("apply", "-f", str(ROOT / "deploy/overlays/local/namespace-monitoring.yaml"))
    for overlay in OVERLAYS:
        rendered = objects.read(ROOT / "deploy/overlays" / overlay)
        admitted = [body for body in rendered if body["kind"] not in ABSENT]
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": admitted})
        said = found.run("run", "kubectl", "apply", "--dry-run=server", "-f", "-", given=text)
        _say(f"  {overlay}: {len(said.splitlines())} of {len(rendered)} admitted")
        _require(len(said.splitlines()) == len(admitted), f"{overlay}: not all were admitted")


def _promote(found: Kit) -> None:
    """A healthy release is promoted, and no request of its users fails."""
    result = _rehearse(found, 0)
    lost = result["traffic"]["failed"] + result["traffic"]["lost"]
    _say(f"  {result['traffic']['requests']} requests, {lost} failed or lost")
    _require(lost == 0, f"{lost} requests failed during a promotion")


def _abort(found: Kit) -> None:
    """A bad release is aborted by its gate (path 1)."""
    said = _rehearse(found, 1, "--fault", BAD)["verdict"]
    _say(f"  by {said['gate']['name']}, decided after {said['decided_after_s']} s")
    _require(said["gate"]["name"] == "error-ratio", f"aborted by {said['gate']['name']}")


def _go_back(found: Kit) -> None:
    """A bad release in front of everybody is taken back by paths 2 and 3."""
    found.run("argo-cd")
    _python(found, "conformance.prove_rollbacks")


def _walk(found: Kit) -> None:
    """Every scenario ends on the real controller as it does in the rehearsal."""
    _python(found, "conformance.prove_scenarios", HOST)


def _evaluate(found: Kit) -> None:
    """Every generated metric is judged as the real controller judges it."""
    found.controller("--controllers=analysis")
    _python(found, "conformance.prove_evaluator", HOST, str(CASES), str(SEED))


def _rehearse(found: Kit, wanted: int, *arguments: str) -> dict[str, Any]:
    """A rehearsal on the cluster: its result, if it ends with the code that is wanted."""
    command = ["rehearse", "--ground", "cluster", "--time-scale", SCALE, *arguments]
    code = _run(found, *command)
    result = json.loads((ROOT / "out/rehearsals/latest/result.json").read_text(encoding="utf-8"))
    _require(code == wanted, f"`{' '.join(command)}` ended with {code}, not {wanted}")
    return dict(result)


def _python(found: Kit, module: str, *arguments: str) -> None:
    _require(_run(found, "python", "-m", module, *arguments) == 0, f"{module} found differences")


def _run(found: Kit, *command: str) -> int:
    try:
        return subprocess.run(
            found.command(*command), check=False, cwd=ROOT, timeout=kit.LONG_S
        ).returncode
    except subprocess.TimeoutExpired:
        raise MachineError(f"{Path(command[0]).name} did not end in {kit.LONG_S} s") from None


def _require(true: bool, otherwise: str) -> None:
    if not true:
        raise AssertionError(otherwise)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 — a program that prints


PARTS: dict[str, list[Step]] = {
    "core": [_admit, _abort, _promote],
    "cluster": [_admit, _abort, _promote, _go_back],
    "conformance": [_walk, _evaluate],
}
