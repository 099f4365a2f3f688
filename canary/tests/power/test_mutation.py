"""Broken gates are noticed; `make accept-gates` tries all of them."""

import pytest

from canary.power import mutation, mutation_report
from canary.power.mutation import Verdict
from canary.power.mutation_report import Matrix

SOME = ("error limit ×10", "metric renamed")
MORE = ("minimum sample removed", "everything a dry run")


def run(shipped, saved, names):
    chosen = [m for m in mutation.mutants() if m.name in names]
    return tuple(mutation.try_all(shipped, saved, chosen))


@pytest.fixture(scope="module")
def verdicts(shipped, saved):
    return run(shipped, saved, SOME)


def test_the_shipped_gates_do_what_is_demanded_of_them(shipped):
    assert mutation.complaints(shipped) == []


def test_some_broken_gates_of_different_kinds_are_killed_by_running_them(verdicts):
    assert {v.mutant.name for v in verdicts if v.killed_by} == set(SOME)


@pytest.mark.acceptance
def test_broken_gates_of_more_kinds_are_killed_by_running_them(shipped, saved):
    killed = {v.mutant.name for v in run(shipped, saved, MORE) if v.killed_by}
    assert killed == set(MORE)


def test_lint_notices_what_can_be_read_and_not_a_wrong_number(verdicts):
    said = {v.mutant.name: v.linted for v in verdicts}
    assert said["metric renamed"] == ("not-exported",)
    assert said["error limit ×10"] == ()


def test_every_mutant_still_fits_the_manifests(shipped):
    for mutant in mutation.mutants():
        mutation.edits.apply(shipped, mutant.edits)


def test_an_equivalent_mutant_gives_its_reason_before_the_run():
    equivalent = [m for m in mutation.mutants() if m.equivalent]
    assert len(equivalent) < 4
    said = mutation_report.introduction(equivalent)
    assert all(m.name in said and m.equivalent in said for m in equivalent)


def test_a_mutant_that_lives_is_shown_and_fails(verdicts):
    alive = Verdict(verdicts[0].mutant, (), ())
    found = Matrix((), (*verdicts[1:], alive), (), {})
    assert not found.complete
    assert "LIVES" in mutation_report.table(found)
    assert "1 of 2 killed" in mutation_report.table(found)
    assert 'failures="1"' in mutation_report.junit_xml(found)
