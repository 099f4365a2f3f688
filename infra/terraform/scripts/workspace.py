"""A copy of these Terraform roots to run the real `terraform` in.

A copy, so that a check leaves neither providers nor lock files in the checkout, can run beside
another, and can change the code to see whether a test notices.
"""

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).resolve().parent.parent

# Each has its own state, or none; `.` is the platform.
ROOTS = (".", "bootstrap", "gitops", "modules/naming")

# The longest thing that is run is one file's tests, some 20 s on two free cores; where other things
# run too, it is many times that.
TIME_LIMIT_S = 900

# What azurerm says where nobody is signed in, whatever it is that was not found; or where it does
# not trust the stand-in for Azure.
SIGNED_OUT = re.compile(r"building account|Authorizer|`?subscription_id`? is a required|x509:")

# What `init` says where no registry and no mirror answers; whatever else it says is of the code.
UNREACHABLE = re.compile(
    r"could not connect|dial tcp|no such host|not found in any of the search locations"
)

BACKEND = "backend_override.tf"
LOCAL_BACKEND = 'terraform {\n  backend "local" {}\n}\n'


class UnavailableError(RuntimeError):
    """Terraform or the providers' schemas are not to be had here; the message says which."""


def copy(target: Path) -> Path:
    """Copy the code, without what `terraform init` left behind; return the copy."""
    ignored = shutil.ignore_patterns(
        ".terraform", ".terraform.lock.hcl", "*.tfstate*", "__pycache__"
    )
    return Path(shutil.copytree(SOURCE, target, symlinks=True, ignore=ignored, dirs_exist_ok=True))


def said(
    command: Sequence[str | Path], folder: Path | None = None, time_limit_s: float = TIME_LIMIT_S
) -> subprocess.CompletedProcess[str]:
    """Run a program in a folder, whatever its outcome, and keep what it says."""
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=time_limit_s
    )


def terraform(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Terraform in a root, whatever its outcome.

    Raises:
        UnavailableError: There is no `terraform`.
    """
    try:
        return said(["terraform", *arguments], root)
    except FileNotFoundError:
        raise UnavailableError(
            "terraform is not on PATH; install Terraform 1.11 or newer"
        ) from None


def test_events(root: Path, test: str) -> Generator[Mapping[str, object], None, None]:
    """Run one test file and yield what Terraform says as it says it; stop reading to stop the run.

    Args:
        root: An initialised root of a copy.
        test: The test file's name, without its ending.

    Raises:
        ValueError: The run was cut off.
    """
    command = ["terraform", "test", "-json", f"-filter=tests/{test}.tftest.hcl"]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as running:
        watch = threading.Timer(TIME_LIMIT_S, running.kill)
        watch.start()
        try:
            for line in running.stdout or ():
                yield json.loads(line)
            # 0 and 1 are Terraform's own; a run that was cut off has proven nothing.
            if running.wait() not in (0, 1):
                raise ValueError(f"terraform did not finish within {TIME_LIMIT_S} s")
        finally:
            watch.cancel()
            running.terminate()


def initialise(root: Path, option: str = "-backend=false") -> None:
    """Fetch a root's providers, by default without its backend.

    Raises:
        UnavailableError: Terraform or a provider is not to be had.
        ValueError: The code is wrong; the message is Terraform's.
    """
    done = terraform(root, "init", option, "-input=false", "-no-color")
    if done.returncode != 0:
        if not UNREACHABLE.search(" ".join(done.stderr.split())):
            raise ValueError(f"terraform init: {done.stderr.strip()}")
        reason = next((line for line in done.stderr.splitlines() if "Error" in line), "init failed")
        raise UnavailableError(
            f"terraform init: {reason.strip()}; the providers' registry, or a mirror named in "
            "TF_CLI_CONFIG_FILE, must be reachable"
        )


def initialise_locally(root: Path) -> None:
    """The same for a root of a copy, with its state in a file there."""
    (root / BACKEND).write_text(LOCAL_BACKEND)
    initialise(root, "-reconfigure")


def plan(root: Path, variables: Path, more: Sequence[str] = ()) -> Mapping[str, Any]:
    """Plan a root with local state, if there is one, and return what `terraform show -json` says.

    Args:
        root: A root of a copy; it gets a local backend.
        variables: A `.tfvars` file.
        more: Further arguments of `terraform plan`, such as `-var`.

    Raises:
        UnavailableError: Terraform or a provider is not to be had.
        ValueError: The plan failed; the message is Terraform's.
    """
    if not (root / BACKEND).exists():
        initialise_locally(root)
    made = terraform(
        root, "plan", "-input=false", "-no-color", "-out=plan.bin", f"-var-file={variables}", *more
    )
    if made.returncode != 0:
        if SIGNED_OUT.search(made.stderr):
            raise UnavailableError(
                "terraform plan: azurerm wants a login to Azure; arm.py serves for one on Linux, "
                "or a provider that asks nobody does, from a mirror named in TF_CLI_CONFIG_FILE"
            )
        raise ValueError(made.stderr)
    shown: Mapping[str, Any] = json.loads(terraform(root, "show", "-json", "plan.bin").stdout)
    return shown
