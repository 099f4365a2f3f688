"""A real remote, real clones, and the checkout itself."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from pipeline.checkout import DECIDED

from acceptance.pipeline import overlay

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def proof() -> ModuleType:
    """The acceptance test's module: its remotes serve these tests too."""
    return overlay


@pytest.fixture(scope="session")
def first_world(proof, tmp_path_factory):
    made = proof.World.make(tmp_path_factory.mktemp("world"), clones=2)
    made.merge(3)
    return made


@pytest.fixture
def world(first_world, tmp_path):
    """A remote with one overlay, two clones, and three commits to release."""
    return first_world.copy(tmp_path)


# What the controls read of a checkout.
PARTS = (".dockerignore", ".github", ".hadolint.yaml", ".yamllint.yaml", ".yamllintignore", "Dockerfile", "LICENSE", "Makefile", "SECURITY.md",
  "canary/argo/analysis.py", "canary/argo/expression.py", "canary/lint/looser.py", "canary/lint/schemas", "canary/rehearse/pull_request.py", "canary/rehearse/report.py",
  "canary/rehearse/verdict.py", "canary/runtime/__init__.py", "canary/runtime/program.py", "canary/tests", "ci", "conftest.py", "deploy",
  "infra", "loadtest/rehearsal.yaml", "observability/alertmanager", "observability/kubernetes", "observability/kustomization.yaml",
  "observability/logs", "observability/rules", "observability/tests", "policies", "pyproject.toml", "requirements", "service/gridos/exposition.py",
  "service/gridos/injection.py", "service/gridos/program.py", "service/gridos/recorder.py", "service/gridos/tally.py")  # fmt: skip


@pytest.fixture(scope="session")
def whole_copy(root, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("checkout")
    ignored = shutil.ignore_patterns("__pycache__", ".terraform")
    for part in PARTS:
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        if (root / part).is_dir():
            shutil.copytree(root / part, folder / part, symlinks=True, ignore=ignored)
        else:
            shutil.copy2(root / part, folder / part, follow_symlinks=False)
    everywhere = [pattern for pattern in DECIDED["lines"] if pattern.endswith("conftest.py")]
    for pattern in ("*/__init__.py", *everywhere):
        for file in root.glob(pattern):
            copied = folder / file.relative_to(root)
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, copied)
    return folder


def stamps(folder: Path) -> dict[Path, tuple[int, int]]:
    """When each file below a folder was written last, and its size."""
    found = {path: path.lstat() for path in folder.rglob("*") if path.is_file()}
    return {path: (status.st_mtime_ns, status.st_size) for path, status in found.items()}


@pytest.fixture
def copy(root, whole_copy) -> Iterator[Path]:
    """A copy of the checkout to change; what a test changes is put back after it."""
    before = stamps(whole_copy)
    yield whole_copy
    after = stamps(whole_copy)
    for path in after.keys() - before.keys():
        path.unlink()
    for path, stamp in before.items():
        if after.get(path) != stamp:
            path.unlink(missing_ok=True)
            shutil.copy2(root / path.relative_to(whole_copy), path, follow_symlinks=False)
