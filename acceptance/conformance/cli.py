"""`python -m acceptance.conformance`: the platform on a real cluster, brought up and down again."""

from __future__ import annotations

import json
import secrets
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policies import objects

from acceptance.conformance import kit
from acceptance.conformance.kit import HOST, ROOT, Kit
from acceptance.conformance.scenarios import SCENARIOS
from canary.errors import MachineError
from canary.runtime import processes, program

EPILOG = """\
parts:
  core        every object admitted under `restricted`, a release aborted, one promoted, and one
              taken back                                               (.ci/run)
  cluster     core, the retention job, and the rollback paths through a real Argo CD
                                                                       (make test-cluster)
  conformance every scenario, and the evaluator's cases, ours beside the real controller's
                                                                       (make prove-conformance)
  rollbacks, scenarios, evaluator
              a part of these by itself

exit codes: 0 as it should be   1 not   2 no such part   4 no cluster to be had, or our fault
  130 interrupted
  (without a cluster the core is skipped and ends with 0, for CI runs it everywhere)
"""

OVERLAYS = ("dev", "staging", "production", "local")
# APIs whose controllers the kit does not have; their objects are held against schemas instead.
ABSENT = {"SecretProviderClass", "PodMonitor", "Probe", "ExternalSecret", "SecretStore"}
# At this scale the first look would see 200 requests: the canary's tenth of 100/s in its 20 s. But
# the gateway finds a new pod by DNS up to 8 s late: 120 are left where the gates want 80. A higher
# rate would only heat a machine of two cores that starts pods at the same time.
BAD, SCALE, RATE = "errors=20%", "3", "100"
CASES, SEED = 2000, 1
# The gates that a slow machine moves.
SLOWED = {"p95-latency-seconds", "cpu-saturation-ratio"}

GATEWAY = ("Service", "gateway")


@dataclass(frozen=True)
class Run:
    """The cluster, and what was asked of it."""

    kit: Kit
    only: tuple[str, ...] = ()


@dataclass(frozen=True)
class End:
    """How a rehearsal ended: its exit code, and the gate that rolled the release back."""

    code: int
    gate: str | None = None

    @property
    def slow(self) -> bool:
        """Whether a machine that is too slow would end so: nothing else is tried again.

        Paused for too few requests, the harness left behind, or rolled back by what slowness moves;
        on a cluster no look at the stable release tells a slow node from a slow release.
        """
        return self.code in (3, 4) or self.gate in SLOWED

    def __str__(self) -> str:
        return f"exit {self.code}" + (f" by {self.gate}" if self.gate else "")


Step = Callable[[Run], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a part; every failure is one line on standard error."""
    return program.run("conformance", _main, arguments)


def _main(arguments: Sequence[str]) -> int:
    parser = program.parser("conformance", description=__doc__, epilog=EPILOG)
    parser.add_argument("part", choices=[*PARTS])
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="of the scenarios, these"
    )
    chosen = parser.parse_args(arguments)
    if unknown := set(chosen.only) - {scenario.name for scenario in SCENARIOS}:
        parser.error(f"no scenario is called {', '.join(sorted(unknown))}")
    if reason := kit.unusable():
        # CI runs the core wherever it is; whoever asks for a proof is not told that it passed.
        if chosen.part == "core":
            _say(f"skipped: {reason}")
            return 0
        raise MachineError(reason)
    found = kit.find()
    assert found is not None
    run, before = Run(found, tuple(chosen.only)), found.remains()
    try:
        for step in [_bring_up, *PARTS[chosen.part]]:
            began = time.monotonic()
            step(run)
            _say(f"{(step.__doc__ or '').strip()} ({time.monotonic() - began:.0f} s)")
    except AssertionError as wrong:
        return program.fail("conformance", str(wrong), program.BAD)
    finally:
        with program.undisturbed():
            found.down()
    if left := found.remains() - before:
        return program.fail("conformance", f"left behind: {', '.join(sorted(left))}", program.BAD)
    return program.GOOD


def _bring_up(run: Run) -> None:
    """A real cluster is up."""
    run.kit.start()


def _furnish(run: Run) -> None:
    """The images are in it: the service's by its Dockerfile, stand-ins for the upstream ones."""
    run.kit.furnish()


def _admit(run: Run) -> None:
    """Every object of every overlay is admitted under restricted."""
    for namespace in ("base/namespace.yaml", "overlays/local/namespace-monitoring.yaml"):
        run.kit.kubectl("apply", "-f", str(ROOT / "deploy" / namespace))
    for overlay in OVERLAYS:
        rendered = objects.read(ROOT / "deploy/overlays" / overlay)
        admitted = [body for body in rendered if body["kind"] not in ABSENT]
        said = run.kit.kubectl("apply", "--dry-run=server", "-f", "-", given=_list(admitted))
        _say(f"  {overlay}: {len(said.splitlines())} of {len(rendered)} admitted")
        _require(len(said.splitlines()) == len(admitted), f"{overlay}: not all were admitted")


def _give_secret(run: Run) -> None:
    """The service has its Secret, which no commit brings."""
    given = ["database-url=postgresql://gridos@postgresql/gridos"]
    given += [f"api-keys={secrets.token_hex(16)}"]
    literals = [f"--from-literal={pair}" for pair in given]
    run.kit.kubectl("create", "secret", "generic", "gridos", "-n", "gridos", *literals)


def _abort(run: Run) -> None:
    """A bad release is aborted by its gate (path 1), and no request of its users is lost."""
    result = rehearse(run, End(1, "error-ratio"), "--fault", BAD)
    last = result["verdict"]["last_canary_response_after_s"]
    _say(f"  after {result['verdict']['decided_after_s']} s, last response {last} s")


def _promote(run: Run) -> None:
    """A healthy release is promoted, and no request of its users fails."""
    result = rehearse(run, End(0))
    _say(f"  {result['traffic']['requests']} requests, none failed")


def _take_back(run: Run) -> None:
    """A promoted release is taken back by undo, and no request of its users fails."""
    _python(run, "acceptance.conformance.prove_rollbacks", "undo")


def _retain(run: Run) -> None:
    """The retention job does its work."""
    job = ("job/gridos-retain-now", "-n", "gridos")
    run.kit.kubectl(
        "create", "job", job[0].removeprefix("job/"), *job[1:], "--from=cronjob/gridos-retain"
    )
    run.kit.kubectl("wait", "--for=condition=complete", "--timeout=120s", *job)
    _say(f"  {run.kit.kubectl('logs', *job).strip().splitlines()[-1]}")


def _go_back(run: Run) -> None:
    """A bad release in front of everybody is taken back by paths 2 and 3."""
    run.kit.run("argo-cd")
    _python(run, "acceptance.conformance.prove_rollbacks", "argo-cd")


def _walk(run: Run) -> None:
    """Every scenario ends on the real controller as it does in the rehearsal."""
    _python(run, "acceptance.conformance.prove_scenarios", HOST, *run.only)


def _evaluate(run: Run) -> None:
    """Every generated metric is judged as the real controller judges it."""
    # Its own limit of 40 requests/s to the API would make it a matter of minutes more.
    run.kit.controller("--controllers=analysis", "--qps=200", "--burst=400")
    _python(run, "acceptance.conformance.prove_evaluator", HOST, str(CASES), str(SEED))


def rehearse(run: Run, wanted: End, *arguments: str) -> dict[str, Any]:
    """A rehearsal on the cluster: its result, if it ends as is wanted.

    A machine too slow for its load has a second try, and users must have been spared in both.
    """
    command = ["canary", "rehearse", "--target", "cluster", "--time-scale", SCALE]
    command += ["--rate", RATE, "--url", _way_in(run), *arguments]
    end, result = _try(run, command, wanted)
    if end != wanted and end.slow:
        _say(f"  {end}: a machine that is too slow ends so as well, so once more")
        end, result = _try(run, command, wanted)
    _require(end == wanted, f"`{' '.join(command)}`: {end}, not {wanted}")
    return result


def _try(run: Run, command: Sequence[str], wanted: End) -> tuple[End, dict[str, Any]]:
    newest = ROOT / "out/rehearsals/latest"
    before = newest.resolve()
    code = _run(run, *command)
    # Not that of a run before, which would pass for this one's.
    _require(newest.resolve() != before, f"`{' '.join(command)}`: exit {code}, and no result")
    result = json.loads((newest / "result.json").read_text(encoding="utf-8"))
    if harm := hurt(result["traffic"], wanted):
        raise AssertionError(f"{harm} requests failed, and not by the release")
    gate = result["verdict"]["gate"] if code == 1 else None
    return End(code, gate and gate["name"]), dict(result)


def hurt(traffic: Mapping[str, int], wanted: End) -> int:
    """Requests that users lost, and those that failed unless a bad release was to fail them."""
    return traffic["lost"] + (traffic["failed"] if wanted.gate is None else 0)


def _way_in(run: Run) -> str:
    """The gateway's address: users are on the node, and need no port-forward through the API."""
    rendered = objects.read(ROOT / "deploy/overlays/local")
    (gateway,) = [b for b in rendered if (b["kind"], b["metadata"]["name"]) == GATEWAY]
    run.kit.kubectl("apply", "-f", "-", given=_list([gateway]))
    where = ("service", "gateway", "-n", "gridos", "-o", "jsonpath={.spec.clusterIP}")
    return f"http://{run.kit.kubectl('get', *where)}"


def _list(items: Sequence[objects.Object]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(items)})


def _python(run: Run, module: str, *arguments: str) -> None:
    _require(_run(run, "python", "-m", module, *arguments) == 0, f"{module} found differences")


def _run(run: Run, *command: str) -> int:
    try:
        return processes.run(
            run.kit.command(*command), check=False, cwd=ROOT, timeout=kit.LONG_S
        ).returncode
    except subprocess.TimeoutExpired:
        raise MachineError(f"{Path(command[0]).name} did not end in {kit.LONG_S} s") from None


def _require(true: bool, otherwise: str) -> None:
    if not true:
        raise AssertionError(otherwise)


def _say(text: str) -> None:
    print(text, flush=True)


CORE: list[Step] = [_furnish, _admit, _abort, _promote, _take_back]
PARTS: dict[str, list[Step]] = {
    "core": CORE,
    "cluster": [*CORE, _retain, _go_back],
    "rollbacks": [_furnish, _admit, _give_secret, _go_back],
    "scenarios": [_walk],
    "evaluator": [_evaluate],
    "conformance": [_walk, _evaluate],
}
