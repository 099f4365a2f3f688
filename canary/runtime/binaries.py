"""Programs of the distribution: found on PATH, else unpacked from their package into a cache.

Downloading and unpacking need no rights and install nothing.
"""

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from canary.errors import MachineError
from canary.runtime import processes


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
    return Path(base) / "canary"


def _unpack(name: str, package: str, folder: Path) -> None:
    """Downloads the package as an ordinary user and unpacks it; installs nothing.

    The folder is there whole or not at all, whoever else makes it at the same time.
    """
    if sys.platform == "darwin":
        raise MachineError(f"{name} is not on PATH", f"run: brew install {package}")
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise MachineError(f"{name} is not on PATH", "install it with your package manager")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{package}-", dir=folder.parent) as beside:
        processes.remove_at_end(Path(beside))
        fresh = Path(beside) / package
        fresh.mkdir()
        _download(name, package, fresh)
        with _alone(folder.parent):
            # Unless another one was faster, what is there was left half made.
            if not (folder / "usr" / "bin" / name).is_file():
                shutil.rmtree(folder, ignore_errors=True)
                fresh.rename(folder)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _download(name: str, package: str, folder: Path) -> None:
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
    return processes.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
