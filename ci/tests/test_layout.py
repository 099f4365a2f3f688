"""An image in OCI's layout."""

import hashlib
import json

import pytest
from pipeline import layout
from pipeline.errors import PipelineError, RefusedError


@pytest.fixture
def image(tmp_path):
    """A layout of one small image; returns it and its digest."""
    blobs = tmp_path / "blobs/sha256"
    blobs.mkdir(parents=True)

    def blob(content):
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"digest": f"sha256:{digest}", "size": len(content)}

    manifest = blob(json.dumps({"config": blob(b"{}"), "layers": [blob(b"layer" * 100)]}).encode())
    (tmp_path / "index.json").write_text(json.dumps({"manifests": [manifest]}))
    return tmp_path, manifest["digest"]


def test_a_whole_image_is_measured(image):
    assert layout.check(*image) == 502


def test_another_digest_is_another_image(image):
    with pytest.raises(RefusedError, match="not sha256:0000"):
        layout.check(image[0], "sha256:" + "0" * 64)


def test_a_layer_that_was_changed_is_refused(image):
    folder, digest = image
    layer = max((folder / "blobs/sha256").iterdir(), key=lambda file: file.stat().st_size)
    layer.write_bytes(layer.read_bytes() + b"!")
    with pytest.raises(RefusedError, match="is not what its name says"):
        layout.check(folder, digest)


def test_a_layer_that_is_missing_is_refused(image):
    folder, digest = image
    max((folder / "blobs/sha256").iterdir(), key=lambda file: file.stat().st_size).unlink()
    with pytest.raises(RefusedError, match="lacks sha256:"):
        layout.check(folder, digest)


def test_a_folder_that_is_no_layout_or_holds_two_images_is_refused(image, tmp_path):
    with pytest.raises(PipelineError, match="not an OCI image layout"):
        layout.check(tmp_path / "nothing", image[1])
    (image[0] / "index.json").write_text('{"manifests": [{}, {}]}')
    with pytest.raises(PipelineError, match="holds 2 images"):
        layout.check(*image)
