"""The acceptance tests and the long programs: what they say before they do anything."""

import subprocess
import sys

import pytest

WRONG = [
    ("infra/terraform/scripts/mutate.py", "--only", "no-such-part"),
    ("-m", "acceptance", "no-such-area"),
    ("-m", "acceptance", "load", "--scale", "no-such-number"),
]


def run(root, *words):
    return subprocess.run(
        [sys.executable, *words],
        cwd=root, check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_a_word_that_means_nothing_starts_nothing(root, words):
    ended = run(root, *words)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.strip()


@pytest.mark.parametrize(
    ("area", "words"),
    [
        ("service", ("-k", "no-such-test")),
        ("service", ("--part", "no-such-part")),
        ("workflows", ("-k", "no-such-case")),
    ],
)
def test_a_word_that_names_no_test_has_not_passed(root, area, words):
    ended = run(root, "-m", "acceptance", area, *words)
    assert ended.returncode == 2
    assert " passed" not in ended.stdout


@pytest.mark.parametrize("scale", ["61", "x"])
def test_a_scale_at_which_no_step_can_be_taken_is_refused(root, scale):
    ended = run(root, "-m", "acceptance", "pipeline", "--scale", scale)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "argument --scale: " in ended.stderr


@pytest.mark.parametrize(
    "words", [("-m", "acceptance"), ("infra/terraform/scripts/linters.py",)], ids=" ".join
)
def test_who_asks_for_help_starts_nothing(root, words):
    ended = run(root, *words, "--help")
    assert (ended.returncode, ended.stdout.split(maxsplit=1)[0]) == (0, "usage:")
