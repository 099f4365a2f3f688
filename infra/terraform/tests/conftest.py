"""The programs under test, and a copy of the code to run Terraform in."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

TERRAFORM = Path(__file__).parent.parent
sys.path.insert(0, str(TERRAFORM / "scripts"))

import arm  # noqa: E402 — found by the line above
import workspace  # noqa: E402


@pytest.fixture(scope="session")
def terraform() -> None:
    """Skips where there is no Terraform."""
    if shutil.which("terraform") is None:
        pytest.skip("terraform is not on PATH; install Terraform 1.11 or newer")


@pytest.fixture(scope="session")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the roots, initialised; skips, and says how to mend it, where that cannot be."""
    copy = workspace.copy(tmp_path_factory.mktemp("terraform"))
    try:
        for root in workspace.ROOTS:
            workspace.initialise(copy / root)
    except workspace.UnavailableError as cause:
        pytest.skip(str(cause))
    return copy


@pytest.fixture(scope="session")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[arm.Arm]:
    """A stand-in for Azure's API; a provider that is azurerm itself comes to it by `environment`."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl on PATH, for a certificate")
    with arm.serve(tmp_path_factory.mktemp("azure")) as standin:
        yield standin


@contextmanager
def signed_in(azure: arm.Arm) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in azure.environment.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def led_to_azure(azure: arm.Arm) -> Iterator[None]:
    """Plans of azurerm itself need nobody's login."""
    with signed_in(azure):
        yield


@pytest.fixture(scope="session")
def plans(tmp_path_factory: pytest.TempPathFactory, azure: arm.Arm) -> dict[str, dict]:
    """Each environment's plan from nothing, and bootstrap's, as `terraform show -json` has them."""
    plans = {}
    with signed_in(azure):
        for name in ("dev", "staging", "production", "bootstrap"):
            copy = workspace.copy(tmp_path_factory.mktemp(name))
            root, variables = copy, f"environments/{name}.tfvars"
            if name == "bootstrap":
                root, variables = copy / "bootstrap", "gridos.tfvars"
            try:
                plans[name] = workspace.plan(root, root / variables)
            except workspace.UnavailableError as cause:
                pytest.skip(str(cause))
    return plans
