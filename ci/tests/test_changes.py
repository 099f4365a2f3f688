"""Which areas a change concerns."""

import pytest
from pipeline import changes


@pytest.mark.parametrize(
    ("path", "concerned"),
    [
        ("service/gridos/api/feeders.py", {"release", "rehearsal"}),
        ("service/tests/test_api.py", {"rehearsal"}),
        ("requirements/service.txt", {"release", "rehearsal"}),
        ("requirements/dev.txt", {"rehearsal"}),
        ("canary/argo/analysis.py", {"rehearsal"}),
        ("Dockerfile", {"release"}),
        ("deploy/base/analysis-release-gates.yaml", {"release", "rehearsal"}),
        ("deploy/overlays/staging/kustomization.yaml", {"release"}),
        ("deploy/argocd/notifications.yaml", set()),
        ("infra/terraform/main.vault.tf", set()),
        ("docs/pipeline.md", set()),
        ("services/other.py", set()),
    ],
)
def test_a_path_concerns_its_areas_and_no_others(path, concerned):
    assert {area for area, yes in changes.areas([path]).items() if yes} == concerned


def test_with_nothing_to_compare_with_everything_is_concerned():
    assert all(changes.areas(None).values())
    assert not any(changes.areas([]).values())


def test_whatever_the_image_is_made_of_makes_a_release(root):
    lines = (root / ".dockerignore").read_text().splitlines()
    let_in = [line.removeprefix("!") for line in lines if line.startswith("!")]
    assert let_in
    for path in let_in:
        below = path if (root / path).is_file() else f"{path}/any/file"
        assert changes.areas([below])["release"], path


def test_every_area_names_paths_that_exist(root):
    for patterns in changes.AREAS.values():
        for pattern in patterns:
            assert (root / pattern.removesuffix("/*")).exists(), pattern
