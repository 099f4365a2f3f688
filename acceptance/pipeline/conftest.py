"""A registry of our own, keys and images for it, and the programs that publish.yaml uses."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from pipeline.releases import Release

from acceptance import client
from acceptance.calling import quietly
from acceptance.cluster import ROOT
from acceptance.pipeline.gitops import run
from canary.runtime import processes, waiting


@contextmanager
def on_path(*names: str) -> Iterator[None]:
    """Has programs found, which are built where they are not."""
    folders = [str(Path(run("ci/tool", name)).parent) for name in names]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", ":".join([*folders, os.environ["PATH"]]))
        # The keys of tests have none.
        patch.setenv("COSIGN_PASSWORD", "")
        yield


@pytest.fixture(scope="module")
def tools() -> Iterator[None]:
    """What a push needs."""
    with on_path("crane", "cosign"):
        yield


@pytest.fixture(scope="module")
def served(tools: None) -> Iterator[str]:  # noqa: ARG001 — it runs one
    """An empty registry on the loopback, by crane; its address."""
    address = f"127.0.0.1:{processes.free_port()}"
    command = ["crane", "registry", "serve", "--address", address]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert waiting.wait_until(lambda: client.ask(f"http://{address}/v2/").status == 200, 60)
        yield address
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def make_key(
    tools: None,  # noqa: ARG001 — it runs one
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[], Path]:
    """Makes a key pair for cosign, without a password, and returns the private half."""

    def make() -> Path:
        folder = tmp_path_factory.mktemp("key")
        home = processes.inherited(HOME=str(folder), COSIGN_PASSWORD="")
        quietly("cosign", "generate-key-pair", cwd=folder, check=True, env=home)
        return folder / "cosign.key"

    return make


@pytest.fixture(scope="module")
def key(make_key: Callable[[], Path]) -> Path:
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
        given = ("--key", key, self.folder, self.sbom)
        env = {**os.environ, **told}
        return quietly(ROOT / "ci/push-image", *given, env=env, check=not digest)


@pytest.fixture
def make_image(served: str) -> Callable[..., Image]:
    """Makes a small real image, appended by crane to nothing, as a layout."""

    def make(folder: Path, content: str = "{}") -> Image:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "file").write_text(content)
        layer, layout = folder / "layer.tar", folder / "layout"
        for command in (
            ("tar", "-C", folder, "-cf", layer, "file"),
            ("crane", "append", "--oci-empty-base", "-f", layer, "-t", f"{served}/made:1"),
            ("crane", "pull", "--format=oci", f"{served}/made:1", layout),
        ):
            quietly(*command, check=True)
        digest = json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]
        sbom = folder / "sbom.json"
        sbom.write_text('{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": []}')
        return Image(layout, sbom, served, Release("1.2.3", "ab" * 20, digest))

    return make
