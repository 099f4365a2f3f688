"""Chromium over Debian's packages, and axe-core over npm's; neither is installed."""

import base64
import hashlib
import io
import json
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from acceptance import debian
from acceptance.calling import quietly
from canary.errors import MachineError
from canary.runtime import binaries

SHELL = "usr/lib/chromium/chromium-headless-shell"
AXE, AXE_FILE = "axe-core@4.14.1", "package/axe.min.js"
# As the registry states it, so that it is this one or none.
AXE_SHA512 = (
    "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
)
SERIOUS = {"serious", "critical"}


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window.

    Raises:
        MachineError: if it cannot be had.
    """
    found = debian.unpacked("chromium", ["chromium-headless-shell"], SHELL)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(found.root / SHELL),
            env=dict(found.environment),
            # Its own sandbox needs rights that containers lack; it opens our own pages only.
            args=["--no-sandbox"],
        )
        yield browser
        browser.close()


def axe() -> str:
    """The script that looks for what a page denies to some of its readers.

    Raises:
        MachineError: if it cannot be had.
    """
    kept = binaries.cache() / AXE / "axe.min.js"
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(_unpacked(_packed()))
    return kept.read_text(encoding="utf-8")


def _packed() -> bytes:
    if not (npm := shutil.which("npm")):
        raise MachineError("axe-core comes as an npm package", "install npm")
    with tempfile.TemporaryDirectory() as folder:
        if quietly(npm, "pack", AXE, "--silent", cwd=folder).returncode:
            raise MachineError(f"{AXE} could not be downloaded", "see `npm pack` and its registry")
        packed = next(Path(folder).glob("*.tgz")).read_bytes()
    if base64.b64encode(hashlib.sha512(packed).digest()).decode() != AXE_SHA512:
        raise MachineError(f"{AXE} is not what it was", "find out why before you use it")
    return packed


def _unpacked(packed: bytes) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        member = archive.extractfile(AXE_FILE)
        assert member is not None
        return member.read()


def findings(page: Page, script: str) -> list[str]:
    """What axe-core calls serious or critical on a page, each with where it is."""
    # The page's own policy lets no other script in: this one comes through the debugger.
    page.evaluate(script)
    found: dict[str, Any] = json.loads(page.evaluate("axe.run().then(JSON.stringify)"))
    assert found["passes"], "axe-core looked at nothing"
    return [
        f"{rule['id']}: {node['html']} ({node['failureSummary']})"
        for rule in found["violations"]
        if rule["impact"] in SERIOUS
        for node in rule["nodes"]
    ]
