"""What one side of a rehearsal is made of: manifests, stand-ins, and the programs to run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from canary.argo.manifests import Bundle
from canary.rehearse.config import Config

OWN_PROGRAMS = Path(sys.executable).parent


@dataclass(frozen=True)
class Build:
    """One side, stable or candidate: what it ships, and where its programs are installed.

    `name` is what a person calls it and `commit` the git commit it was built from; both are empty
    where both sides are this checkout, which differ only by a fault.
    """

    bundle: Bundle
    config: Config
    programs: Path = OWN_PROGRAMS
    folder: Path = field(default_factory=Path.cwd)
    name: str = ""
    commit: str = ""

    def __str__(self) -> str:
        """As a person would name it."""
        return f"{self.name} ({self.commit[:8]})" if self.commit else "this checkout"


def changes(stable: Build, candidate: Build) -> Iterator[str]:
    """What a reader of the verdict must know: what else the candidate changes than its code."""
    before, after = stable.bundle, candidate.bundle
    if before.templates != after.templates:
        yield "the gates: this release is judged by its own, as it would be once applied"
    if before.rollout.spec.strategy != after.rollout.spec.strategy:
        yield "the steps of the rollout: it walks its own"
    if before.rollout.spec.template != after.rollout.spec.template:
        yield "the pod template: each side runs under its own"
    if before.config_maps != after.config_maps:
        yield "the configuration: each side runs under its own"
