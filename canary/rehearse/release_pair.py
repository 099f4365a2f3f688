"""The release pair, stable and candidate: this checkout, or the git references of a caller."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from canary.argo import manifests
from canary.argo.manifests import Bundle
from canary.rehearse import config as configuration
from canary.rehearse import worktrees
from canary.rehearse.config import Config
from canary.rehearse.worktrees import WORKTREE, Reference
from canary.runtime import documents

OWN_PROGRAMS = Path(sys.executable).parent
CONFIG = Path("loadtest/rehearsal.yaml")
CACHE = Path("out/references")
DEFAULT_STABLE = "main"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Build:
    """Stable or candidate: what it ships, and where its programs are installed.

    `name` is what a person calls it and `commit` the git commit it was built from; both are empty
    where both are this checkout, which differ only by a fault.
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


@dataclass(frozen=True)
class ReleasePair:
    """Stable and candidate, and the file whose `traffic` the users send."""

    stable: Build
    candidate: Build
    traffic_file: Path

    @property
    def changes(self) -> Iterator[str]:
        """What a reader of the verdict must know: what else changes than the code."""
        before, after = self.stable.bundle, self.candidate.bundle
        if before.templates != after.templates:
            yield "the gates: this release is judged by its own, as it would be once applied"
        if before.rollout.spec.strategy != after.rollout.spec.strategy:
            yield "the steps of the rollout: it walks its own"
        if before.rollout.spec.template != after.rollout.spec.template:
            yield "the pod template: each side runs under its own"
        if before.config_maps != after.config_maps:
            yield "the configuration: each side runs under its own"


def choose(
    stable: str | None, candidate: str | None, config: Path | None, deploy: Path | None, say: Say
) -> ReleasePair:
    """Reads this checkout, or builds the two references.

    Args:
        stable: The git reference that users have; None is `main` if a candidate is named.
        candidate: The git reference to release; None is this checkout if a stable one is named.
        config: A rehearsal.yaml for both; None is each one's own.
        deploy: Manifests for the candidate; None is what its rehearsal.yaml names.
        say: Is told what takes long.

    Raises:
        UsageError: if a reference, a file or a manifest cannot be used.
        MachineError: if an environment cannot be built.
    """
    if stable is None and candidate is None:
        own = _read(Path(), config, deploy)
        return ReleasePair(own, own, config or CONFIG)
    repository = Path()
    before = worktrees.resolve(repository, DEFAULT_STABLE if stable is None else stable)
    after = worktrees.resolve(repository, WORKTREE if candidate is None else candidate)
    old, old_config = _build(repository, before, config, None, say)
    new, _ = _build(repository, after, config, deploy, say)
    return ReleasePair(old, new, old_config)


def _build(
    repository: Path, reference: Reference, config: Path | None, deploy: Path | None, say: Say
) -> tuple[Build, Path]:
    checkout = worktrees.check_out(repository, reference, CACHE, say)
    build = replace(
        _read(checkout.folder, config, deploy),
        programs=checkout.programs,
        folder=checkout.folder,
        name=reference.title if reference.name == WORKTREE else reference.name,
        commit=reference.commit,
    )
    return build, config or checkout.folder / CONFIG


def _read(folder: Path, config: Path | None, deploy: Path | None) -> Build:
    read = configuration.read(config or folder / CONFIG)
    source = deploy or folder / read.manifests
    return Build(manifests.read(documents.read(source), str(source)), read)
