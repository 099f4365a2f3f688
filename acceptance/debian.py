"""Programs of Debian's packages, with the libraries they need, unpacked into a cache folder.

Nothing is installed and nothing is started: an ordinary user can do it.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from acceptance.calling import quietly
from canary.errors import MachineError
from canary.runtime import binaries


@dataclass(frozen=True)
class Unpacked:
    """Where the packages are."""

    root: Path

    @property
    def environment(self) -> Mapping[str, str]:
        """What a program needs to find the libraries that came with it."""
        # Some libraries keep parts of theirs in a folder of their own.
        found = {str(file.parent) for file in self.root.glob("usr/lib/*-linux-gnu/**/*.so*")}
        return {**os.environ, "LD_LIBRARY_PATH": ":".join(sorted(found))}


def unpacked(name: str, packages: Sequence[str], wanted: str) -> Unpacked:
    """The packages and what this machine lacks of what they need.

    Args:
        name: Of the folder in the cache.
        packages: What to get.
        wanted: A file, from the root, that one of them brings.

    Raises:
        MachineError: They are not there and cannot be had; says how to get them.
    """
    root = binaries.cache() / name
    if not (root / wanted).is_file():
        _unpack(root, packages, wanted)
    return Unpacked(root)


def _unpack(root: Path, packages: Sequence[str], wanted: str) -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise MachineError(f"{wanted} comes as a Debian package", "run this on Debian or Ubuntu")
    archives = root.with_name(f"{root.name}-archives")
    (archives / "partial").mkdir(parents=True, exist_ok=True)
    # Downloads what this machine lacks, as an ordinary user.
    options = ("-o", "Debug::NoLocking=1", "-o", f"Dir::Cache::archives={archives}")
    fetch = ("--yes", "--no-install-recommends", "--download-only", "install", *packages)
    downloaded = quietly("apt-get", *options, *fetch)
    if downloaded.returncode != 0:
        said = (downloaded.stderr.strip().splitlines() or ["no message"])[-1]
        raise MachineError(
            f"the packages of {wanted} could not be downloaded: {said}",
            "run: sudo apt-get update   (then try again)",
        )
    partial = root.with_name(f"{root.name}-partial")
    for package in archives.glob("*.deb"):
        unpacking = quietly("dpkg", "-x", str(package), str(partial))
        if unpacking.returncode != 0:
            raise MachineError(f"{package.name} could not be unpacked: {unpacking.stderr.strip()}")
    if not (partial / wanted).is_file():
        first, everything = packages[0], " ".join(packages)
        raise MachineError(
            f"{first} is installed already, so it was not downloaded with the rest",
            f"run: sudo apt-get remove {first}   (or unpack {everything} into {root})",
        )
    partial.rename(root)
    shutil.rmtree(archives)
