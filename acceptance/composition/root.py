"""Argo CD from an empty cluster by the root Application, and the rollback paths of production.

The root Application is the one of infra/terraform/gitops, its Applications and projects are
deploy/argocd's, and Argo CD is set as argo-cd-values.yaml says. What a chart brings is, of that
chart, the kinds that ours are of, since no chart can be fetched here. Production's branch holds its
overlay as `alerts` simplifies it, without the jobs, which need a database: its pods, and the
collector's, are `pause` under the name of the real image, by digest, so that admission is asked.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import hcl2
import yaml

from acceptance.cluster import CACHE, KUBECONFIG, ROOT, STATE, Cluster
from acceptance.composition import charts
from acceptance.composition.alerts import OVERLAY, PAUSE, TIMEOUT_S, Ended, Platform, production
from acceptance.composition.person import ARGO_CD, WENT_ON, Person
from acceptance.git import begin, commit, git
from acceptance.things import thing
from canary.errors import MachineError
from policies import objects

REPOSITORY = "https://github.com/example/gridos"
GITOPS = ROOT / "infra/terraform/gitops"
CONTRACTS = ROOT / "acceptance/composition/contracts"
BRANCH = "environments/production"
ARGO = "argoproj.io/v1alpha1"
# AKS's own add-on brings this kind.
ADDONS = ["secretproviderclasses.secrets-store.csi.x-k8s.io"]
JOBS = ("Job", "CronJob")
SYNC_TIMEOUT_S = 240.0
# The two ways of rollback-undo.md to keep Argo CD from bringing the faulty release again.
PAUSES = (
    "argocd app set gridos --sync-policy none",
    "kubectl patch application gridos -n argocd --type merge -p"
    """ '{"spec":{"syncPolicy":{"automated":null}}}'""",
)
UNDER_WAY = "another operation is already in progress"


class Root(Platform):
    """The cluster with a git remote, and what the root Application makes of it."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        super().__init__(cluster, folder)
        self._remote, self._main = folder / "remote.git", folder / "main"
        self._production = folder / "production"
        self._address = f"file://{self._remote}"
        self._person = Person(cluster, folder)

    def make(self) -> float:
        """Everything from an empty cluster; returns the seconds from the root Application on."""
        self._watch()
        self._publish()
        self._argo_cd()
        began = time.monotonic()
        self._cluster.apply(*self._root())
        self._await(self._take_in, "production's Ingress is there", SYNC_TIMEOUT_S)
        self._await_well(SYNC_TIMEOUT_S)
        took = time.monotonic() - began
        self._await(lambda: not self._blocking(), "no blocking alert is left from the start")
        return took

    def differences(self) -> list[str]:
        """The Applications that a second look finds not as Git says."""
        before = self._synced_at()
        for name in before:
            self._cluster.kubectl(
                "annotate", "application", name, "-n", "argocd", "argocd.argoproj.io/refresh=hard"
            )

        def looked() -> bool:
            found = [a["metadata"].get("annotations", {}) for a in self._applications()]
            return not any("argocd.argoproj.io/refresh" in annotations for annotations in found)

        self._await(looked, "Argo CD has looked again")
        after = self._synced_at()
        return sorted(name for name in after if after[name] != before.get(name))

    def commit(self, number: int) -> None:
        """Commits a release to production's branch."""
        file = self._production / OVERLAY / "all.yaml"
        bodies = list(yaml.safe_load_all(file.read_text(encoding="utf-8")))
        (rollout,) = (body for body in bodies if body["kind"] == "Rollout")
        rollout["spec"]["template"]["metadata"]["annotations"] = {"release": str(number)}
        file.write_text(yaml.safe_dump_all(bodies), encoding="utf-8")
        commit(self._production, f"Release {number}")
        self._push()

    def ship(self, number: int, **options: Any) -> Ended:
        """Commits a release and follows it to its end."""
        self.commit(number)
        return self._brought(number, **options)

    def revert(self, to: int, *, by_hand: bool = False) -> float:
        """Path 2: reverts the last commit; returns seconds until the release before is back.

        Argo CD brings it, or a person who types `argocd app sync` at once.
        """
        began = time.monotonic()
        git(self._production, "revert", "--no-edit", "HEAD")
        self._push()
        if by_hand:
            self._sync()
        self._await(lambda: self._back(to), "the revert has led back")
        took = time.monotonic() - began
        self._await_well()
        assert self._runs(to), f"another release came after the revert: {self._revisions()}"
        return took

    def undo(self, to: int, pause: str) -> float:
        """Path 3 up to where users are back: the sync paused by a command, then `undo`."""
        began = time.monotonic()
        self._person.types(pause)
        self._person.types("kubectl argo rollouts undo gridos -n gridos")
        self._await(lambda: self._back(to), "the undo has led back")
        return time.monotonic() - began

    def resume_sync(self) -> None:
        """The rest of path 3: Git is made to say the same, and Argo CD syncs again."""
        git(self._production, "revert", "--no-edit", "HEAD")
        self._push()
        self._automate()

    def syncs_itself(self) -> bool:
        """Whether gridos's sync is automated."""
        (gridos,) = (a for a in self._applications() if a["metadata"]["name"] == "gridos")
        return bool(gridos["spec"]["syncPolicy"].get("automated"))

    def ship_by_hand(self, number: int) -> tuple[str, Ended]:
        """Ships by the program argocd, the sync paused; what it said differs, and the end."""
        differs = "argocd app diff gridos"
        self._person.types(PAUSES[0])
        assert not self.syncs_itself()
        self.commit(number)
        self._await(lambda: self._person.can(differs, ends=1), "Argo CD sees what differs")
        said = self._person.types(differs, ends=1)
        self._person.types("argocd app sync gridos")
        ended = self._brought(number)
        self._automate()
        return said, ended

    def watched(self) -> str:
        """What a person sees who watches the release, within a few seconds."""
        command = "kubectl argo rollouts get rollout gridos -n gridos --watch"
        return self._person.types(command, ends=WENT_ON, within_s=10)

    def refused(self, commands: Sequence[str]) -> Iterator[str]:
        """Types commands; yields those that fail, with what they say."""
        named = ("get", "pods", "-n", "gridos", "-o", "name")
        pod = self._cluster.kubectl(*named).split()[0].removeprefix("pod/")
        for command in commands:
            try:
                self._person.types(command, POD=pod, JOB="gridos")
            except MachineError as said:
                yield str(said)

    # ----------------------------------------------------------------------------------- details

    def _brought(self, number: int, **options: Any) -> Ended:
        """Follows a release from when Argo CD brings it."""
        self._await(lambda: self._runs(number), "Argo CD has brought it")
        self._await(self._noticed, "the controller sees the release")
        return self._follow(**options)

    def _automate(self) -> None:
        self._person.types("argocd app set gridos --sync-policy automated --auto-prune --self-heal")
        self._await_well()

    def _await_well(self, timeout_s: float = TIMEOUT_S) -> None:
        self._await(self._all_well, "every Application is synced and healthy", timeout_s)

    def _take_in(self) -> bool:
        """Says of the Ingress what Application Gateway's controller would: that it is served."""
        served = {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}}
        patch = ("--subresource=status", "--type=merge", "-p", json.dumps(served))
        named = ("ingress", "gridos", "-n", "gridos")
        return bool(self._cluster.run("run", "kubectl", "patch", *named, *patch, check=False))

    def _publish(self) -> None:
        """Main with the addresses of this machine, and production's branch."""
        for folder in ("deploy", "observability"):
            ignored = shutil.ignore_patterns("__pycache__", "observe", "tests", "node_modules")
            shutil.copytree(ROOT / folder, self._main / folder, ignore=ignored)
        for file in (self._main / "deploy/argocd").rglob("*.yaml"):
            text = file.read_text(encoding="utf-8")
            file.write_text(text.replace(REPOSITORY, self._address), encoding="utf-8")
        for chart in charts.read(ROOT):
            self._stand_in(chart)
        _without_probes(self._main / "observability/logs/daemonset.yaml")
        begin(self._main, "Ship the platform")
        git(self._main, "clone", "--quiet", "--bare", ".", str(self._remote))
        git(self._main, "clone", "--quiet", str(self._remote), str(self._production))
        git(self._production, "checkout", "--quiet", "-b", BRANCH)
        shutil.rmtree(self._production / OVERLAY)
        (self._production / OVERLAY).mkdir()
        released = [t for t in production(self._image) if t["kind"] not in JOBS]
        _write(self._production / OVERLAY, released)
        commit(self._production, "Release 0")
        self._push()

    @property
    def _image(self) -> str:
        """Production's, as its overlay names it."""
        (rollout,) = objects.of(objects.read(ROOT / OVERLAY), "Rollout")
        return str(rollout["spec"]["template"]["spec"]["containers"][0]["image"])

    def _push(self) -> None:
        git(self._production, "push", "--quiet", "origin", BRANCH)

    def _stand_in(self, chart: charts.Chart) -> None:
        """In place of a chart, the kinds that it brings, in its own Application."""
        file = self._main / "deploy/argocd/platform" / f"{chart.release}.yaml"
        if not file.is_file():
            return  # Terraform's
        contract = yaml.safe_load((CONTRACTS / f"{chart.release}.yaml").read_text("utf-8"))
        folder = f"charts/{chart.release}"
        (self._main / folder).mkdir(parents=True)
        note = thing("v1", "ConfigMap", chart.release)
        _write(self._main / folder, [note, *_kinds(contract.get("crds", []))])
        body = yaml.safe_load(file.read_text(encoding="utf-8"))
        spec = (
            body["spec"]["template"]["spec"] if body["kind"] == "ApplicationSet" else body["spec"]
        )
        spec.pop("sources", None)
        spec["source"] = {"repoURL": self._address, "targetRevision": "main", "path": folder}
        file.write_text(yaml.safe_dump(body), encoding="utf-8")

    def _argo_cd(self) -> None:
        """Argo CD with our settings, this cluster's entry as Terraform labels it, and images."""
        self._cluster.run("argo-cd")
        values = yaml.safe_load((GITOPS / "argo-cd-values.yaml").read_text(encoding="utf-8"))
        settings = {k: v for k, v in values["configs"]["cm"].items() if k.startswith("resource.")}
        patch = json.dumps({"data": settings})
        self._cluster.kubectl(
            "patch", "configmap", "argocd-cm", "-n", "argocd", "--type=merge", "-p", patch
        )
        server = {"name": "in-cluster", "server": "https://kubernetes.default.svc", "config": "{}"}
        marked = {"argocd.argoproj.io/secret-type": "cluster"}
        labels = {**charts.LABELS, **marked}
        entry = thing("v1", "Secret", "in-cluster", "argocd", labels, stringData=server)
        self._cluster.apply(entry, *_kinds(ADDONS))
        for image in self._images():
            self._cluster.run(
                *("run", "ctr", "-a", str(STATE / "containerd.sock"), "-n", "k8s.io"),
                *("images", "tag", "--force", PAUSE, image),
            )
        self._cluster.run(
            *("start", "argocd-applicationset-controller"),
            *("env", "ARGOCD_BINARY_NAME=argocd-applicationset-controller"),
            *(str(CACHE / "argocd"), f"--kubeconfig={KUBECONFIG}"),
            *("--namespace=argocd", "--argocd-repo-server=127.0.0.1:8081"),
            *("--repo-server-plaintext", "--metrics-addr=127.0.0.1:8093"),
            *("--probe-addr=127.0.0.1:8094", "--webhook-addr=127.0.0.1:8095"),
        )
        self._serve_argo_cd()

    def _serve_argo_cd(self) -> None:
        """Starts what the program argocd asks, which lets everybody in."""
        self._cluster.run(
            *("start", "argocd-server"),
            *("env", "ARGOCD_BINARY_NAME=argocd-server", "ARGOCD_FAKE_IN_CLUSTER=true"),
            *(f"ARGOCD_TLS_DATA_PATH={STATE / 'argocd/tls'}", "ARGOCD_GPG_ENABLED=false"),
            *(f"ARGOCD_SSH_DATA_PATH={STATE / 'argocd/ssh'}", f"TMPDIR={STATE / 'argocd/tmp'}"),
            *(str(CACHE / "argocd"), f"--kubeconfig={KUBECONFIG}"),
            *("--namespace=argocd", "--insecure", "--disable-auth", "--address=127.0.0.1"),
            *(f"--port={ARGO_CD}", "--metrics-address=127.0.0.1", "--metrics-port=8096"),
            *("--redis=127.0.0.1:6379", "--repo-server=127.0.0.1:8081", "--repo-server-plaintext"),
        )

    def _images(self) -> Iterator[str]:
        for collector in objects.of(objects.read(ROOT / "observability/logs"), "DaemonSet"):
            yield collector["spec"]["template"]["spec"]["containers"][0]["image"]
        # As the node looks it up: by its digest alone.
        repository, _, digest = self._image.partition("@")
        yield f"{repository.rpartition(':')[0]}@{digest}"

    def _root(self) -> Iterator[Mapping[str, Any]]:
        """What Terraform's chart makes of its values: the project and the root Application."""
        values = yaml.safe_load((GITOPS / "root-values.yaml").read_text(encoding="utf-8"))
        made = hcl2.loads((GITOPS / "main.tf").read_text(encoding="utf-8"))
        (local,) = (found["root"] for found in made["locals"] if "root" in found)
        known = {
            "${local.repository}": self._address,
            '${var.labels["environment"]}': charts.LABELS["environment"],
        }
        text = json.dumps(_unquoted(local))
        for expression, value in known.items():
            text = text.replace(json.dumps(expression)[1:-1], value)
        for name, project in values["projects"].items():
            spec = {k: v for k, v in project.items() if k != "namespace"}
            spec["sourceRepos"] = [self._address]
            yield thing(ARGO, "AppProject", name, "argocd", spec=spec)
        for name, application in json.loads(text)["applications"].items():
            spec = {k: v for k, v in application.items() if k != "namespace"}
            yield thing(ARGO, "Application", name, "argocd", spec=spec)

    def _explained(self) -> str:
        told = {
            a["metadata"]["name"]: {
                "sync": a.get("status", {}).get("sync", {}).get("status"),
                "health": a.get("status", {}).get("health"),
                "said": a.get("status", {}).get("operationState", {}).get("message"),
                "conditions": [c["message"] for c in a.get("status", {}).get("conditions", [])],
            }
            for a in self._applications()
        }
        return f"{json.dumps(told)}; {self._revisions()}"

    def _revisions(self) -> str:
        """The releases that there were, as `undo` counts them."""
        shown = (
            r"REVISION:.metadata.annotations.rollout\.argoproj\.io/revision"
            ",RELEASE:.spec.template.metadata.annotations.release,PODS:.status.replicas"
        )
        return self._cluster.kubectl("get", "rs", "-n", "gridos", "-o", f"custom-columns={shown}")

    def _applications(self) -> list[dict[str, Any]]:
        text = self._cluster.kubectl("get", "applications", "-n", "argocd", "-o", "json")
        found: list[dict[str, Any]] = json.loads(text)["items"]
        return found

    def _synced_at(self) -> dict[str, str]:
        """When each was synced last, and whether it differs now."""
        return {
            a["metadata"]["name"]: f"{a['status']['sync']['status']} "
            f"{a['status'].get('operationState', {}).get('finishedAt')}"
            for a in self._applications()
        }

    def _all_well(self) -> bool:
        found = self._applications()
        expected = {a["metadata"]["name"] for a in charts.applications(ROOT)} | {"root"}
        return expected <= {a["metadata"]["name"] for a in found} and all(
            a.get("status", {}).get("sync", {}).get("status") == "Synced"
            and a["status"].get("health", {}).get("status") == "Healthy"
            for a in found
        )

    def _runs(self, number: int) -> bool:
        metadata = self._rollout()["spec"]["template"]["metadata"]
        return bool(metadata.get("annotations", {}).get("release", "0") == str(number))

    def _back(self, to: int) -> bool:
        status = self._status()
        whole = status.get("currentPodHash") == status.get("stableRS")
        return self._runs(to) and self._noticed() and whole and self._phase()[0] == "Healthy"

    def _sync(self) -> None:
        """Types `argocd app sync`, which refuses while Argo CD brings the commit by itself."""
        try:
            self._person.types("argocd app sync gridos")
        except MachineError as said:
            if UNDER_WAY not in str(said):
                raise


def _without_probes(file: Path) -> None:
    """Takes out of a file of objects what `pause` could not answer."""
    bodies = list(yaml.safe_load_all(file.read_text(encoding="utf-8")))
    for body in bodies:
        if body["kind"] == "DaemonSet":
            (container,) = body["spec"]["template"]["spec"]["containers"]
            for probe in [name for name in container if name.endswith("Probe")]:
                del container[probe]
    file.write_text(yaml.safe_dump_all(bodies), encoding="utf-8")


def _unquoted(value: Any) -> Any:
    """Strings as HCL means them: hcl2 keeps the quotes of literals."""
    if isinstance(value, dict):
        return {key: _unquoted(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_unquoted(inner) for inner in value]
    return value.strip('"') if isinstance(value, str) else value


def _kinds(crds: list[str]) -> Iterator[dict[str, Any]]:
    """CustomResourceDefinitions that take anything, of those kinds that something of ours is of."""
    used = {
        (t["apiVersion"], t["kind"])
        for folder in ("deploy/overlays/production", "deploy/admission", "observability",
                       "observability/alertmanager/azure", "observability/logs")
        for t in objects.read(ROOT / folder)
    }  # fmt: skip
    for version, kind in sorted(used):
        group, _, number = version.rpartition("/")
        if group == "argoproj.io":
            continue  # the real ones are there
        singular = kind.lower()
        plural = next(
            (p for p in (f"{singular}s", f"{singular}es", f"{singular[:-1]}ies")
             if f"{p}.{group}" in crds), ""
        )  # fmt: skip
        if plural:
            schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
            served = {"name": number, "served": True, "storage": True}
            spec = {
                "group": group,
                "scope": "Cluster" if kind == "ImageValidatingPolicy" else "Namespaced",
                "names": {"kind": kind, "plural": plural, "singular": singular},
                "versions": [served | {"schema": {"openAPIV3Schema": schema}}],
            }
            crd = "CustomResourceDefinition"
            yield thing("apiextensions.k8s.io/v1", crd, f"{plural}.{group}", spec=spec)


def _write(folder: Path, bodies: list[dict[str, Any]]) -> None:
    """Objects as a kustomization."""
    (folder / "all.yaml").write_text(yaml.safe_dump_all(bodies), encoding="utf-8")
    (folder / "kustomization.yaml").write_text("resources: [all.yaml]\n", encoding="utf-8")
