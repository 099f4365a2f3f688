"""A real remote, real clones, and the checkout itself."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def proof() -> ModuleType:
    """The proof's program, as a module: its worlds serve the tests too."""
    spec = importlib.util.spec_from_file_location(
        "prove_overlay", ROOT / "scripts/prove_overlay.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def world(proof, tmp_path):
    """A remote with one overlay, two clones, and three commits to release."""
    made = proof.World.make(tmp_path, clones=2)
    made.merge(3)
    return made
