"""Which areas a change concerns."""

import re
import subprocess

import pytest

from acceptance.git import git


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """An empty commit, on which each test makes a branch of one change."""
    folder = tmp_path_factory.mktemp("repository")
    git(folder, "init", "--quiet")
    git(folder, "commit", "--quiet", "--allow-empty", "-m", "empty")
    base = git(folder, "rev-parse", "HEAD")

    def change(path):
        git(folder, "checkout", "--quiet", "--detach", base)
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("changed")
        git(folder, "add", path)
        git(folder, "commit", "--quiet", "-m", "change")
        return base, git(folder, "rev-parse", "HEAD")

    return folder, change


@pytest.fixture
def concerned(root, repository):
    """The areas that a change concerns: of a path, or between two commits."""
    folder, change = repository

    def ask(path=None, commits=None):
        command = [root / "ci/changes", *(commits or change(path))]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        areas = dict(line.split("=") for line in done.stdout.splitlines())
        assert areas.keys() == {"release", "rehearsal"}
        return {area for area, yes in areas.items() if yes == "true"}

    return ask


@pytest.mark.parametrize(
    ("path", "areas"),
    [
        ("service/gridos/api/feeders.py", {"release", "rehearsal"}),
        ("service/tests/test_api.py", {"rehearsal"}),
        ("requirements/service.txt", {"release", "rehearsal"}),
        ("requirements/dev.txt", {"rehearsal"}),
        ("canary/argo/analysis.py", {"rehearsal"}),
        ("Dockerfile", {"release"}),
        ("deploy/base/analysis-release-gates.yaml", {"release", "rehearsal"}),
        ("deploy/overlays/staging/kustomization.yaml", {"release", "rehearsal"}),
        ("deploy/components/alerts-abort/kustomization.yaml", {"release", "rehearsal"}),
        ("deploy/argocd/notifications.yaml", set()),
        ("infra/terraform/main.vault.tf", set()),
        ("docs/pipeline.md", set()),
        ("services/other.py", set()),
    ],
)
def test_a_path_concerns_its_areas_and_no_others(concerned, path, areas):
    assert concerned(path) == areas


def test_with_nothing_to_compare_with_everything_is_concerned(concerned, repository):
    head = repository[1]("docs/a.md")[1]
    assert concerned(commits=("0" * 40, head)) == {"release", "rehearsal"}
    assert concerned(commits=(head, head)) == set()


def test_commits_that_nobody_has_are_an_error_and_not_an_answer(root, repository):
    command = [root / "ci/changes", "0123456789" * 4, "HEAD"]
    done = subprocess.run(command, cwd=repository[0], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "git diff failed" in done.stderr


def test_whatever_the_image_is_made_of_makes_a_release(root, concerned):
    lines = (root / ".dockerignore").read_text().splitlines()
    let_in = [line.removeprefix("!") for line in lines if line.startswith("!")]
    assert let_in
    for path in let_in:
        below = path if (root / path).is_file() else f"{path}/any/file"
        assert "release" in concerned(below), path


def test_every_area_names_paths_that_exist(root):
    listed = re.findall(r"(?s)^\w+=\((.*?)\)$", (root / "ci/changes").read_text(), re.MULTILINE)
    paths = " ".join(listed).split()
    assert len(paths) > 10
    assert [path for path in paths if not (root / path).exists()] == []
