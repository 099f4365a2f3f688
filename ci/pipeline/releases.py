"""A release, its one version, and its notes. Pure, but for reading two files of the checkout."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import PipelineError

VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+(?:[a-z0-9.]+)?")
COMMIT = re.compile(r"[0-9a-f]{40}")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

# Twelve digits of a commit: unique far beyond any repository's size, and short enough for a tag.
SHORT = 12


@dataclass(frozen=True)
class Release:
    """One image: the commit it was built from, and the digest that it has everywhere."""

    version: str
    source: str
    digest: str

    def __post_init__(self) -> None:
        """Refuses what is not whole: a PipelineError shows what has not its form."""
        for form, text, example in (
            (VERSION, self.version, "a version such as 1.2.3"),
            (COMMIT, self.source, "a whole commit id of 40 hex digits"),
            (DIGEST, self.digest, "a digest, sha256: and 64 hex digits"),
        ):
            if not form.fullmatch(text):
                raise PipelineError(f"{text!r} is not {example}")

    @property
    def tag(self) -> str:
        """What a person reads: `1.2.3-g0123456789ab`. What runs is named by digest."""
        return tag(self.version, self.source)


def tag(version: str, source: str) -> str:
    """Names a build of a version from a commit."""
    return f"{version}-g{source[:SHORT]}"


def version(root: Path) -> str:
    """Reads the one version, from pyproject.toml.

    Raises:
        PipelineError: There is no version to read.
    """
    file = root / "pyproject.toml"
    try:
        return str(tomllib.loads(file.read_text(encoding="utf-8"))["project"]["version"])
    except (OSError, KeyError, TypeError, ValueError) as cause:
        raise PipelineError(f"{file}: no version can be read: {cause}") from None


def notes(changelog: str, wanted: str) -> str:
    """Cuts a version's section out of the changelog; before it is released, `Unreleased`.

    Raises:
        PipelineError: Neither section has a word in it: a release that says nothing is refused.
    """
    # Without brackets and dates: `## [1.2.3] - 2026-11-24` is `1.2.3`.
    parts = re.split(r"^## \[?([^\]\s]+)\]?.*$", changelog, flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    for name in (wanted, "Unreleased"):
        if text := sections.get(name, "").strip():
            return text + "\n"
    raise PipelineError(f"CHANGELOG.md says nothing under {wanted} or Unreleased: say what changed")
