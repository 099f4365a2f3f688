"""Broken gates are noticed, by lint or by a release; `make accept-gates` tries all of them."""

import pytest

from canary.power import edits, mutants, mutation, mutation_report
from canary.power.mutants import Mutant
from canary.power.mutation import Verdict
from canary.power.mutation_report import Matrix
from canary.runtime import documents

# Mistakes that were once noticed by nothing.
SURVIVORS = {
    "error-ratio: POST left out", "error-ratio: one route",
    "errors-against-stable: one status of the failures", "container-restarts: by increase()",
    "no abort at the progress deadline", "back to a hundred revisions without gates",
    "release-guard prometheus: another port", "no readiness probe",
    "cpu-saturation-ratio: all containers",
}  # fmt: skip
# One of each way to be noticed by a release alone.
BY_RUNNING = {
    "release-guard max-error-ratio: ten times", "container-restarts: by increase()",
    "release-guard prometheus: another port", "no abort at the progress deadline",
}  # fmt: skip


# What the text of a gate alone tells, and the rule that says it.
BY_READING = {
    "p95-latency-seconds: compared the other way": "conditions-reversed",
    "p95-against-stable: compared the other way": "conditions-reversed",
    "cpu-saturation-ratio: compared the other way": "conditions-reversed",
    "container-restarts: compared the other way": "conditions-reversed",
    "errors-against-stable: POST left out": "divided-by-more",
    "route-errors: POST left out": "divided-by-more",
    "error-ratio: POST left out": "divided-by-more",
    "client-errors-against-stable: failures not filled with 0": "empty-pauses",
}


@pytest.fixture(scope="module")
def generated(shipped):
    return mutants.generate(shipped)


def test_mutants_are_many_of_every_kind_and_each_changes_the_manifests(shipped, generated):
    assert len(generated) >= 80
    assert {mutant.name for mutant in generated} >= SURVIVORS
    for mutant in generated:
        edits.apply(shipped, mutant.edits)


def test_what_lint_notices_is_not_released(shipped, saved, generated):
    wanted = {"route-errors: 5xx as a word", "no readiness probe", "canary-requests: not scoped"}
    chosen = [mutant for mutant in generated if mutant.name in wanted]
    found = {v.mutant.name: v for v in mutation.try_all(shipped, saved, chosen, ())}
    assert found["route-errors: 5xx as a word"].linted == ("matcher-never-matches",)
    assert found["no readiness probe"].linted == ("ready-as-soon-as-alive",)
    assert all(verdict.noticed and not verdict.killed_by for verdict in found.values())


def test_lint_notices_what_the_text_of_a_gate_tells(shipped, saved, generated):
    chosen = [mutant for mutant in generated if mutant.name in BY_READING]
    found = {v.mutant.name: v.linted for v in mutation.try_all(shipped, saved, chosen, ())}
    assert found == {name: (rule,) for name, rule in BY_READING.items()}


def test_anybodys_gates_are_broken_by_their_own_structure(root):
    found = documents.read_all([str(root / "canary/tests/power/margins.yaml")])
    names = {mutant.name for mutant in mutants.generate(found)}
    assert len(names) > 30
    assert "error-ratio: not scoped" in names


@pytest.mark.acceptance
def test_the_shipped_gates_do_what_is_demanded_of_them(shipped):
    assert mutation.complaints(shipped) == []


@pytest.mark.acceptance
def test_broken_gates_of_different_kinds_are_noticed_by_releasing_them(shipped, saved, generated):
    chosen = [mutant for mutant in generated if mutant.name in BY_RUNNING]
    assert len(chosen) == len(BY_RUNNING)
    verdicts = mutation.try_all(shipped, saved, chosen, mutation.EXPECTATIONS)
    assert {verdict.mutant.name for verdict in verdicts if verdict.killed_by} == BY_RUNNING


def test_a_mutant_that_lives_is_shown_and_fails():
    first, second = Mutant("one", ()), Mutant("two", ())
    found = Matrix((), (Verdict(first, ("errors: promoted",), ()), Verdict(second, (), ())))
    assert not found.complete
    assert "LIVES" in mutation_report.table(found)
    assert "1 of 2 noticed" in mutation_report.table(found)
    assert 'failures="1"' in mutation_report.junit_xml(found)
