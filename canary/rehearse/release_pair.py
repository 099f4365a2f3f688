"""The two sides of a rehearsal, from what the caller named: this checkout, or git references."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from canary.argo import manifests
from canary.rehearse import config as configuration
from canary.rehearse import worktrees
from canary.rehearse.builds import Build
from canary.rehearse.worktrees import WORKTREE, Reference
from canary.runtime import documents

CONFIG = Path("loadtest/rehearsal.yaml")
CACHE = Path("out/references")
DEFAULT_STABLE = "main"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Sides:
    """Stable and candidate, and the file whose `traffic` the users send."""

    stable: Build
    candidate: Build
    traffic_file: Path


def choose(
    stable: str | None, candidate: str | None, config: Path | None, deploy: Path | None, say: Say
) -> Sides:
    """Reads this checkout, or builds the two references.

    Args:
        stable: The git reference that users have; None is `main` if a candidate is named.
        candidate: The git reference to release; None is this checkout if a stable one is named.
        config: A rehearsal.yaml for both sides; None is each side's own.
        deploy: Manifests for the candidate; None is what its rehearsal.yaml names.
        say: Is told what takes long.

    Raises:
        UsageError: if a reference, a file or a manifest cannot be used.
        MachineError: if an environment cannot be built.
    """
    if stable is None and candidate is None:
        own = _read(Path(), config, deploy)
        return Sides(own, own, config or CONFIG)
    repository = Path()
    before = worktrees.resolve(repository, DEFAULT_STABLE if stable is None else stable)
    after = worktrees.resolve(repository, WORKTREE if candidate is None else candidate)
    old, old_config = _build(repository, before, config, None, say)
    new, _ = _build(repository, after, config, deploy, say)
    return Sides(old, new, old_config)


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
