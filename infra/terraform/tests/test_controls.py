"""docs/reference/controls.md: thirty rows, and every test that it names exists."""

import re

import mutate
import pytest
import workspace
from pipeline import controls

from policies import rules

TABLE = workspace.SOURCE.parents[1] / "docs/reference/controls.md"
ROW = re.compile(r"^\| (\d+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
ROWS = {int(row[0]): row[3].split(", ") for row in ROW.findall(TABLE.read_text())}
ROOTS = {"bootstrap", "gitops"}


def is_there(proof):
    """Whether a proof exists, by the kind that its spelling says."""
    if found := re.fullmatch(r"policy ([a-z-]+)", proof):
        return found[1] in rules.RULES
    if found := re.fullmatch(r"pipeline (\d+)", proof):
        return int(found[1]) in {control.row for control in controls.CONTROLS}
    if found := re.fullmatch(r"(test_\w+\.py)::(test_\w+)", proof):
        return f"def {found[2]}(" in (workspace.SOURCE / "tests" / found[1]).read_text()
    if found := re.fullmatch(r"(\w+)/(\w+)", proof):
        root = workspace.SOURCE / (found[1] if found[1] in ROOTS else "")
        return f'run "{found[2]}"' in (root / "tests" / f"{found[1]}.tftest.hcl").read_text()
    return False


def test_there_are_thirty_controls_each_with_a_proof():
    assert list(ROWS) == list(range(1, 31))
    assert all(ROWS.values())


@pytest.mark.parametrize(
    ("control", "proof"), [(row, proof) for row, proofs in ROWS.items() for proof in proofs]
)
def test_a_proof_that_the_table_names_is_there(control, proof):
    assert is_there(proof), f"row {control} names {proof}"


def test_a_proof_that_is_not_there_is_noticed():
    for proof in ("policy none", "pipeline 99", "test_plans.py::test_none", "cluster/none", "hope"):
        assert not is_there(proof)


def test_every_control_that_terraform_proves_is_broken_by_a_flip():
    """A run that no wrong setting fails would prove nothing."""
    flipped = {flip.control for flip in mutate.listed()}
    proven = {
        str(row)
        for row, proofs in ROWS.items()
        if any(re.fullmatch(r"\w+/\w+", proof) for proof in proofs)
    }

    assert proven <= flipped
