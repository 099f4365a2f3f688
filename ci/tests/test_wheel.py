"""The wheel: each program answers from any folder, or says what installs what it lacks."""

import importlib.metadata
import os
import subprocess
import sys

import pytest
import uv
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from programs import PROGRAMS

# Runs a program with its wheel and no packages but those of the named distributions.
_ALONE = """
import importlib.metadata, sys
allowed, wheel, program, *arguments = sys.argv[1:]
sys.path = [wheel] + [p for p in sys.path if p and "__editable__" not in p]
sys.meta_path = [f for f in sys.meta_path if "editable" not in repr(f).lower()]
allowed = set(allowed.split(","))
packages = importlib.metadata.packages_distributions()
class Absent:
    def find_spec(self, name, path=None, target=None):
        owners = {d.lower().replace("_", "-").replace(".", "-") for d in packages.get(name, [])} - {"gridos"}
        if path is None and owners and not owners & allowed:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
import programs
assert programs.__file__.startswith(wheel), programs.__file__
sys.argv = [program, *arguments]
sys.exit(getattr(programs, program)())
"""


@pytest.fixture(scope="module")
def wheel(root, tmp_path_factory):
    """The wheel of what is committed or about to be, unpacked where no checkout is."""
    folder = tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=root, check=True, capture_output=True, text=True,
    ).stdout.split("\n")  # fmt: skip
    for path in filter(None, listed):
        if (root / path).is_file():
            (folder / "source" / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / "source" / path).write_bytes((root / path).read_bytes())
    program = [uv.find_uv_bin(), "--offline", "--quiet"]
    build = ["build", "--wheel", "--no-build-isolation", "--python", sys.executable]
    subprocess.run([*program, *build, "-o", folder, folder / "source"], check=True, timeout=120)
    (file,) = folder.glob("gridos-*.whl")
    into = ["pip", "install", "--no-deps", "--no-index", "--python", sys.executable]
    unpacked = folder / "installed"
    subprocess.run([*program, *into, "--target", unpacked, file], check=True, timeout=120)
    return unpacked


def _closure(requirement):
    """The distributions that pip would install here for a requirement of this project."""
    found, queue = set(), [(Requirement(requirement), "")]
    while queue:
        wanted, extra = queue.pop()
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(wanted.name)
        for inner in {"", *wanted.extras}:
            if (name, inner) not in found:
                found.add((name, inner))
                lines = importlib.metadata.requires(name) or []
                queue += [(Requirement(line), inner) for line in lines]
    return {name for name, _ in found}


def _run(wheel, folder, installed, program, *arguments):
    given = (",".join(sorted(installed)) or "-", str(wheel), program, *arguments)
    return subprocess.run(
        [sys.executable, "-P", "-c", _ALONE, *given], cwd=folder, check=False,
        capture_output=True, text=True, timeout=60, env={"PATH": os.environ["PATH"]},
    )  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_with_its_extra_shows_its_help_from_any_folder(wheel, tmp_path, program):
    installed = _closure(PROGRAMS[program][1])
    done = _run(wheel, tmp_path, installed, program, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: {program}")


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_without_its_packages_says_what_installs_them(wheel, tmp_path, program):
    done = _run(wheel, tmp_path, set(), program, "--help")
    assert (done.returncode, done.stdout) == (4, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{program}: ")
    assert line.endswith(f" is not installed — pip install '{PROGRAMS[program][1]}'")


def test_policies_finds_its_schemas_in_the_wheel(wheel, root, tmp_path):
    installed = _closure(PROGRAMS["policies"][1])
    done = _run(wheel, tmp_path, installed, "policies", str(root / "deploy/overlays/staging"))
    assert "no API that we have a schema of" not in done.stdout + done.stderr
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_extra_of_the_pipeline_is_its_group(root):
    import tomllib

    project = tomllib.loads((root / "pyproject.toml").read_text())
    extra = project["project"]["optional-dependencies"]["pipeline"]
    assert extra == project["dependency-groups"]["pipeline"]
