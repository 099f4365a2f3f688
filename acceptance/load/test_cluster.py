"""The load test in a real cluster, against `deploy/overlays/local`, by the commands of its pages.

A Job and its workers send a healthy release's load and must end with PASS; Argo Rollouts runs the
same as the metric of an analysis, which must be Successful for `smoke` and Failed for `idle`, for a
Job knows no third end.
"""

import base64
import json
import re
import shutil

import pytest
import yaml

from acceptance.cluster import LONG_S, ROOT
from acceptance.documents import commands
from acceptance.things import thing
from canary.runtime import processes
from canary.runtime.waiting import wait_until

pytestmark = pytest.mark.cluster
HERE = ROOT / "loadtest/cluster"
SERVICE, LOAD = "gridos", "gridos-load"
HOST, IMAGE = "http://gateway.gridos", "localhost/gridos-load:dev"
READY_S, RUN_S = 300.0, 180.0
PORT = 18080
# Its last two look at what the others have installed.
*INSTALL, FORWARD, REHEARSE = commands("docs/install.md", "a cluster")
# With the waiting for the Job's pod and its log.
RUN = commands("docs/reference/loadtest.md", "a cluster")


@pytest.fixture(scope="module")
def release(platform, tmp_path_factory):
    """The cluster, with the load test's image and a healthy release behind its gateway."""
    build(platform, tmp_path_factory.mktemp("image"))
    for line in INSTALL:
        typed(platform, line)

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


def typed(cluster, line):
    """What a command of a page says; it must not fail."""
    return cluster.run("run", "bash", "-o", "pipefail", "-c", line)


def status(cluster, namespace, kind, name):
    """An object's."""
    return json.loads(cluster.kubectl("get", kind, name, "-n", namespace, "-o", "json")).get(
        "status", {}
    )


def test_a_job_and_its_workers_pass_a_healthy_release(release):
    for line in RUN:
        said = typed(release, line)
    # The last follows the log to its end.
    print(said, flush=True)
    assert "\nPASS: " in f"\n{said}"

    def succeeded():
        return status(release, LOAD, "job", "load").get("succeeded") == 1

    assert wait_until(succeeded, timeout_s=RUN_S)


def test_the_service_answers_and_a_faulty_release_is_rolled_back_as_the_page_says(
    release, measured
):
    # Where a cluster is one machine, its controllers may have the page's port themselves.
    forward = FORWARD.replace(" 8080:", f" {PORT}:")
    assert forward != FORWARD
    asked = (
        f"curl -sS --fail --retry 20 --retry-connrefused http://127.0.0.1:{PORT}/v1/openapi.json"
    )
    assert typed(release, f"{forward} >&2 & trap 'kill $!' EXIT; {asked}")
    typist = release.command("bash", "-c", REHEARSE)
    done = processes.run(typist, cwd=ROOT, capture_output=True, text=True, timeout=LONG_S)
    said = done.stdout + done.stderr
    measured(REHEARSE, "".join(re.findall("^(?:Rolled back|Promoted).*", said, re.MULTILINE)))
    # Of make, for which every code but 0 is this one.
    assert done.returncode == 2, said
    assert "Rolled back at " in said


@pytest.mark.parametrize(("profile", "wanted"), [("smoke", "Successful"), ("idle", "Failed")])
def test_an_analysis_of_the_shipped_template_ends_as_the_profile_does(
    release, measured, profile, wanted
):
    """As a step of a Rollout would make it."""
    where = ("secret", "gridos", "-n", SERVICE, "-o", "jsonpath={.data.api-keys}")
    key, _, _ = base64.b64decode(release.kubectl("get", *where)).decode().partition(":")
    secret = thing("v1", "Secret", "load-key", SERVICE, stringData={"key": key})
    release.apply(secret)
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
    release.apply(run)

    def phase():
        return status(release, SERVICE, "analysisrun", f"load-{profile}").get("phase", "")

    wait_until(lambda: phase() in ("Successful", "Failed", "Error"), timeout_s=RUN_S)
    pods = "-l=app.kubernetes.io/name=load"
    said = release.run("run", "kubectl", "logs", "-n", SERVICE, pods, "--tail=40", check=False)
    verdict = re.findall(r"^(?:PASS|FAIL|INCONCLUSIVE): .*", said, re.MULTILINE)
    measured(profile, f"{phase()} {verdict}")
    assert phase() == wanted
