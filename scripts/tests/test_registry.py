"""Push, signature and bill of materials, with the real crane and cosign, on a registry of our own."""

import json
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
from pipeline import cli, registry
from pipeline.errors import RefusedError
from pipeline.registry import Image
from pipeline.releases import Release


def find(name):
    """The program, if it is here already; these tests build nothing."""
    return shutil.which(name)


pytestmark = pytest.mark.skipif(
    not (find("crane") and find("cosign")),
    reason="needs crane and cosign on PATH: scripts/tool crane, scripts/tool cosign",
)


@pytest.fixture(scope="module")
def served():
    """An empty registry on the loopback; returns its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        ["crane", "registry", "serve", "--address", f"127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    yield f"127.0.0.1:{port}"
    process.terminate()
    process.wait()


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    folder = tmp_path_factory.mktemp("key")
    subprocess.run(
        ["cosign", "generate-key-pair"],
        cwd=folder,
        check=True,
        capture_output=True,
        env={"PATH": str(Path(find("cosign")).parent), "HOME": str(folder), "COSIGN_PASSWORD": ""},
    )
    return folder / "cosign.key"


@pytest.fixture(autouse=True)
def _no_password(monkeypatch):
    monkeypatch.setenv("COSIGN_PASSWORD", "")


def image(folder, served, content="{}"):
    """A small real image, appended by crane to nothing, as a layout."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "file").write_text(content)
    subprocess.run(["tar", "-C", folder, "-cf", folder / "layer.tar", "file"], check=True)
    layout = folder / "layout"
    subprocess.run(
        [
            "crane",
            "append",
            "--oci-empty-base",
            "-f",
            folder / "layer.tar",
            "-t",
            f"{served}/tmp:1",
        ],
        check=True,
        capture_output=True,
    )
    subprocess.run(
        ["crane", "pull", "--format=oci", f"{served}/tmp:1", layout],
        check=True,
        capture_output=True,
    )
    digest = json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]
    sbom = folder / "sbom.json"
    sbom.write_text(json.dumps({"bomFormat": "CycloneDX", "specVersion": "1.6", "components": []}))
    return Image(layout, sbom, served, Release("1.2.3", "ab" * 20, digest))


def verify(command, name, public, *more):
    return subprocess.run(
        ["cosign", command, "--key", public, "--insecure-ignore-tlog=true", *more, name],
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_is_pushed_has_the_digest_that_was_built_and_our_signature(tmp_path, served, key):
    pushed = image(tmp_path, served)
    registry.push(pushed, key)
    assert pushed.name.endswith(pushed.release.digest)
    public = key.with_suffix(".pub")
    assert verify("verify", pushed.name, public).returncode == 0
    materials = verify("verify-attestation", pushed.name, public, "--type", "cyclonedx")
    assert materials.returncode == 0, materials.stderr


def test_pushing_again_changes_nothing(tmp_path, served, key):
    pushed = image(tmp_path, served, "again")
    registry.push(pushed, key)
    registry.push(pushed, key)
    digest = subprocess.run(
        ["crane", "digest", f"{served}/gridos:{pushed.release.tag}"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    assert digest == pushed.release.digest


def test_an_unsigned_image_and_a_strangers_signature_are_not_ours(tmp_path, served, key):
    other = tmp_path / "stranger"
    other.mkdir()
    subprocess.run(["cosign", "generate-key-pair"], cwd=other, check=True, capture_output=True)
    foreign = image(tmp_path / "image", served, "foreign")
    registry.push(foreign, other / "cosign.key")
    assert verify("verify", foreign.name, other / "cosign.pub").returncode == 0
    assert verify("verify", foreign.name, key.with_suffix(".pub")).returncode != 0
    unsigned = image(tmp_path / "unsigned", served, "unsigned")
    name = f"{served}/tmp@{unsigned.release.digest}"
    assert verify("verify", name, key.with_suffix(".pub")).returncode != 0


def test_a_layout_of_another_digest_is_not_pushed(tmp_path, served, key):
    made = image(tmp_path, served, "other")
    other = Image(made.folder, made.sbom, served, Release("1.2.3", "cd" * 20, "sha256:" + "0" * 64))
    with pytest.raises(RefusedError):
        registry.push(other, key)


def test_the_program_pushes_and_says_by_which_name_it_runs(tmp_path, served, key, capsys):
    made = image(tmp_path, served, "program")
    code = cli.main(
        [
            "push",
            "--layout",
            str(made.folder),
            "--sbom",
            str(made.sbom),
            "--registry",
            served,
            "--key",
            str(key),
            "--version",
            "1.2.3",
            "--source",
            "ef" * 20,
            "--digest",
            made.release.digest,
        ]
    )
    assert code == 0
    assert f"{served}/gridos@{made.release.digest} is pushed and signed" in capsys.readouterr().out
