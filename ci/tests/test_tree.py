"""The tree itself: no binaries (OpenSSF Scorecard's Binary-Artifacts), and owners of what has rights."""

import re
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest

# What Scorecard looks for by its name (checks/raw/binary_artifact.go); programs by their first bytes.
NAMES = (".class", ".dll", ".dylib", ".exe", ".jar", ".pyc", ".pyo", ".so", ".war", ".wasm", ".whl")
PROGRAMS = (b"\x7fELF", b"MZ", b"\xca\xfe\xba\xbe", b"\xcf\xfa\xed\xfe", b"\0asm", b"PK\3\4")


def binary(path):
    with path.open("rb") as file:
        return path.name.endswith(NAMES) or file.read(4).startswith(PROGRAMS)


def test_no_program_is_kept_where_it_could_not_be_reviewed(root):
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=root, check=True, capture_output=True, text=True
    )
    paths = [root / name for name in listed.stdout.split("\0") if name]
    assert len(paths) > 100
    assert [str(path) for path in paths if path.is_file() and binary(path)] == []


@pytest.mark.parametrize(
    ("name", "content"), [("a.so", b""), ("tool", b"\x7fELF\2"), ("x.whl", b""), ("y", b"PK\3\4")]
)
def test_a_program_is_known_by_its_name_or_its_first_bytes(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert binary(tmp_path / name)


def owners(root):
    lines = (root / ".github/CODEOWNERS").read_text().splitlines()
    return dict(line.split(maxsplit=1) for line in lines if line and not line.startswith("#"))


def test_codeowners_names_nothing_that_is_not_there(root):
    for pattern in owners(root):
        assert list(root.glob(pattern.strip("/"))), pattern


RIGHTS = [".github/", "ci/", "Makefile", "Dockerfile", "requirements/", "infra/terraform/"]
RIGHTS += ["deploy/admission/", "deploy/argocd/", "policies/"]


@pytest.mark.parametrize("path", RIGHTS)
def test_what_a_job_with_rights_runs_or_obeys_is_reviewed_by_security(root, path):
    assert "/grid-security" in owners(root)[f"/{path}"]


def excluded(patterns, path):
    """Whether a .dockerignore leaves a path out: the last pattern that matches it decides."""
    out = False
    for pattern in patterns:
        wanted = pattern.removeprefix("!").removeprefix("**/")
        if any(
            fnmatch(part, wanted) for part in [str(path), *map(str, path.parents[:-1]), path.name]
        ):
            out = not pattern.startswith("!")
    return out


@pytest.mark.parametrize(
    "name", ["Dockerfile", "loadtest/cluster/Dockerfile", "infra/terraform/runners/Dockerfile"]
)
def test_what_a_dockerfile_copies_is_there_and_not_ignored(root, name):
    own = root / f"{name}.dockerignore"
    text = (own if own.exists() else root / ".dockerignore").read_text()
    patterns = [line for line in text.splitlines() if line and not line.startswith("#")]
    copies = re.findall(r"(?m)^COPY (?!--from)(.+) \S+$", (root / name).read_text())
    sources = [Path(source) for copy in copies for source in copy.split()]
    assert sources
    assert [str(s) for s in sources if not (root / s).exists() or excluded(patterns, s)] == []
    assert excluded(patterns, Path("README.md"))
    assert excluded(patterns, Path("canary/tests/conftest.py"))
