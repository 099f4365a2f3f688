"""Broken gates are noticed; `make accept-gates` tries all of them."""

import pytest

from canary.power import mutation, mutation_report
from canary.power.mutation import Verdict
from canary.power.mutation_report import Matrix

SOME = ("error limit ×10", "metric renamed")
MORE = ("minimum sample removed", "everything a dry run")


def named(names):
    return [m for m in mutation.mutants() if m.name in names]


@pytest.mark.acceptance
def test_the_shipped_gates_do_what_is_demanded_of_them(shipped):
    assert mutation.complaints(shipped) == []


@pytest.mark.acceptance
@pytest.mark.parametrize("names", [SOME, MORE])
def test_broken_gates_of_different_kinds_are_killed_by_running_them(shipped, saved, names):
    killed = {v.mutant.name for v in mutation.try_all(shipped, saved, named(names)) if v.killed_by}
    assert killed == set(names)


def test_lint_notices_what_can_be_read_and_not_a_wrong_number(shipped, saved):
    said = {m.name: mutation.findings_of(m, shipped, saved) for m in named(SOME)}
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


def test_a_mutant_that_lives_is_shown_and_fails():
    first, second = named(SOME)
    found = Matrix((), (Verdict(first, ("errors: promoted",), ()), Verdict(second, (), ())), (), {})
    assert not found.complete
    assert "LIVES" in mutation_report.table(found)
    assert "1 of 2 killed" in mutation_report.table(found)
    assert 'failures="1"' in mutation_report.junit_xml(found)
