"""An image in OCI's layout."""

import hashlib
import json
import subprocess

import pytest


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


@pytest.fixture
def check(root):
    """Whether ci/check-layout takes a folder for an image: its exit code, and what it said."""

    def run(folder, digest):
        command = [root / "ci/check-layout", folder, digest]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.stdout + done.stderr).count("\n") == 1
        return done.returncode, done.stdout + done.stderr

    return run


def test_a_whole_image_is_measured(image, check):
    assert check(*image) == (0, f"{image[1]} is whole, 502 bytes compressed\n")


def test_another_digest_is_another_image(image, check):
    code, said = check(image[0], "sha256:" + "0" * 64)
    assert (code, "not sha256:0000" in said) == (1, True)


def test_a_layer_that_was_changed_is_refused(image, check):
    folder, digest = image
    layer = max((folder / "blobs/sha256").iterdir(), key=lambda file: file.stat().st_size)
    layer.write_bytes(layer.read_bytes() + b"!")
    code, said = check(folder, digest)
    assert (code, "is not what its name says" in said) == (1, True)


def test_a_layer_that_is_missing_is_refused(image, check):
    folder, digest = image
    max((folder / "blobs/sha256").iterdir(), key=lambda file: file.stat().st_size).unlink()
    code, said = check(folder, digest)
    assert (code, "lacks sha256:" in said) == (1, True)


def test_a_folder_that_is_no_layout_or_holds_two_images_is_refused(image, tmp_path, check):
    code, said = check(tmp_path / "nothing", image[1])
    assert (code, "not an OCI image layout" in said) == (2, True)
    (image[0] / "index.json").write_text('{"manifests": [{}, {}]}')
    code, said = check(*image)
    assert (code, "holds 2 images" in said) == (2, True)
