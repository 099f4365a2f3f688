"""The policy on images, judged by a real API server.

The server and its etcd run on the loopback, without a node: admission needs none. Kubernetes'
programs are looked for on PATH and where the test cluster builds them.
"""

import json
import time

import pytest

from acceptance import apiserver

DIGEST = "sha256:" + "ab" * 32
REGISTRY = "crgridosprdweux1g.azurecr.io"
OURS = f"{REGISTRY}/gridos"

pytestmark = pytest.mark.skipif(
    bool(apiserver.missing()),
    reason="needs kube-apiserver, etcd, kubectl and openssl on PATH",
)


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory, root):
    """A server with the policy; returns a function that runs kubectl on it."""
    with apiserver.serve(tmp_path_factory.mktemp("server")) as server:
        for name in ("gridos", "elsewhere"):
            assert server.run("create", "namespace", name).returncode == 0
        for file in ("parameters.yaml", "images.yaml"):
            applied = server.run("apply", "-f", str(root / "deploy/admission" / file))
            assert applied.returncode == 0, applied.stderr
        wait_until_enforced(server.run)
        yield server.run


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
