"""A real remote, real clones, and the checkout itself."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
from pipeline.checkout import DECIDED
from pipeline.releases import Release

from acceptance.pipeline import overlay
from canary.runtime import processes

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def proof() -> ModuleType:
    """The acceptance test's module: its remotes serve these tests too."""
    return overlay


@pytest.fixture(scope="session")
def first_world(proof, tmp_path_factory):
    made = proof.World.make(tmp_path_factory.mktemp("world"), clones=2)
    made.merge(3)
    return made


@pytest.fixture
def world(first_world, tmp_path):
    """A remote with one overlay, two clones, and three commits to release."""
    return first_world.copy(tmp_path)


# What the controls read of a checkout.
PARTS = (".dockerignore", ".github", ".hadolint.yaml", ".yamllint.yaml", ".yamllintignore", "Dockerfile", "LICENSE", "Makefile", "SECURITY.md",
  "acceptance/__init__.py", "canary/__init__.py", "canary/runtime/__init__.py", "canary/runtime/program.py", "ci", "conftest.py", "deploy",
  "infra", "pyproject.toml", "requirements", "service/gridos/program.py")  # fmt: skip


@pytest.fixture(scope="session")
def whole_copy(root, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("checkout")
    ignored = shutil.ignore_patterns("__pycache__", ".terraform", "tests")
    for part in PARTS:
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        if (root / part).is_dir():
            shutil.copytree(root / part, folder / part, ignore=ignored)
        else:
            shutil.copy2(root / part, folder / part, follow_symlinks=False)
    for pattern in (pattern for pattern in DECIDED["lines"] if pattern.endswith("conftest.py")):
        for file in root.glob(pattern):
            copied = folder / file.relative_to(root)
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, copied)
    return folder


def stamps(folder: Path) -> dict[Path, tuple[int, int]]:
    """When each file below a folder was written last, and its size."""
    found = {path: path.lstat() for path in folder.rglob("*") if path.is_file()}
    return {path: (status.st_mtime_ns, status.st_size) for path, status in found.items()}


@pytest.fixture
def copy(root, whole_copy) -> Iterator[Path]:
    """A copy of the checkout to change; what a test changes is put back after it."""
    before = stamps(whole_copy)
    yield whole_copy
    after = stamps(whole_copy)
    for path in after.keys() - before.keys():
        path.unlink()
    for path, stamp in before.items():
        if after.get(path) != stamp:
            path.unlink(missing_ok=True)
            shutil.copy2(root / path.relative_to(whole_copy), path, follow_symlinks=False)


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """An empty registry on the loopback, by crane; its address."""
    port = processes.free_port()
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
def make_key(tmp_path_factory) -> Callable[[], Path]:
    """Makes a key pair for cosign, without a password, and returns the private half."""

    def make() -> Path:
        folder = tmp_path_factory.mktemp("key")
        subprocess.run(
            ["cosign", "generate-key-pair"],
            cwd=folder,
            check=True,
            capture_output=True,
            env={**os.environ, "HOME": str(folder), "COSIGN_PASSWORD": ""},
        )
        return folder / "cosign.key"

    return make


@pytest.fixture(scope="module")
def key(make_key) -> Path:
    """Stands in for the identity of our workflow."""
    return make_key()


@dataclass(frozen=True)
class Image:
    """A layout with its bill of materials, and where it is pushed to."""

    folder: Path
    sbom: Path
    registry: str
    release: Release

    @property
    def name(self) -> str:
        """By digest, as everything that runs it does."""
        return f"{self.registry}/gridos@{self.release.digest}"

    def push(self, key: Path, digest: str = "") -> subprocess.CompletedProcess[str]:
        """As publish.yaml does, but for the key."""
        release = {"VERSION": self.release.version, "SOURCE": self.release.source}
        told = {"REGISTRY": self.registry, "DIGEST": digest or self.release.digest, **release}
        command = [ROOT / "ci/push-image", "--key", key, self.folder, self.sbom]
        env = {**os.environ, **told}
        return subprocess.run(command, env=env, capture_output=True, text=True, check=not digest)


@pytest.fixture
def make_image(served) -> Callable[..., Image]:
    """Makes a small real image, appended by crane to nothing, as a layout."""

    def make(folder: Path, content: str = "{}") -> Image:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "file").write_text(content)
        layer, layout = folder / "layer.tar", folder / "layout"
        for command in (
            ["tar", "-C", folder, "-cf", layer, "file"],
            ["crane", "append", "--oci-empty-base", "-f", layer, "-t", f"{served}/tmp:1"],
            ["crane", "pull", "--format=oci", f"{served}/tmp:1", layout],
        ):
            subprocess.run(command, check=True, capture_output=True)
        digest = json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]
        sbom = folder / "sbom.json"
        sbom.write_text('{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": []}')
        return Image(layout, sbom, served, Release("1.2.3", "ab" * 20, digest))

    return make


@pytest.fixture(autouse=True)
def _no_password(monkeypatch) -> None:
    """The keys of tests have none."""
    monkeypatch.setenv("COSIGN_PASSWORD", "")
