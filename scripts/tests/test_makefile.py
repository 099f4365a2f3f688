"""The Makefile: what documents and workflows call by `make`, there is."""

import re
import subprocess

import pytest

_CALLED = re.compile(r"(?:^|[`\s])make ([a-z][a-z-]*)(?=[`\s]|$)", re.MULTILINE)
_CODE = re.compile(r"```sh\n.*?```|`[^`\n]+`", re.DOTALL)


@pytest.fixture(scope="module")
def tracked(root):
    """The text of every tracked document and workflow, by path."""
    listed = subprocess.run(
        ["git", "ls-files", "*.md", ".github/workflows/*.yaml"],
        cwd=root, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return {path: (root / path).read_text() for path in listed.stdout.split()}


def test_help_lists_every_target_but_the_parts_of_lint(root):
    declared = re.findall(r"^\.PHONY: (.+)", (root / "Makefile").read_text(), re.MULTILINE)
    targets = {name for line in declared for name in line.split() if name != "$(LINTS)"}
    said = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=root, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert len(targets) > 30
    assert set(re.findall(r"^  ([a-z-]+) +\S", said, re.MULTILINE)) == targets


def test_every_target_that_a_document_or_workflow_names_exists(root, tracked):
    targets = set()
    for line in (root / "Makefile").read_text().splitlines():
        if match := re.match(r"([a-z][a-z -]*):(?!=)", line):
            targets |= set(match[1].split())
    called = {
        (path, target)
        for path, text in tracked.items()
        for code in (_CODE.findall(text) if path.endswith(".md") else [re.sub(r"#.*", "", text)])
        for target in _CALLED.findall(code)
    }
    assert len(called) > 30
    assert {(path, target) for path, target in called if target not in targets} == set()
