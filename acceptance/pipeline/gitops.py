"""The whole loop on a cluster that is up, and how long each leg takes.

A commit is built into an image, pushed by digest and signed, and pinned on the environment's branch
of a git remote that a real Argo CD follows; the Rollout takes its steps under load and is promoted.
Then the same with a bad image: aborted by a gate, and what rollback.yaml runs leads back. In
between, admission is asked about images that it must refuse.

The Rollout, its gates and their durations are deploy/base's; a scale of 2 halves them.
What stands in: a registry on the node's loopback, a key instead of Sigstore, overlays/local's
content as the overlay of dev, and this program for the workflows' jobs, whose commands it runs, and
for Argo CD's report to GitHub of what was promoted.
"""

import json
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from pipeline import kustomization, overlay
from pipeline.releases import Release, version
from pipeline.repository import Repository

from acceptance import cluster as clusters
from acceptance.calling import quietly
from acceptance.cluster import ROOT
from acceptance.conformance.rollbacks import APPLICATION, NAMESPACE, READY_S, Loop, Service
from acceptance.git import commit, git, publish
from acceptance.things import thing
from canary.errors import RehearsalError
from canary.rehearse import cluster_state, time_compression
from canary.runtime.kubectl import Kubectl
from canary.runtime.waiting import wait_until

# containerd takes plain HTTP from the loopback, and from nowhere else.
REGISTRY = "localhost:5000"
TAG = "localhost/gridos-gitops:job"
ENVIRONMENT = "dev"
FOLDER = f"deploy/overlays/{ENVIRONMENT}"
BRANCH = overlay.branch(ENVIRONMENT)
# Steps of 1, 2 and 3 minutes, pods that start beside much else, and a look after each.
TIMEOUT_S = 1500
POLICY_S = 60
GOOD = ("service/gridos/api/health.py", "", "\n# A healthy release.\n")
BAD = ("Dockerfile", "\nUSER ", "\nENV GRIDOS_FAULTS=errors=20%\nUSER ")


Measured = Callable[..., None]


@contextmanager
def leg(measured: Measured, name: str) -> Iterator[None]:
    """Takes the time of what stands inside."""
    began = time.monotonic()
    yield
    measured(name, f"{time.monotonic() - began:.1f} s")


class Stage(Loop):
    """The remote whose overlay of dev needs no Azure, and the Application that follows it."""

    def prepare(self, scale: float = 1) -> None:
        """Makes the remote out of this checkout's last commit, its waits divided by `scale`."""
        publish(ROOT, self.remote, self.checkout)
        shutil.rmtree(self.checkout / FOLDER)
        shutil.copytree(self.checkout / "deploy/overlays/local", self.checkout / FOLDER)
        pinned = self.checkout / overlay.path(ENVIRONMENT)
        local = yaml.safe_load(text := pinned.read_text())["images"][0]
        old = f"newName: {local['newName']}\n    newTag: {local['newTag']}\n"
        new = f"newName: {REGISTRY}/gridos\n    newTag: none\n    digest: sha256:{'0' * 64}\n"
        pinned.write_text(text.replace(old, new))
        if scale != 1:
            base = self.checkout / "deploy/base"
            for file in (base / "rollout.yaml", *base.glob("analysis-*.yaml")):
                bodies = list(yaml.safe_load_all(file.read_text()))
                time_compression.shorten(bodies, scale)
                file.write_text(yaml.safe_dump_all(bodies))
        commit(self.checkout, "Let dev run without Azure")
        self._push()

    def follow(self) -> None:
        """Makes the Application, waits until all is well, and lets users in."""
        self.kubectl.apply(json.dumps(self._application()))
        self._await("the first sync", self._synced_and_healthy, 2 * READY_S)
        Service.begin(self)

    def change(self, path: str, before: str, after: str, message: str) -> str:
        """Commits a change of one file and pushes it; returns the commit."""
        self.update()
        file = self.checkout / path
        text = file.read_text()
        file.write_text(text.replace(before, after, 1) if before else text + after)
        made = commit(self.checkout, message)
        self._push()
        return made

    def update(self) -> None:
        """What a person does first."""
        git(self.checkout, "pull", "--quiet", "--rebase", "origin", "main")

    def head(self) -> str:
        """Where main stands."""
        return git(self.remote, "rev-parse", "main")

    def pinned(self) -> str:
        """The digest that the environment's branch names."""
        file = git(self.remote, "show", f"{BRANCH}:{overlay.path(ENVIRONMENT)}")
        return kustomization.read(file).digest

    def asked(self) -> bool:
        """Whether Argo CD has brought the branch's digest to the Rollout."""
        status = self.kubectl.one("argocd", "application", APPLICATION).get("status", {})
        compared = status.get("sync", {}).get("revision")
        image = self.rollout()["spec"]["template"]["spec"]["containers"][0]["image"]
        return bool(
            compared == git(self.remote, "rev-parse", BRANCH) and image.endswith(self.pinned())
        )

    def users(self) -> tuple[int, int]:
        """Requests so far, and how many of them failed or were lost."""
        seconds = self._seconds()
        return sum(s.requests for s in seconds), sum(s.failed + s.lost for s in seconds)

    def _application(self) -> dict[str, Any]:
        body = super()._application()
        body["spec"]["source"] |= {"targetRevision": BRANCH, "path": FOLDER}
        return body


class Pipeline:
    """What the jobs of release.yaml do, by the same commands, in a clone of its own."""

    def __init__(self, folder: Path, remote: Path, program: Path, outside: int) -> None:
        self._folder, self._remote = folder, remote
        self._program, self._outside = program, outside
        self.clone, self._out = folder / "job", folder / "out"
        self._image, self._sbom = self._out / "image", self._out / "sbom.cdx.json"

    def prepare(self) -> None:
        """Makes the clone, and a key that stands in for the workflow's identity."""
        run("git", "clone", "--quiet", str(self._remote), str(self.clone))
        run("cosign", "generate-key-pair", cwd=self._folder)

    def build(self, source: str) -> None:
        """An image of this commit; its packages come from a network that the cluster has not."""
        git(self.clone, "fetch", "--quiet", "origin")
        git(self.clone, "checkout", "--quiet", "--detach", source)
        outside = ("nsenter", f"--net=/proc/{self._outside}/ns/net")
        run(*outside, str(self._program), "image", TAG, str(self.clone))

    def pack(self) -> str:
        """The image as build.yaml hands it on, with its bill of materials; returns the digest."""
        shutil.rmtree(self._out, ignore_errors=True)
        self._out.mkdir(parents=True)
        run("podman", "save", "--quiet", "--format=oci-dir", "-o", str(self._image), TAG)
        run("syft", "scan", f"oci-dir:{self._image}", "-q", "-o", f"cyclonedx-json={self._sbom}")
        index = json.loads((self._image / "index.json").read_text())
        return str(index["manifests"][0]["digest"])

    def push(self, release: Release) -> None:
        """What publish.yaml's first job does."""
        of = ("--key", f"{self._folder}/cosign.key", str(self._image), str(self._sbom))
        registry, digest = f"REGISTRY={REGISTRY}", f"DIGEST={release.digest}"
        named = (f"VERSION={release.version}", f"SOURCE={release.source}")
        run("env", registry, digest, *named, "ci/push-image", *of, cwd=self.clone)

    def pin(self, release: Release) -> str:
        """What release.yaml's last job does; returns what it said."""
        of = ("--version", release.version, "--source", release.source, "--digest", release.digest)
        return self._pipeline("pin", "--environment", ENVIRONMENT, *of)

    def roll_back(self, promoted: str) -> str:
        """What rollback.yaml does, where this digest alone was promoted; returns what it said."""
        repository = Repository(self.clone)

        def verdict(commit: str, _environment: str) -> str:
            pinned = kustomization.read(repository.read(commit, overlay.path(ENVIRONMENT)))
            return overlay.PROMOTED if pinned.digest == promoted else "failure"

        now, to = overlay.destination(repository, ENVIRONMENT, verdict)
        of = ("--now", now.commit, "--to", to.commit)
        return self._pipeline("roll-back", "--environment", ENVIRONMENT, *of)

    def _pipeline(self, *arguments: str) -> str:
        return run("pipeline", *arguments, cwd=self.clone)


def run(*command: str, cwd: Path = ROOT) -> str:
    """Runs a program; what it said, and a failed test unless it ended well."""
    done = quietly(*command, cwd=cwd, timeout=clusters.LONG_S)
    assert done.returncode == 0, f"{' '.join(command[:4])}: {(done.stderr or done.stdout)[-600:]}"
    return done.stdout.strip()


def deliver(stage: Stage, jobs: Pipeline, source: str, measured: Measured) -> Release:
    """From a commit on main to the digest in the overlay."""
    with leg(measured, "image built"):
        jobs.build(source)
    with leg(measured, "packed, bill of materials made"):
        release = Release(version(jobs.clone), source, jobs.pack())
    with leg(measured, "pushed by digest, signed, attested"):
        jobs.push(release)
    with leg(measured, "pinned, one commit"):
        said = jobs.pin(release)
    assert "released" in said, said
    assert stage.pinned() == release.digest, said
    return release


def install(stage: Stage, jobs: Pipeline, measured: Measured) -> None:
    """The first release: nothing runs yet, so there is nothing to compare with, and no steps."""
    print("\nthe first release", flush=True)
    stage.kubectl.apply((ROOT / "deploy/base/namespace.yaml").read_text())
    secret = ["create", "secret", "generic", "gridos"]
    secret += [f"--from-literal=api-keys={secrets.token_hex(16)}"]
    database = "--from-literal=database-url=postgresql://gridos@postgresql/gridos"
    stage.kubectl.run(*secret, database, "-n", NAMESPACE)
    deliver(stage, jobs, stage.head(), measured)
    with leg(measured, "Argo CD makes everything, all pods ready, users come"):
        stage.follow()


def ship(
    stage: Stage, jobs: Pipeline, change: tuple[str, str, str], measured: Measured
) -> tuple[Release, dict[str, Any]]:
    """One release from its commit to its end; returns it and the Rollout as it ended."""
    with leg(measured, "change committed and pushed"):
        source = stage.change(*change, "Change the service")
    release = deliver(stage, jobs, source, measured)
    with leg(measured, "Argo CD has brought it to the Rollout"):
        reached = wait_until(stage.asked, timeout_s=READY_S, every_s=0.5)
    assert reached, "Argo CD did not bring it"
    with leg(measured, "steps taken, until promoted or aborted"):
        ended = follow(stage)
    return release, ended


def follow(stage: Stage) -> dict[str, Any]:
    """Prints each step, until the release has settled; returns the Rollout."""
    began, seen = time.monotonic(), ""
    while time.monotonic() - began < TIMEOUT_S:
        rollout = stage.rollout()
        status = rollout["status"]
        now = f"{status.get('phase')}, step {status.get('currentStepIndex')}"
        if now != seen:
            print(f"            + {time.monotonic() - began:5.0f} s  {now}", flush=True)
        seen = now
        if status.get("abort") or settled(rollout):
            return rollout
        time.sleep(1)
    raise AssertionError(f"no end in {TIMEOUT_S} s: {status.get('message', seen)}")


def settled(rollout: dict[str, Any]) -> bool:
    """Whether the newest release is the stable one, with all of its pods."""
    status = rollout["status"]
    newest = status.get("currentPodHash") == status.get("stableRS")
    return newest and cluster_state.stable(rollout, 1)


def refuse_others(stage: Stage, release: Release) -> None:
    """Admission, from now on: our image by digest, and no other."""
    parameters = (ROOT / "deploy/admission/parameters.yaml").read_text()
    shipped = list(yaml.safe_load_all(parameters))
    shipped[1]["data"]["registry"] = REGISTRY
    stage.kubectl.apply(yaml.safe_dump_all(shipped))
    stage.kubectl.apply((ROOT / "deploy/admission/images.yaml").read_text())
    others = (f"docker.io/library/python@{release.digest}", f"{REGISTRY}/gridos:{release.tag}")
    in_force = wait_until(
        lambda: all("images run here from" in admit(stage.kubectl, o) for o in others),
        timeout_s=POLICY_S,
        every_s=0.5,
    )
    assert in_force, f"admitted: one of {', '.join(others)}"
    ours = f"{REGISTRY}/gridos:{release.tag}@{release.digest}"
    said = admit(stage.kubectl, ours)
    assert not said


def admit(kubectl: Kubectl, image: str) -> str:
    """What the API server says to a pod of this image; nothing if it would let it in."""
    limits = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {"name": "asked", "image": image, "securityContext": limits}
    pod = thing("v1", "Pod", "asked", NAMESPACE, spec={"containers": [container]})
    try:
        kubectl.run("create", "--dry-run=server", "-f", "-", given=json.dumps(pod))
    except RehearsalError as refused:
        return str(refused)
    return ""


def go_back(stage: Stage, jobs: Pipeline, bad: Release, before: str, measured: Measured) -> None:
    """Back to what ran before, by Git; the old job, run again, does not bring the release back."""
    with leg(measured, "rolled back, one commit"):
        jobs.roll_back(before)
    with leg(measured, "Argo CD has brought the rollback, the Rollout is Healthy"):
        back = wait_until(
            lambda: stage.asked() and settled(stage.rollout()), timeout_s=READY_S, every_s=0.5
        )
    assert back, "the rollback did not lead back"
    said = jobs.pin(bad)
    assert "already released" in said, said
    assert stage.pinned() != bad.digest, said
    print(f"            the job again: {said}", flush=True)


def deliver_all(stage: Stage, jobs: Pipeline, measured: Measured, scale: float, only: str) -> None:
    """All of it, or the chosen part, on a cluster that is up."""
    stage.prepare(scale)
    jobs.prepare()
    install(stage, jobs, measured)
    try:
        first = Release(version(ROOT), stage.head(), stage.pinned())
        with leg(measured, "admission refuses another registry and a tag, and lets ours in"):
            refuse_others(stage, first)
        for part in (only,) if only else PARTS:
            print(f"\na {part} release", flush=True)
            PARTS[part](stage, jobs, measured)
            requests, failed = stage.users()
            measured(f"users after a {part} release", f"{requests}, {failed} failed or lost")
    finally:
        stage.end()


def good(stage: Stage, jobs: Pipeline, measured: Measured) -> None:
    """A release that is promoted."""
    _, ended = ship(stage, jobs, GOOD, measured)
    assert settled(ended), f"not promoted: {ended['status'].get('message')}"


def bad(stage: Stage, jobs: Pipeline, measured: Measured) -> None:
    """A release that a gate aborts, and the way back."""
    before = stage.pinned()
    release, ended = ship(stage, jobs, BAD, measured)
    message = str(ended["status"].get("message"))
    assert "errors" in message, f"not aborted by its errors: {message}"
    print(f"            {message}", flush=True)
    go_back(stage, jobs, release, before, measured)
    assert stage.pinned() == before, "the overlay does not name what ran before"


PARTS = {"good": good, "bad": bad}
