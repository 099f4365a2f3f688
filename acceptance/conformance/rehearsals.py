"""Rehearsals on a cluster that is up: how each ended, and what its users lost."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acceptance import cluster as clusters
from acceptance.cluster import ROOT, Cluster
from canary.errors import MachineError
from canary.runtime import processes
from policies import objects

# At this scale the first measurement would see 200 requests: the canary's tenth of 100/s in its 20
# s. But the gateway finds a new pod by DNS up to 8 s late: 120 are left where the gates want 80. A
# higher rate would only heat a machine of two cores that starts pods at the same time.
SCALE, RATE = "3", "100"
# The gates that a slow machine moves.
SLOWED = {"p95-latency-seconds", "cpu-saturation-ratio"}
GATEWAY = ("Service", "gateway")


@dataclass(frozen=True)
class End:
    """How a rehearsal ended: its exit code, and the gate that rolled the release back."""

    code: int
    gate: str | None = None

    @property
    def slow(self) -> bool:
        """Whether a machine that is too slow would end so: nothing else is tried again.

        Paused for too few requests, the harness left behind, or rolled back by what slowness moves;
        on a cluster no measurement of the stable release tells a slow node from a slow release.
        """
        return self.code in (3, 4) or self.gate in SLOWED

    def __str__(self) -> str:
        return f"exit {self.code}" + (f" by {self.gate}" if self.gate else "")


def rehearse(cluster: Cluster, wanted: End, *arguments: str, spared: bool = True) -> dict[str, Any]:
    """A rehearsal on the cluster: its result, and a failed test if it does not end as is wanted.

    A machine too slow for its load has a second try, and users must have been spared in both,
    unless what harms them is part of the test.
    """
    command = ["canary", "rehearse", "--target", "cluster", "--time-scale", SCALE]
    command += ["--rate", RATE, "--url", _gateway(cluster), *arguments]
    end, result = _try(cluster, command, wanted, spared)
    if end != wanted and end.slow:
        print(f"{end}: a machine that is too slow ends so as well, so once more", flush=True)
        end, result = _try(cluster, command, wanted, spared)
    assert end == wanted, f"`{' '.join(command)}`: {end}, not {wanted}"
    return result


def _try(
    cluster: Cluster, command: Sequence[str], wanted: End, spared: bool
) -> tuple[End, dict[str, Any]]:
    newest = ROOT / "out/rehearsals/latest"
    before = newest.resolve()
    code = run(cluster, *command)
    # Not that of a run before, which would pass for this one's.
    assert newest.resolve() != before, f"`{' '.join(command)}`: exit {code}, and no result"
    result = json.loads((newest / "result.json").read_text(encoding="utf-8"))
    harm = spared and hurt(result["traffic"], wanted)
    assert not harm, f"{harm} requests failed, and not by the release"
    gate = result["verdict"]["gate"] if code == 1 else None
    return End(code, gate and gate["name"]), dict(result)


def hurt(traffic: Mapping[str, int], wanted: End) -> int:
    """Requests that users lost, and those that failed unless a bad release was to fail them."""
    return traffic["lost"] + (traffic["failed"] if wanted.gate is None else 0)


def run(cluster: Cluster, *command: str) -> int:
    """The exit code of a program in the cluster's network."""
    try:
        return processes.run(
            cluster.command(*command), check=False, cwd=ROOT, timeout=clusters.LONG_S
        ).returncode
    except subprocess.TimeoutExpired:
        name = Path(command[0]).name
        raise MachineError(f"{name} did not end in {clusters.LONG_S} s") from None


def _gateway(cluster: Cluster) -> str:
    """The gateway's address: users are on the node, and need no port-forward through the API."""
    rendered = objects.read(ROOT / "deploy/overlays/local")
    (gateway,) = [b for b in rendered if (b["kind"], b["metadata"]["name"]) == GATEWAY]
    cluster.apply(gateway)
    where = ("service", "gateway", "-n", "gridos", "-o", "jsonpath={.spec.clusterIP}")
    return f"http://{cluster.kubectl('get', *where)}"
