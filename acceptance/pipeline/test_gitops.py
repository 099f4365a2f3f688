"""From a commit to a canary and back on a real cluster, Argo CD included."""

import os
import shutil

import pytest

from acceptance.cluster import INSIDE
from acceptance.pipeline.conftest import on_path
from acceptance.pipeline.gitops import PARTS, REGISTRY, Pipeline, Stage, deliver_all
from canary.runtime.kubectl import connect

TOOLS = ("crane", "cosign", "syft")
# Who builds images has the network that the cluster has not.
OUTSIDE = "GRIDOS_OUTSIDE_CLUSTER"


@pytest.fixture
def registry(platform, monkeypatch):
    """The cluster with an Argo CD and a registry, and the programs that jobs use."""
    if INSIDE in os.environ:
        yield
        return
    monkeypatch.setenv("SYFT_CHECK_FOR_APP_UPDATE", "false")
    monkeypatch.setenv(OUTSIDE, str(os.getpid()))
    with on_path(*TOOLS):
        platform.run("argo-cd")
        serve = ("registry", "serve", "--address", f"127.0.0.1:{REGISTRY.rpartition(':')[2]}")
        platform.run("start", "registry", str(shutil.which("crane")), *serve)
        yield


@pytest.mark.cluster
@pytest.mark.inside
def test_a_healthy_commit_is_promoted_and_a_faulty_one_is_aborted_and_taken_back(
    cluster, registry, tmp_path, request, measured, only
):
    """`--only good` or `bad` is one of them, `--scale 2` is faster."""
    assert only in {"", *PARTS}
    stage = Stage(connect(None), tmp_path, "", "")
    jobs = Pipeline(tmp_path, stage.remote, cluster.program, int(os.environ[OUTSIDE]))
    deliver_all(stage, jobs, measured, request.config.getoption("scale"), only)
