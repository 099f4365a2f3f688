"""Version, tag and notes."""

import subprocess

import pytest
from pipeline import releases
from pipeline.errors import PipelineError

CHANGELOG = """\
# Changelog

## Unreleased

### Added

- Something.

## [0.2.0] - 2026-11-24

- The second.

## 0.1.0

- The first.
"""


def test_the_version_has_one_source(root):
    version = releases.version(root)
    assert releases.VERSION.fullmatch(version)
    places = ("service/gridos", "deploy/base", "deploy/overlays", ".github", "Dockerfile")
    said = ["git", "grep", "--fixed-strings", "--word-regexp", "--name-only", version, "--"]
    found = subprocess.run([*said, *places], cwd=root, check=False, capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (1, "")


def test_a_checkout_without_a_version_says_so(tmp_path):
    with pytest.raises(PipelineError, match="no version can be read"):
        releases.version(tmp_path)


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("0.2.0", "- The second.\n"),
        ("0.1.0", "- The first.\n"),
        ("0.3.0", "### Added\n\n- Something.\n"),
    ],
)
def test_notes_are_the_versions_own_or_what_is_not_released_yet(version, said):
    assert releases.notes(CHANGELOG, version) == said


def test_a_release_that_says_nothing_is_refused():
    with pytest.raises(PipelineError, match="say what changed"):
        releases.notes("# Changelog\n\n## Unreleased\n\n## 0.1.0\n\n- The first.\n", "0.2.0")


@pytest.mark.parametrize(
    ("version", "source", "digest"),
    [
        ("latest", "a" * 40, "sha256:" + "b" * 64),
        ("1.2.3", "main", "sha256:" + "b" * 64),
        ("1.2.3", "a" * 40, "b" * 64),
        ("1.2.3", "a" * 40, ""),
        ("1.2.3\n", "a" * 40, "sha256:" + "b" * 64),
    ],
)
def test_a_release_is_whole_or_refused(version, source, digest):
    with pytest.raises(PipelineError):
        releases.Release(version, source, digest)
