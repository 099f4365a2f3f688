"""Programs of the distribution: found on PATH, else unpacked from their package into a cache.

Downloading and unpacking need no rights and install nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rehearsal import processes
from rehearsal.errors import MachineError


def program(name: str, package: str | None = None) -> Path:
    """The program of this name, from the package of the same name unless told otherwise.

    Raises:
        MachineError: if there is none, with how to get it.
    """
    found = shutil.which(name)
    if found:
        return Path(found)
    package = package or name
    folder = cache() / package
    unpacked = folder / "usr" / "bin" / name
    if not unpacked.is_file():
        _unpack(name, package, folder)
    return unpacked


def cache() -> Path:
    """The folder of what is downloaded and made once."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "gridos"


def _unpack(name: str, package: str, folder: Path) -> None:
    """Downloads the package as an ordinary user and unpacks it; installs nothing."""
    if sys.platform == "darwin":
        raise MachineError(f"{name} is not on PATH", f"run: brew install {package}")
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise MachineError(f"{name} is not on PATH", "install it with your package manager")
    folder.mkdir(parents=True, exist_ok=True)
    download = _quietly(["apt-get", "download", package], folder)
    archive = next(folder.glob(f"{package}_*.deb"), None)
    if download.returncode != 0 or archive is None:
        raise MachineError(
            f"{name} is not on PATH and its package could not be downloaded",
            f"run: sudo apt-get update   (then try again), or put {name} on PATH",
        )
    unpack = _quietly(["dpkg", "-x", archive.name, "."], folder)
    archive.unlink()
    if unpack.returncode != 0:
        raise MachineError(f"{archive.name} could not be unpacked: {unpack.stderr.strip()}")


def _quietly(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return processes.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )
