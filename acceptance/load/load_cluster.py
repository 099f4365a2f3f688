"""The load test in a real cluster, against `deploy/overlays/local`: `make prove-load-cluster`.

A Job and its workers send a healthy release's load and must end with PASS; Argo Rollouts runs the
same as the metric of an analysis, which must be Successful for `smoke` and Failed for `idle`, for a
Job knows no third end. Needs the cluster kit (acceptance/conformance/kit.py says which); exit code
1 if a bar is missed, 2 where there is none.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from acceptance.conformance import kit
from acceptance.conformance.kit import ROOT, Kit
from canary.errors import MachineError
from canary.runtime import program
from canary.runtime.waiting import wait_until

HERE = ROOT / "loadtest/cluster"
SERVICE, LOAD = "gridos", "gridos-load"
HOST, IMAGE, KEY = "http://gateway.gridos", "localhost/gridos-load:dev", "prove-load"
READY_S, RUN_S = 300.0, 180.0
DATABASE_URL = "postgresql://gridos@postgresql/gridos"


def main(arguments: Sequence[str]) -> int:
    """Brings a cluster up, runs everything, and takes it down."""
    program.parser("prove-load-cluster", description=__doc__).parse_args(arguments)
    if reason := kit.unusable():
        raise MachineError(reason)
    cluster = kit.find()
    assert cluster is not None
    try:
        cluster.up()
        _build(cluster)
        _serve(cluster)
        held = [_job(cluster), _analysis(cluster, "smoke", "Successful")]
        held.append(_analysis(cluster, "idle", "Failed"))
    finally:
        with program.undisturbed():
            cluster.down()
    print(f"{sum(held)} of {len(held)} held")
    return 0 if all(held) else 1


def _build(cluster: Kit) -> None:
    """The image, from what its Dockerfile copies and nothing else."""
    dockerfile = HERE / "Dockerfile"
    lines = re.findall(r"^COPY (.+) \S+$", dockerfile.read_text(), re.MULTILINE)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(dockerfile, folder)
        for source in (word for line in lines for word in line.split()):
            target = Path(folder) / source
            target.parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
            copy(ROOT / source, target)
        cluster.run("image", IMAGE, folder)


def _serve(cluster: Kit) -> None:
    """The service, healthy behind its gateway."""
    _namespace(cluster, ROOT / "deploy/base/namespace.yaml", SERVICE, "load-key", key=KEY)
    given = {"database-url": DATABASE_URL, "api-keys": KEY}
    _secret(cluster, SERVICE, "gridos", **given)
    cluster.kubectl("apply", "-k", str(ROOT / "deploy/overlays/local"))

    def healthy() -> bool:
        return _of(cluster, SERVICE, "rollout", "gridos").get("phase") == "Healthy"

    if not wait_until(healthy, timeout_s=READY_S):
        raise SystemExit(cluster.kubectl("get", "pods", "-n", SERVICE))


def _job(cluster: Kit) -> bool:
    """The Job, master of its workers."""
    _namespace(cluster, HERE / "namespace.yaml", LOAD, "load-key", key=KEY)
    cluster.kubectl("apply", "-k", str(ROOT / "loadtest/cluster-local"))

    def ended() -> bool:
        status = _of(cluster, LOAD, "job", "load")
        return bool(status.get("succeeded") or status.get("failed"))

    if not wait_until(ended, timeout_s=RUN_S):
        print(cluster.kubectl("get", "events", "-n", LOAD))
    said = cluster.run("run", "kubectl", "logs", "-n", LOAD, "job/load", check=False)
    print(said, flush=True)
    return _of(cluster, LOAD, "job", "load").get("succeeded") == 1 and "\nPASS: " in f"\n{said}"


def _analysis(cluster: Kit, profile: str, wanted: str) -> bool:
    """An AnalysisRun of the shipped template, as a step of a Rollout would make it."""
    for file in ("analysis-load.yaml", "networkpolicy-analysis.yaml"):
        cluster.kubectl("apply", "-n", SERVICE, "-f", str(HERE / file))
    spec = yaml.safe_load((HERE / "analysis-load.yaml").read_text())["spec"]
    given = {"host": HOST, "profile": profile, "image": IMAGE}
    args = [{"name": arg["name"], "value": given[arg["name"]]} for arg in spec["args"]]
    pod = spec["metrics"][0]["provider"]["job"]["spec"]["template"]["spec"]
    # Beside ten pods a node of two cores has none left to promise.
    pod["containers"][0]["resources"]["requests"]["cpu"] = "100m"
    run = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AnalysisRun",
        "metadata": {"name": f"load-{profile}", "namespace": SERVICE},
        "spec": {"metrics": spec["metrics"], "args": args},
    }
    cluster.kubectl("apply", "-f", "-", given=json.dumps(run))

    def phase() -> str:
        return str(_of(cluster, SERVICE, "analysisrun", f"load-{profile}").get("phase", ""))

    wait_until(lambda: phase() in ("Successful", "Failed", "Error"), timeout_s=RUN_S)
    pods = "-l=app.kubernetes.io/name=load"
    said = cluster.run("run", "kubectl", "logs", "-n", SERVICE, pods, "--tail=40", check=False)
    verdict = re.findall(r"^(?:PASS|FAIL|INCONCLUSIVE): .*", said, re.MULTILINE)
    print(f"analysis {profile:<8}{phase():<12}wanted {wanted:<12}{verdict}", flush=True)
    return phase() == wanted


def _namespace(cluster: Kit, file: Path, namespace: str, name: str, **content: str) -> None:
    """A namespace with one Secret in it."""
    cluster.kubectl("apply", "-f", str(file))
    _secret(cluster, namespace, name, **content)


def _secret(cluster: Kit, namespace: str, name: str, **content: str) -> None:
    literals = [f"--from-literal={key}={value}" for key, value in content.items()]
    cluster.kubectl("create", "secret", "generic", name, "-n", namespace, *literals)


def _of(cluster: Kit, namespace: str, kind: str, name: str) -> dict[str, Any]:
    """An object's status."""
    text = cluster.kubectl("get", kind, name, "-n", namespace, "-o", "json")
    status: dict[str, Any] = json.loads(text).get("status", {})
    return status


if __name__ == "__main__":
    sys.exit(program.run("prove-load-cluster", main))
