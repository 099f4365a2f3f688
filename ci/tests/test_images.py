"""Which images manifests may run."""

import io

import pytest
from pipeline import cli, images
from pipeline.errors import PipelineError

DIGEST = "sha256:" + "ab" * 32
ROLLOUT = """\
kind: Rollout
metadata: {{name: gridos}}
spec:
  template:
    spec:
      initContainers: [{{name: migrate, image: "{first}"}}]
      containers: [{{name: gridos, image: "{second}"}}]
---
kind: Service
metadata: {{name: gridos}}
spec: {{ports: []}}
"""
GOOD = f"cr.azurecr.io/gridos@{DIGEST}"


def refused(image):
    return images.refused(images.uses(ROLLOUT.format(first=GOOD, second=image)), "cr.azurecr.io")


@pytest.mark.parametrize("image", [GOOD, f"cr.azurecr.io/gridos:1.0.0-gabc@{DIGEST}"])
def test_our_image_by_digest_runs(image):
    assert refused(image) == []


@pytest.mark.parametrize(
    ("image", "why"),
    [
        ("cr.azurecr.io/gridos:1.0.0", "a tag can be moved"),
        ("gridos", "a tag can be moved"),
        (f"docker.io/library/python@{DIGEST}", "only cr.azurecr.io/gridos runs here"),
        (f"cr.azurecr.io.evil.com/gridos@{DIGEST}", "only"),
        (f"cr-azurecr.io/gridos@{DIGEST}", "only"),
        (f"cr.azurecr.io/gridosx@{DIGEST}", "only"),
        (f"cr.azurecr.io/gridos@{DIGEST}0", "only"),
        (f"cr.azurecr.io/gridos@sha256:{'0' * 64}", "nothing was released"),
    ],
)
def test_anything_else_is_refused_with_the_reason(image, why):
    (line,) = refused(image)
    assert line.startswith(f"Rollout gridos, container gridos: {image}")
    assert why in line


def test_init_containers_count():
    found = images.uses(ROLLOUT.format(first="busybox", second=GOOD))
    assert len(images.refused(found, "cr.azurecr.io")) == 1


@pytest.mark.parametrize("text", ["", "kind: Service\nspec: {}\n", "a: ["])
def test_manifests_that_run_nothing_are_no_pass(text):
    with pytest.raises(PipelineError):
        images.uses(text)


def test_the_program_reads_rendered_manifests(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO(ROLLOUT.format(first=GOOD, second=GOOD)))
    assert cli.main(["images", "--registry", "cr.azurecr.io"]) == 0
    monkeypatch.setattr("sys.stdin", io.StringIO(ROLLOUT.format(first=GOOD, second="gridos")))
    assert cli.main(["images", "--registry", "cr.azurecr.io"]) == 1
    assert "a tag can be moved" in capsys.readouterr().out
