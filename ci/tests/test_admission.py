"""The policy on images, judged by a real API server.

The server and its etcd run on the loopback, without a node: admission needs none. Kubernetes'
programs are looked for on PATH and where the test cluster builds them.
"""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from canary.runtime import processes

KIT = Path("~/.cache/gridos-cluster/bin").expanduser()
DIGEST = "sha256:" + "ab" * 32
REGISTRY = "crgridosprdweux1g.azurecr.io"
OURS = f"{REGISTRY}/gridos"


def find(program):
    return shutil.which(program, path=f"{os.environ['PATH']}:{KIT}")


pytestmark = pytest.mark.skipif(
    not all(map(find, ("kube-apiserver", "etcd", "kubectl", "openssl"))),
    reason="needs kube-apiserver, etcd, kubectl and openssl on PATH",
)


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory, root):
    """A server with the policy; returns a function that runs kubectl on it."""
    folder = tmp_path_factory.mktemp("server")
    client, peer, port = (processes.free_port() for _ in range(3))
    subprocess.run(
        ["openssl", "genrsa", "-out", folder / "sa.key", "2048"], check=True, capture_output=True
    )
    (folder / "tokens.csv").write_text("token,admin,admin,system:masters\n")
    url = f"http://127.0.0.1:{client}"
    etcd = subprocess.Popen(
        [
            find("etcd"),
            "--data-dir",
            folder / "etcd",
            "--listen-client-urls",
            url,
            "--advertise-client-urls",
            url,
            "--listen-peer-urls",
            f"http://127.0.0.1:{peer}",
            "--unsafe-no-fsync",
            "--log-level",
            "error",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    log = (folder / "log").open("w")
    server = subprocess.Popen(
        [
            find("kube-apiserver"),
            "--etcd-servers",
            url,
            "--secure-port",
            str(port),
            "--bind-address",
            "127.0.0.1",
            "--cert-dir",
            folder,
            "--service-cluster-ip-range",
            "10.99.0.0/24",
            "--token-auth-file",
            folder / "tokens.csv",
            "--authorization-mode",
            "RBAC",
            "--service-account-issuer",
            "https://kubernetes.default.svc",
            "--service-account-key-file",
            folder / "sa.key",
            "--service-account-signing-key-file",
            folder / "sa.key",
            "--disable-admission-plugins",
            "ServiceAccount",
        ],
        stdout=log,
        stderr=log,
    )

    def run(*arguments, given=None):
        return subprocess.run(
            [
                find("kubectl"),
                f"--server=https://127.0.0.1:{port}",
                "--token=token",
                "--insecure-skip-tls-verify",
                *arguments,
            ],
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={**os.environ, "KUBECONFIG": "/dev/null"},
        )

    try:
        end = time.monotonic() + 180
        while run("get", "--raw", "/readyz").returncode != 0:
            assert time.monotonic() < end, (folder / "log").read_text()[-2000:]
            time.sleep(0.5)
        for name in ("gridos", "elsewhere"):
            assert run("create", "namespace", name).returncode == 0
        for file in ("parameters.yaml", "images.yaml"):
            applied = run("apply", "-f", str(root / "deploy/admission" / file))
            assert applied.returncode == 0, applied.stderr
        wait_until_enforced(run)
        yield run
    finally:
        for process in (server, etcd):
            process.terminate()
            process.wait(timeout=60)
        log.close()


def wait_until_enforced(run):
    """A policy takes effect a moment after it is stored."""
    end = time.monotonic() + 60
    while create(run, "busybox").returncode == 0:
        assert time.monotonic() < end, "the policy never took effect"
        time.sleep(0.5)


def create(run, image, namespace="gridos", init=None):
    spec = {"containers": [{"name": "gridos", "image": image}]}
    if init:
        spec["initContainers"] = [{"name": "first", "image": init}]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": namespace},
        "spec": spec,
    }
    return run("create", "--dry-run=server", "-f", "-", given=json.dumps(pod))


@pytest.mark.parametrize("image", [f"{OURS}@{DIGEST}", f"{OURS}:1.2.3-gabc@{DIGEST}"])
def test_our_image_by_digest_is_let_in(kubectl, image):
    done = create(kubectl, image)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "image",
    [
        "busybox",
        "gridos",
        OURS,
        f"{OURS}:1.2.3",
        f"{OURS}:latest",
        f"docker.io/library/python@{DIGEST}",
        f"{REGISTRY}.example.com/gridos@{DIGEST}",
        f"{OURS}-evil@{DIGEST}",
        f"{REGISTRY}/other@{DIGEST}",
        f"{OURS}@sha256:{'ab' * 31}",
    ],
)
def test_any_other_image_is_refused_by_name(kubectl, image):
    done = create(kubectl, image)
    assert done.returncode != 0
    assert "images run here from" in done.stderr
    assert image in done.stderr


def test_an_init_container_is_judged_too(kubectl):
    done = create(kubectl, f"{OURS}@{DIGEST}", init="busybox")
    assert "refused: busybox" in done.stderr


def test_another_namespace_is_not_concerned(kubectl):
    assert create(kubectl, "busybox", namespace="elsewhere").returncode == 0


def test_a_debug_container_is_judged_too(kubectl):
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "held", "namespace": "gridos"},
        "spec": {"containers": [{"name": "gridos", "image": f"{OURS}@{DIGEST}"}]},
    }
    made = kubectl("create", "-f", "-", given=json.dumps(pod))
    assert made.returncode == 0, made.stderr
    done = kubectl("debug", "held", "--namespace=gridos", "--image=busybox")
    assert "refused: busybox" in done.stderr + done.stdout


def test_without_the_registrys_name_nothing_is_let_in(kubectl):
    kept = kubectl(
        "get", "configmap", "gridos-admission", "--namespace=gridos-admission", "-o", "json"
    ).stdout
    assert (
        kubectl(
            "delete", "configmap", "gridos-admission", "--namespace=gridos-admission"
        ).returncode
        == 0
    )
    try:
        end = time.monotonic() + 30
        while create(kubectl, f"{OURS}@{DIGEST}").returncode == 0 and time.monotonic() < end:
            time.sleep(0.5)
        assert create(kubectl, f"{OURS}@{DIGEST}").returncode != 0
    finally:
        again = json.loads(kept)
        again["metadata"] = {k: again["metadata"][k] for k in ("name", "namespace")}
        kubectl("create", "-f", "-", given=json.dumps(again))
