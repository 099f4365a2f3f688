"""The whole loop from a commit to a canary, as far as it goes without a cluster: its remote, jobs and way back."""

import sys

import pytest

from acceptance.pipeline import gitops as module
from policies import objects


@pytest.fixture
def gitops():
    return module


@pytest.fixture(autouse=True)
def _programs(monkeypatch):
    monkeypatch.setenv("PATH", f"{sys.prefix}/bin", prepend=":")


@pytest.fixture
def stage(gitops, tmp_path):
    made = gitops.Stage(None, tmp_path, "", "")
    made.prepare()
    return made


@pytest.fixture
def jobs(gitops, stage, tmp_path):
    made = gitops.Pipeline(tmp_path, stage.remote, tmp_path / "cluster", 1)
    gitops.run("git", "clone", "--quiet", str(stage.remote), str(made.clone))
    return made


def released(gitops, source, digit="a"):
    return gitops.Release("1.2.3", source, f"sha256:{digit * 64}")


def images(gitops, stage):
    rendered = objects.read(stage.checkout / gitops.FOLDER)
    pods = [b["spec"]["template"]["spec"] for b in rendered if b["kind"] in ("Rollout", "Job")]
    return {container["image"] for pod in pods for container in pod["containers"]}


def test_every_pod_of_ours_runs_what_the_overlay_update_pins(gitops, stage, jobs):
    assert images(gitops, stage) == {f"{gitops.REGISTRY}/gridos:none@sha256:{'0' * 64}"}
    release = released(gitops, stage.head())
    jobs.pin(release)
    gitops.git(stage.checkout, "fetch", "--quiet", "origin", gitops.BRANCH)
    gitops.git(stage.checkout, "checkout", "--quiet", "FETCH_HEAD")
    assert images(gitops, stage) == {f"{gitops.REGISTRY}/gridos:{release.tag}@{release.digest}"}


def test_shorter_steps_keep_their_weights_and_every_limit(gitops, stage, tmp_path):
    (tmp_path / "short").mkdir()
    short = gitops.Stage(None, tmp_path / "short", "", "")
    short.prepare(scale=2)
    whole, halved = (
        next(b for b in objects.read(s.checkout / gitops.FOLDER) if b["kind"] == "Rollout")
        for s in (stage, short)
    )
    pauses = [
        step["pause"]["duration"]
        for step in halved["spec"]["strategy"]["canary"]["steps"]
        if "pause" in step
    ]
    assert pauses == ["30s", "1m", "1m30s"]
    weights = [
        [s.get("setWeight") for s in r["spec"]["strategy"]["canary"]["steps"]]
        for r in (whole, halved)
    ]
    assert weights[0] == weights[1]


@pytest.mark.parametrize("change", ["GOOD", "BAD"])
def test_a_change_makes_a_release(gitops, stage, change):
    source = stage.change(*getattr(gitops, change), "Change the service")
    areas = gitops.run("ci/changes", f"{source}^", source, cwd=stage.checkout)
    assert "release=true" in areas


def test_after_a_rollback_the_job_does_not_bring_the_release_back(gitops, stage, jobs):
    good = released(gitops, stage.head())
    jobs.pin(good)
    bad = released(gitops, stage.change(*gitops.BAD, "Change the service"), "b")
    jobs.pin(bad)
    assert stage.pinned() == bad.digest
    assert "rolled back" in jobs.roll_back(good.digest)
    assert stage.pinned() == good.digest
    assert "already released" in jobs.pin(bad)
    assert stage.pinned() == good.digest
