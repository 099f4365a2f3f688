"""The distributions: each answers from any folder with what it requires, or says what it lacks."""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import uv
from install import FOLDERS
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from canary.cli import COMMANDS
from canary.runtime import packages

DISTRIBUTIONS = {
    "gridos": ".",
    "canary-rehearsal": "canary",
    "openarrivals": "loadtest/openarrivals",
}
# Runs a module with an unpacked wheel and no packages but those of the named distributions.
_ALONE = """
import importlib, importlib.metadata, json, pathlib, sys
allowed, packages, wheel, checkout, module, *arguments = sys.argv[1:]
allowed = set(allowed.split(","))
packages = json.loads(pathlib.Path(packages).read_text())
sys.path = [wheel] + [p for p in sys.path if p not in checkout.split(":")]
class Absent:
    def find_spec(self, name, path=None, target=None):
        owners = {d.lower().replace("_", "-").replace(".", "-") for d in packages.get(name, [])}
        if path is None and owners and not owners & allowed:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
found = importlib.import_module(module)
assert found.__file__.startswith(wheel), found.__file__
sys.argv = [module, *arguments]
sys.exit(found.main())
"""


def _listed(folder):
    """What is committed below a folder, or about to be."""
    asked = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    return subprocess.run(
        asked, cwd=folder, check=True, capture_output=True, text=True
    ).stdout.splitlines()


@pytest.fixture(scope="module")
def wheels(root, tmp_path_factory):
    """The wheels of what is committed or about to be, unpacked where no checkout is."""
    folder = tmp_path_factory.mktemp("wheels")
    for path in _listed(root):
        if (root / path).is_file():
            (folder / "source" / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / "source" / path).write_bytes((root / path).read_bytes())
    program = [uv.find_uv_bin(), "--offline", "--quiet"]
    build = ["build", "--wheel", "--no-build-isolation", "--python", sys.executable]
    for name, place in DISTRIBUTIONS.items():
        source = folder / "source" / place
        subprocess.run([*program, *build, "-o", folder, source], check=True, timeout=120)
        (file,) = folder.glob(f"{name.replace('-', '_')}-*.whl")
        with zipfile.ZipFile(file) as wheel:
            wheel.extractall(folder / name)
    return folder


def _metadata(wheels, name):
    (info,) = (wheels / name).glob("*.dist-info")
    return importlib.metadata.Distribution.at(info)


def _closure(lines):
    """The distributions that pip would install here for these requirements."""
    found, queue = set(), [(Requirement(line), "") for line in lines]
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


@pytest.fixture(scope="module")
def installed_packages(tmp_path_factory):
    """The distributions here by what is imported of them, which takes half a second to find."""
    file = tmp_path_factory.mktemp("installed") / "packages.json"
    file.write_text(json.dumps(importlib.metadata.packages_distributions()))
    return str(file)


@pytest.fixture
def alone(root, installed_packages, tmp_path):
    """Runs a module of an unpacked wheel, in a folder that is no checkout."""

    def run(wheel, installed, module, *arguments):
        checkout = ":".join(str((root / folder).resolve()) for folder in FOLDERS)
        allowed = ",".join(sorted(installed)) or "-"
        given = (allowed, installed_packages, str(wheel), checkout, module)
        return subprocess.run(
            [sys.executable, "-P", "-c", _ALONE, *given, *arguments], cwd=tmp_path, check=False,
            capture_output=True, text=True, timeout=60, env={"PATH": os.environ["PATH"]},
        )  # fmt: skip

    return run


@pytest.mark.parametrize("arguments", [(), *((command,) for command in COMMANDS)], ids=" ".join)
def test_every_command_of_canary_needs_what_its_wheel_requires_and_no_more(
    wheels, alone, arguments
):
    installed = _closure(_metadata(wheels, "canary-rehearsal").requires)
    wheel = wheels / "canary-rehearsal"
    done = alone(wheel, installed, "canary.__main__", *arguments, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(" ".join(["usage: canary", *arguments]))


# In a folder that is no checkout nothing says how requests divide among routes.
@pytest.mark.parametrize(
    "command",
    [
        ("lint",),
        pytest.param(
            ("power", "--releases", "20", "--routes", "0.9,0.1"), marks=pytest.mark.acceptance
        ),
    ],
    ids=lambda command: " ".join(command[:3]),
)
def test_the_gates_of_anybody_are_checked_with_the_wheel_alone(wheels, alone, root, command):
    installed = _closure(_metadata(wheels, "canary-rehearsal").requires)
    given = (*command, "--manifests", str(root / "deploy/base"))
    done = alone(wheels / "canary-rehearsal", installed, "canary.__main__", *given)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_service_needs_what_its_wheel_requires_and_no_more(wheels, alone):
    installed = _closure(_metadata(wheels, "gridos").requires)
    done = alone(wheels / "gridos", installed, "gridos_start", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: gridos")


@pytest.mark.parametrize(
    ("name", "program", "begins", "arguments"),
    [
        ("canary-rehearsal", "canary", "canary.__main__", ("lint", "--help")),
        ("gridos", "gridos", "gridos_start", ("--help",)),
    ],
    ids=["canary", "gridos"],
)
def test_a_program_without_its_packages_says_what_installs_them(
    wheels, alone, name, program, begins, arguments
):
    done = alone(wheels / name, set(), begins, *arguments)
    assert (done.returncode, done.stdout) == (4, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{program}: ")
    assert line.endswith(f" is not installed — pip install {name}")


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_a_wheel_holds_its_package_whole_and_no_tests(wheels, root, name):
    package = {"canary-rehearsal": "canary"}.get(name, name)
    (source,) = (
        root / folder / package for folder in FOLDERS if (root / folder / package).is_dir()
    )
    wanted = {
        path
        for path in _listed(source)
        if not path.startswith("tests/")
        and not path.endswith((".md", "pyproject.toml", "Dockerfile", ".dockerignore"))
    }
    held = {
        str(file.relative_to(wheels / name / package))
        for file in (wheels / name / package).rglob("*")
        if file.is_file() and file.suffix != ".pyc"
    }
    assert held == wanted
    top = {path.name for path in (wheels / name).iterdir() if not path.name.endswith(".dist-info")}
    assert top - {"gridos_start.py", "__pycache__"} == {package}


def test_every_distribution_has_the_one_version(root):
    versions = {
        tomllib.loads((root / place / "pyproject.toml").read_text())["project"]["version"]
        for place in DISTRIBUTIONS.values()
    }
    assert len(versions) == 1


def test_where_nothing_is_installed_as_in_the_image_canary_knows_its_version(root, tmp_path):
    copied = re.findall(
        r"^COPY ((?:canary|service)\S*) /app/(\S+)$",
        (root / "canary/Dockerfile").read_text(),
        re.MULTILINE,
    )
    for source, place in copied:
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        if (root / source).is_dir():
            left_out = shutil.ignore_patterns("tests", "__pycache__")
            shutil.copytree(root / source, tmp_path / place, symlinks=True, ignore=left_out)
        else:
            shutil.copy(root / source, tmp_path / place)
    asked = "from canary.runtime import program; print(program.version())"
    done = subprocess.run(
        [sys.executable, "-S", "-c", asked],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    stated = tomllib.loads((root / "canary/pyproject.toml").read_text())["project"]["version"]
    assert done.stdout.strip() == stated


def test_the_load_test_needs_what_its_image_installs_and_no_more(root, alone, tmp_path):
    lines = (root / "requirements/load.txt").read_text().replace("\\\n", " ").splitlines()
    installed = {canonicalize_name(Requirement(x.split("--hash")[0].strip()).name) for x in lines}
    # What loadtest/cluster/Dockerfile copies, and nothing else of the checkout.
    for folder in ("canary", "loadtest/openarrivals", "loadtest/loadtesting"):
        (tmp_path / Path(folder).name).symlink_to(root / folder)
    profiles = ("profiles", "--manifests", str(root / "deploy/base"))
    profiles += ("--config", str(root / "loadtest/rehearsal.yaml"))
    done = alone(tmp_path, installed, "loadtesting.cli", *profiles)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture(scope="module")
def fresh(wheels, tmp_path_factory):
    """The program of an environment that holds the wheel of canary-rehearsal and what it requires."""
    venv = tmp_path_factory.mktemp("fresh")
    (file,) = wheels.glob("canary_rehearsal-*.whl")
    program, python = uv.find_uv_bin(), str(venv / "bin/python")
    subprocess.run([program, "--quiet", "venv", "--python", sys.executable, venv], check=True)
    into = ["pip", "install", "--python", python, file]
    environment = packages.environment()
    subprocess.run([program, "--quiet", *into], check=True, timeout=600, env=environment)
    return venv / "bin/canary"


@pytest.mark.acceptance
@pytest.mark.parametrize(("fault", "code"), [((), 0), (("--fault", "0.2"), 1)], ids=["good", "bad"])
def test_another_teams_release_is_rehearsed_with_the_wheel_alone(
    fresh, root, tmp_path, fault, code
):
    shop = shutil.copytree(root / "canary/tests/rehearse/shop", tmp_path / "shop")
    done = subprocess.run(
        [fresh, "rehearse", "--config", "rehearsal.yaml", *fault],
        cwd=shop, check=False, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    result = json.loads((shop / "out/rehearsals/latest/result.json").read_text())
    assert (result["verdict"]["gate"] or {}).get("name") == ("failed" if fault else None)
