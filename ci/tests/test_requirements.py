"""The locked requirements: complete, of one piece, and installed by hash and without resolving.

What a package requires is read from what is installed in this .venv, so a package that only another
platform or another Python installs is looked for in the locks, and its own requirements are not read.
"""

import functools
import importlib.metadata
import itertools
import re
import subprocess
import tomllib

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_PROJECTS = ("pyproject.toml", "canary/pyproject.toml", "loadtest/openarrivals/pyproject.toml")
_LOCKS = ("checkov", "dev", "load", "pipeline", "rehearse", "runner", "service", "uv")
# Clash with ours, so each is installed by itself.
_APART = {"checkov", "runner"}
_PYTHONS = ("3.11.0", "3.12.0", "3.13.0", "3.14.0")
_PLATFORMS = (
    {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"},
    {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix"},
)
_MACHINES = ("x86_64", "arm64")


def _environments():
    for python, platform, machine in itertools.product(_PYTHONS, _PLATFORMS, _MACHINES):
        versions = {"python_full_version": python, "python_version": python.rpartition(".")[0]}
        yield {**default_environment(), **platform, **versions, "platform_machine": machine}


@pytest.fixture(scope="module")
def locks(root):
    """Each lock's pins, by its name."""
    return {name: _pins((root / f"requirements/{name}.txt").read_text()) for name in _LOCKS}


def _pins(text):
    lines = text.replace("\\\n", " ").splitlines()
    return [Requirement(line.split("--hash")[0].strip()) for line in lines]


@pytest.fixture(scope="module")
def asked(root):
    """What ci/lock resolves each lock from, as requirements of the distributions and groups."""
    files = {file: tomllib.loads((root / file).read_text()) for file in _PROJECTS}
    groups = files["pyproject.toml"]["dependency-groups"]
    found = {}
    script = (root / "ci/lock").read_text().replace("\\\n", " ")
    for variable, value in re.findall(r"^(\w+)=(\S+pyproject.toml)$", script, re.MULTILINE):
        script = script.replace(f"${variable} ", f"{value} ")
    for name, options in re.findall(r"^resolve (\S+) (.*)$", script, re.MULTILINE):
        lines = []
        for file in files.keys() & set(options.split()):
            project = files[file]["project"]
            extras = project.get("optional-dependencies", {})
            chosen = extras if "--all-extras" in options else re.findall(r"--extra (\S+)", options)
            lines += project["dependencies"]
            lines += [line for extra in chosen for line in extras[extra]]
        for group in re.findall(r"--group (\S+)", options):
            lines += groups[group]
        found[name] = [Requirement(line) for line in lines]
    return found


def _selected(pins, environment):
    """The versions that the lock installs there, by name."""
    chosen = [pin for pin in pins if pin.marker is None or pin.marker.evaluate(environment)]
    found = {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in chosen}
    assert len(found) == len(chosen), "one package is pinned twice"
    return found


def _missing(pins, asked, environment):
    """Requirements, extras included, that the lock leaves open or pins beyond their limits."""
    selected = _selected(pins, environment)
    queue = [("pyproject.toml", requirement, "") for requirement in asked]
    seen = set()
    while queue:
        wanted_by, requirement, extra = queue.pop()
        marker = requirement.marker
        if marker is not None and not marker.evaluate({**environment, "extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        version = selected.get(name)
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            yield f"{wanted_by} requires {requirement}, locked is {version}"
            continue
        for inner in {"", *requirement.extras} - {e for n, e in seen if n == name}:
            seen.add((name, inner))
            queue += [(f"{name}=={version}", r, inner) for r in _requires(name, version)]


@functools.cache
def _requires(name, version):
    """What the package says of itself; nothing where this very version is not installed here."""
    try:
        installed = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return []
    if installed.version != version:
        return []
    return [Requirement(line) for line in installed.requires or []]


@pytest.mark.parametrize("name", _LOCKS)
def test_a_lock_holds_all_that_its_packages_require_everywhere(locks, asked, name):
    missing = {
        line
        for environment in _environments()
        for line in _missing(locks[name], asked[name], environment)
    }
    assert missing == set()


def test_what_a_lock_lacks_is_found_through_an_extra(locks, asked):
    lacking = [pin for pin in locks["dev"] if pin.name != "coverage"]
    found = list(_missing(lacking, asked["dev"], default_environment()))
    assert len(found) == 1
    assert re.search(r"pytest-cov==\S+ requires coverage\[toml\]>=\S+, locked is None", found[0])


def test_a_pin_beyond_a_limit_is_found(locks, asked):
    pins = [pin for pin in locks["dev"] if pin.name != "coverage"] + [Requirement("coverage==1.0")]
    assert "locked is 1.0" in " ".join(_missing(pins, asked["dev"], default_environment()))


def test_what_this_machine_selects_is_what_is_installed(locks):
    here = _selected(locks["dev"], default_environment())
    installed = {name: importlib.metadata.version(name) for name in here}
    assert installed == here


def test_every_lock_is_a_part_of_the_largest(locks):
    def lines(name):
        return {(p.name, str(p.specifier), str(p.marker or "")) for p in locks[name]}

    versions = {(name, version) for name, version, _ in lines("dev")}
    for name in set(_LOCKS) - _APART:
        assert {(n, version) for n, version, _ in lines(name)} <= versions


def test_no_lock_names_a_host_and_each_pin_has_its_hashes(root):
    for name in _LOCKS:
        text = (root / f"requirements/{name}.txt").read_text()
        assert re.findall(r"://|^-|@ ", text, re.MULTILINE) == []
        assert all("--hash=sha256:" in line for line in text.replace("\\\n", " ").splitlines())
    assert {file.stem for file in (root / "requirements").iterdir()} == set(_LOCKS)


def test_every_installation_from_a_file_is_by_hash_and_without_resolving(root):
    listed = subprocess.run(
        ["git", "grep", "-lIE", "pip|LOCKED", "--", ":!requirements", ":!*.md", ":!**/tests/**"],
        cwd=root, check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    found = 0
    for path in listed:
        text = (root / path).read_text().replace("\\\n", " ")
        for line in text.splitlines():
            if re.search(r"\bpip[3 ].*(install|download|sync) .* -r ", line):
                found += 1
                assert "--require-hashes" in line, f"{path}: {line}"
                assert "--no-deps" in line, f"{path}: {line}"
        if path.endswith(".py") and '"-r"' in text:
            found += 1
            assert "*LOCKED" in text or "*packages.LOCKED" in text, path
        if locked := re.search(r"^LOCKED = (.*)$", text, re.MULTILINE):
            assert "--require-hashes" in locked[1], path
            assert "--no-deps" in locked[1], path
    assert found >= 6
