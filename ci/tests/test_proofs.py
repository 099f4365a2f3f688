"""The long proofs, of every area: what they say before they do anything."""

import os
import subprocess
import sys

import pytest

PROOFS = [
    ("acceptance/conformance/__main__.py", "scenarios", "--only"),
    ("infra/terraform/scripts/mutate.py", "--only"),
    ("acceptance/endings.py", "--only"),
    ("acceptance/gates.py", "--only"),
    ("acceptance/load/load.py", "--only"),
    ("acceptance/rehearsal.py", "--only"),
    ("observability/observe/cli.py", "prove-runbooks", "--only"),
    ("acceptance/pipeline/workflows.py",),
    ("acceptance/service/prove_service.py",),
]


@pytest.mark.parametrize("program", PROOFS, ids=lambda words: words[0])
def test_a_word_that_names_no_part_of_a_proof_is_no_proof(root, program):
    ended = subprocess.run(
        [sys.executable, *program, "no-such-part"],
        cwd=root, check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.strip()


@pytest.mark.parametrize("scale", ["0", "-1", "61", "nan", "inf", "x"])
def test_a_scale_at_which_no_step_can_be_taken_is_refused(root, scale):
    ended = subprocess.run(
        [sys.executable, "acceptance/pipeline/gitops.py", "--scale", scale],
        cwd=root, check=False, capture_output=True, text=True, timeout=60,
        env={**os.environ, "GRIDOS_CLUSTER_KIT": "/nowhere/cluster"},
    )  # fmt: skip
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "argument --scale: " in ended.stderr


@pytest.mark.parametrize(
    "program",
    [
        "acceptance/conformance/prove_connectivity.py",
        "infra/terraform/scripts/linters.py",
        "acceptance/load/load_cluster.py",
    ],
)
def test_who_asks_a_proof_for_help_starts_nothing(root, program):
    ended = subprocess.run(
        [sys.executable, program, "--help"],
        cwd=root, check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout.split(maxsplit=1)[0]) == (0, "usage:")


@pytest.mark.parametrize(
    "program",
    [
        ("acceptance/load/load_cluster.py",),
        ("observability/observe/cli.py", "prove-cluster"),
        ("acceptance/pipeline/gitops.py",),
    ],
    ids=lambda words: words[0],
)
def test_a_proof_without_its_cluster_says_so_and_has_not_passed(root, program):
    ended = subprocess.run(
        [sys.executable, *program],
        cwd=root, check=False, capture_output=True, text=True, timeout=60,
        env={**os.environ, "GRIDOS_CLUSTER_KIT": "/nowhere/cluster"},
    )  # fmt: skip
    assert ended.returncode == 4
    assert "no cluster kit" in ended.stderr
