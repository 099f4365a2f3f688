"""Push, signature and bill of materials, with the real crane and cosign, on a registry of our own."""

import json

from acceptance.calling import quietly


def verify(command, name, public, *more):
    given = ("--key", public, "--insecure-ignore-tlog=true", *more)
    return quietly("cosign", command, *given, name)


def test_what_is_pushed_has_the_digest_that_was_built_and_our_signature(
    tmp_path, served, key, make_image
):
    pushed = make_image(tmp_path)
    pushed.push(key)
    assert pushed.name.endswith(pushed.release.digest)
    public = key.with_suffix(".pub")
    assert verify("verify", pushed.name, public).returncode == 0
    materials = verify("verify-attestation", pushed.name, public, "--type", "cyclonedx")
    assert materials.returncode == 0, materials.stderr


def test_pushing_again_changes_nothing(tmp_path, served, key, make_image):
    pushed = make_image(tmp_path, "again")
    pushed.push(key)
    pushed.push(key)
    done = quietly("crane", "digest", f"{served}/gridos:{pushed.release.tag}", check=True)
    assert done.stdout.strip() == pushed.release.digest


def test_an_unsigned_image_and_a_strangers_signature_are_not_ours(
    tmp_path, served, key, make_key, make_image
):
    other = make_key()
    foreign = make_image(tmp_path / "image", "foreign")
    foreign.push(other)
    assert verify("verify", foreign.name, other.with_suffix(".pub")).returncode == 0
    assert verify("verify", foreign.name, key.with_suffix(".pub")).returncode != 0
    unsigned = make_image(tmp_path / "unsigned", "unsigned")
    name = f"{served}/made@{unsigned.release.digest}"
    assert verify("verify", name, key.with_suffix(".pub")).returncode != 0


def test_a_layout_of_another_digest_is_not_pushed(tmp_path, key, make_image):
    refused = make_image(tmp_path, "other").push(key, "sha256:" + "0" * 64)
    assert refused.returncode == 1
    assert "not sha256:0000" in refused.stderr


def test_a_layout_that_was_tampered_with_is_not_pushed(tmp_path, served, key, make_image):
    made = make_image(tmp_path, "tampered")
    manifest = made.folder / "blobs" / made.release.digest.replace(":", "/")
    layer = json.loads(manifest.read_text())["layers"][0]["digest"]
    (made.folder / "blobs" / layer.replace(":", "/")).write_bytes(b"another")
    refused = made.push(key, made.release.digest)
    assert refused.returncode == 1
    assert "is not what its name says" in refused.stderr
    assert quietly("crane", "digest", made.name).returncode != 0


def test_an_image_in_the_place_of_the_signed_one_is_not_ours(tmp_path, served, key, make_image):
    """Whoever may write to the registry moves the tag; the signature stays with the digest."""
    ours = make_image(tmp_path / "image", "ours")
    ours.push(key)
    other = make_image(tmp_path / "other", "other")
    tag = f"{served}/gridos:{ours.release.tag}"
    quietly("crane", "push", other.folder, tag, check=True)
    public = key.with_suffix(".pub")
    assert verify("verify", tag, public).returncode != 0
    assert verify("verify", ours.name, public).returncode == 0


def test_the_script_says_by_which_name_the_image_runs(tmp_path, served, key, make_image):
    made = make_image(tmp_path, "program")
    assert f"{served}/gridos@{made.release.digest} is pushed and signed" in made.push(key).stdout
