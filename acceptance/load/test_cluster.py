"""The load test in a real cluster, against `deploy/overlays/local`.

A Job and its workers send a healthy release's load and must end with PASS; Argo Rollouts runs the
same as the metric of an analysis, which must be Successful for `smoke` and Failed for `idle`, for a
Job knows no third end.
"""

import json
import re
import shutil

import pytest
import yaml

from acceptance.cluster import ROOT
from acceptance.things import thing
from canary.runtime.waiting import wait_until

pytestmark = pytest.mark.cluster
HERE = ROOT / "loadtest/cluster"
SERVICE, LOAD = "gridos", "gridos-load"
HOST, IMAGE, KEY = "http://gateway.gridos", "localhost/gridos-load:dev", "load-key"
READY_S, RUN_S = 300.0, 180.0
DATABASE_URL = "postgresql://gridos@postgresql/gridos"


@pytest.fixture(scope="module")
def release(platform, tmp_path_factory):
    """The cluster, with the load test's image and a healthy release behind its gateway."""
    build(platform, tmp_path_factory.mktemp("image"))
    namespace(platform, ROOT / "deploy/base/namespace.yaml", SERVICE)
    secret(platform, SERVICE, "gridos", **{"database-url": DATABASE_URL, "api-keys": KEY})
    platform.kubectl("apply", "-k", str(ROOT / "deploy/overlays/local"))

    def healthy():
        return status(platform, SERVICE, "rollout", "gridos").get("phase") == "Healthy"

    ready = wait_until(healthy, timeout_s=READY_S)
    assert ready, platform.kubectl("get", "pods", "-n", SERVICE)
    return platform


def build(cluster, folder):
    """The image, from what its Dockerfile copies and nothing else."""
    dockerfile = HERE / "Dockerfile"
    lines = re.findall(r"^COPY (.+) \S+$", dockerfile.read_text(), re.MULTILINE)
    shutil.copy(dockerfile, folder)
    for source in (word for line in lines for word in line.split()):
        target = folder / source
        target.parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
        copy(ROOT / source, target)
    cluster.run("image", IMAGE, str(folder))


def namespace(cluster, file, name):
    """A namespace with the load test's key in it."""
    cluster.kubectl("apply", "-f", str(file))
    secret(cluster, name, "load-key", key=KEY)


def secret(cluster, namespace, name, **content):
    literals = [f"--from-literal={key}={value}" for key, value in content.items()]
    cluster.kubectl("create", "secret", "generic", name, "-n", namespace, *literals)


def status(cluster, namespace, kind, name):
    """An object's."""
    return json.loads(cluster.kubectl("get", kind, name, "-n", namespace, "-o", "json")).get(
        "status", {}
    )


def test_a_job_and_its_workers_pass_a_healthy_release(release):
    namespace(release, HERE / "namespace.yaml", LOAD)
    release.kubectl("apply", "-k", str(ROOT / "loadtest/cluster-local"))

    def ended():
        found = status(release, LOAD, "job", "load")
        return bool(found.get("succeeded") or found.get("failed"))

    if not wait_until(ended, timeout_s=RUN_S):
        print(release.kubectl("get", "events", "-n", LOAD))
    said = release.run("run", "kubectl", "logs", "-n", LOAD, "job/load", check=False)
    print(said, flush=True)
    assert status(release, LOAD, "job", "load").get("succeeded") == 1
    assert "\nPASS: " in f"\n{said}"


@pytest.mark.parametrize(("profile", "wanted"), [("smoke", "Successful"), ("idle", "Failed")])
def test_an_analysis_of_the_shipped_template_ends_as_the_profile_does(
    release, measured, profile, wanted
):
    """As a step of a Rollout would make it."""
    for file in ("analysis-load.yaml", "networkpolicy-analysis.yaml"):
        release.kubectl("apply", "-n", SERVICE, "-f", str(HERE / file))
    spec = yaml.safe_load((HERE / "analysis-load.yaml").read_text())["spec"]
    given = {"host": HOST, "profile": profile, "image": IMAGE}
    args = [{"name": arg["name"], "value": given[arg["name"]]} for arg in spec["args"]]
    pod = spec["metrics"][0]["provider"]["job"]["spec"]["template"]["spec"]
    # Beside ten pods a node of two cores has none left to promise.
    pod["containers"][0]["resources"]["requests"]["cpu"] = "100m"
    spec = {"metrics": spec["metrics"], "args": args}
    run = thing("argoproj.io/v1alpha1", "AnalysisRun", f"load-{profile}", SERVICE, spec=spec)
    release.kubectl("apply", "-f", "-", given=json.dumps(run))

    def phase():
        return status(release, SERVICE, "analysisrun", f"load-{profile}").get("phase", "")

    wait_until(lambda: phase() in ("Successful", "Failed", "Error"), timeout_s=RUN_S)
    pods = "-l=app.kubernetes.io/name=load"
    said = release.run("run", "kubectl", "logs", "-n", SERVICE, pods, "--tail=40", check=False)
    verdict = re.findall(r"^(?:PASS|FAIL|INCONCLUSIVE): .*", said, re.MULTILINE)
    measured(profile, f"{phase()} {verdict}")
    assert phase() == wanted
