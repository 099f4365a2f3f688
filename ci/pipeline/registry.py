"""Brings an image into a registry and signs it there, with crane and cosign.

Without a key the signature is keyless: cosign asks Sigstore for a certificate of the workflow that
runs. With a key it is for a registry of one's own, and what the tests use.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pipeline import layout
from pipeline.errors import PipelineError, RefusedError, UnreachableError
from pipeline.releases import Release

TIME_LIMIT_S = 600
_TOOL = Path(__file__).parent.parent / "tool"


@dataclass(frozen=True)
class Image:
    """What is pushed, and where: `<registry>/gridos`."""

    folder: Path
    sbom: Path
    registry: str
    release: Release

    @property
    def name(self) -> str:
        """By digest, as everything that runs it does."""
        return f"{self.registry}/gridos@{self.release.digest}"


def push(image: Image, key: Path | None = None) -> None:
    """Pushes an image, then signs it and its bill of materials; the same again changes nothing.

    Raises:
        PipelineError: The layout cannot be read, or the registry cannot be reached.
        RefusedError: The layout, or what the registry made of it, is another image.
    """
    layout.check(image.folder, image.release.digest)
    tagged = f"{image.registry}/gridos:{image.release.tag}"
    _run("crane", "push", str(image.folder), tagged)
    arrived = _run("crane", "digest", tagged)
    if arrived != image.release.digest:
        raise RefusedError(f"{tagged} became {arrived}, not {image.release.digest}")
    signing = _signing(key)
    _run("cosign", "sign", *signing, image.name)
    _run(
        "cosign",
        "attest",
        *signing,
        "--type",
        "cyclonedx",
        "--predicate",
        str(image.sbom),
        image.name,
    )


def _signing(key: Path | None) -> list[str]:
    if key is None:
        return ["--yes"]
    # A private key says nothing to the public log; cosign 3 takes that from a signing config.
    config = key.parent / "signing-config.json"
    if not config.exists():
        _run("cosign", "signing-config", "create", "--out", str(config))
    return ["--yes", "--key", str(key), "--signing-config", str(config)]


def _run(program: str, *arguments: str) -> str:
    found = subprocess.run([str(_TOOL), program], capture_output=True, text=True, check=False)
    if found.returncode != 0:
        raise PipelineError(found.stderr.strip())
    try:
        done = subprocess.run(
            [found.stdout.strip(), *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=TIME_LIMIT_S,
            env=os.environ,
        )
    except subprocess.TimeoutExpired:
        said = f"{program} {arguments[0]} took more than {TIME_LIMIT_S} s"
        raise UnreachableError(said) from None
    if done.returncode != 0:
        raise PipelineError(f"{program} {arguments[0]} failed: {' '.join(done.stderr.split())}")
    return done.stdout.strip()
