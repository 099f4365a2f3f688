"""The pin of an overlay."""

import pytest
from pipeline import kustomization, overlay
from pipeline.errors import PipelineError
from pipeline.releases import Release

RELEASE = Release("1.2.3", "ab" * 20, "sha256:" + "c" * 64)
TEXT = """\
# Staging: two zones.
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
- ../../base

images:
- name: other
  newTag: "1"
- name: gridos   # ours
  newName: cr.example.com/gridos
  digest: sha256:1111111111111111111111111111111111111111111111111111111111111111
patches:
- path: scale.yaml  # why
  target: {kind: Rollout}
"""


def test_only_the_pin_changes():
    written = kustomization.write(TEXT, RELEASE)
    before, after = TEXT.splitlines(), written.splitlines()
    assert [line for line in after if line not in before] == [
        f"  digest: {RELEASE.digest}",
        f"  newTag: {RELEASE.tag}",
    ]
    assert [line for line in before if line not in after] == [f"  digest: sha256:{'1' * 64}"]


def test_indented_lists_stay_indented():
    text = (
        TEXT.replace("\n- ", "\n  - ")
        .replace("\n  newName", "\n    newName")
        .replace("\n  digest", "\n    digest")
        .replace("\n  newTag", "\n    newTag")
        .replace("\n  target", "\n    target")
    )
    written = kustomization.write(text, RELEASE)
    assert f"\n    digest: {RELEASE.digest}\n" in written
    assert "\n  - ../../base\n" in written


def test_writing_twice_is_writing_once():
    once = kustomization.write(TEXT, RELEASE)
    assert kustomization.write(once, RELEASE) == once
    assert kustomization.read(once) == kustomization.Pin(RELEASE.digest, RELEASE.tag)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "images: []",
        TEXT.replace("gridos   #", "gridoss #"),
        "a: [",
        TEXT.replace("name: other", "name: gridos"),
        "images: [{name: gridos, newTag: a, digest: b}]",
        "images:\n  - {name: gridos, newTag: a,\n     digest: b}\n",
    ],
)
def test_a_file_without_exactly_one_entry_is_refused(text):
    with pytest.raises(PipelineError):
        kustomization.write(text, RELEASE)


@pytest.mark.parametrize("environment", overlay.ENVIRONMENTS)
def test_in_our_own_overlays_a_release_changes_two_lines(root, environment):
    text = (root / overlay.path(environment)).read_text()
    before, after = text.splitlines(), kustomization.write(text, RELEASE).splitlines()
    assert [line.strip() for line in after if line not in before] == [
        f"newTag: {RELEASE.tag}",
        f"digest: {RELEASE.digest}",
    ]
    assert len(before) == len(after)
