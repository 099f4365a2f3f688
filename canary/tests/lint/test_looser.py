"""What became laxer since a commit is said, and by how many times; a chart is rendered by its helm."""

import os

import pytest
import yaml

from acceptance.git import git
from canary import cli
from canary.argo import releases
from canary.lint import looser
from canary.power import catalogue
from canary.tests.lint import edited
from canary.tests.lint.edited import metric, put
from canary.tests.test_cli import CANARY, run

TEMPLATE = "AnalysisTemplate"
CONDITIONS = ("successCondition", "failureCondition")


def limits(number):
    return [metric("error-ratio", ["0.01", number], key) for key in CONDITIONS]


def laxer(changes, before=()):
    then, now = (releases.find(edited.release(*made)) for made in (before, changes))
    return [finding.message for finding in looser.find(then, now)]


CHANGES = [
    (limits("0.5"), "error-ratio: limit 0.01 before, 0.5 now, 50 times as much"),
    (limits("0.001"), ""),
    ([put(TEMPLATE, "spec.metrics[0].failureLimit", 3)], "failures allowed: 0 before, 3 now"),
    ([put(TEMPLATE, "spec.metrics[0].failureLimit", -1)], "failures allowed: 0 before, -1 now"),
    (
        [put(TEMPLATE, "spec.metrics[0].interval", "5m")],
        "measured every 300 s; it was every 30 s",
    ),
    (
        [put(TEMPLATE, "spec.dryRun", [{"metricName": "error-ratio"}])],
        "it is a dry run now: measured, and not judged",
    ),
    (
        [{"kind": TEMPLATE, "path": "spec.metrics[0]", "delete": True}],
        "error-ratio is used at 0 place(s); it was used at 1",
    ),
    (
        [{"kind": "Rollout", "path": "spec.strategy.canary.analysis", "delete": True}],
        "error-ratio is used at 0 place(s); it was used at 1",
    ),
    (
        [put("Rollout", "spec.strategy.canary.steps[0].setWeight", 50)],
        "the first step gets 50% of the requests; it got 10%",
    ),
    (
        [put("Rollout", "spec.strategy.canary.steps[1].pause.duration", "6s")],
        "all users get a release after 126 s; it was 240 s",
    ),
]


@pytest.mark.parametrize(("changes", "said"), CHANGES)
def test_what_judges_less_than_before_is_said(changes, said):
    found = laxer(changes)
    assert any(said in message for message in found) if said else found == []


def test_a_limit_that_an_argument_of_the_rollout_raises_is_laxer_too():
    text = "len(result) > 0 && !isNaN(result[0]) && result[0] {} asFloat('{{{{args.most}}}}')"
    moved = [
        metric("error-ratio", text.format("<"), CONDITIONS[0]),
        metric("error-ratio", text.format(">="), CONDITIONS[1]),
        put(TEMPLATE, "spec.args", [{"name": "hash"}, {"name": "count", "value": "1"}, {"name": "most", "value": "0.01"}]),
    ]  # fmt: skip
    given = [{"name": "hash", "valueFrom": {"podTemplateHashValue": "Latest"}}, {"name": "most", "value": "0.5"}]  # fmt: skip
    raised = [*moved, put("Rollout", "spec.strategy.canary.steps[2].analysis.args", given)]
    assert any("50 times as much" in message for message in laxer(raised, before=moved))


@pytest.fixture
def repository(tmp_path):
    """A repository with the good release in a folder, committed; and what writes another."""
    folder = tmp_path / "team"
    file = folder / "apps/shop/shop.yaml"
    file.parent.mkdir(parents=True)
    bodies = [d.body for d in catalogue.good_release()]
    file.write_text(yaml.safe_dump_all(bodies), encoding="utf-8")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "Ship")
    return folder, file


def test_a_commit_is_a_baseline_and_strict_makes_a_laxer_gate_an_error(repository):
    folder, file = repository
    same = run(CANARY, "lint", "shop", "--baseline", "HEAD", "--strict", cwd=folder / "apps")
    assert (same.returncode, same.stdout.splitlines()[-1][:19]) == (0, "1 canary Rollout(s)")
    file.write_text(
        file.read_text().replace("0.01", "0.5").replace("setWeight: 10", "setWeight: 200")
    )
    done = run(CANARY, "lint", "shop", "--baseline", "HEAD", "--strict", cwd=folder / "apps")
    assert done.returncode == 1
    assert "limit 0.01 before, 0.5 now, 50 times as much" in done.stdout
    assert "setWeight 200 is not between 0 and 100" in done.stdout


def test_what_a_commit_had_is_known(repository):
    folder, file = repository
    file.write_text(file.read_text().replace("setWeight: 10", "setWeight: 200"))
    git(folder, "commit", "--quiet", "--all", "--message", "Ship what is refused")
    assert run(CANARY, "lint", ".", cwd=folder).returncode == 1
    known = run(CANARY, "lint", ".", "--baseline", "HEAD", cwd=folder)
    assert known.returncode == 0
    assert "known" in known.stdout


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--baseline", "no-such"], "no-such is neither a file of findings nor a commit here"),
        (["--baseline", "HEAD", ".."], "a git baseline compares only files in this folder"),
        (["--values", "x.yaml"], "--values without --helm"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_a_line(repository, given, said):
    folder, _ = repository
    paths = [] if ".." in given else ["."]
    done = run(CANARY, "lint", *given, *paths, cwd=folder)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert said in done.stderr


def test_a_chart_needs_a_helm_and_the_message_says_how_to_get_one(repository):
    folder, _ = repository
    done = run(
        CANARY, "lint", "--helm", "chart", cwd=folder, env={**os.environ, "PATH": "/nowhere"}
    )
    assert done.returncode == 4
    assert "helm is not on PATH — go install" in done.stderr


def test_the_github_action_says_what_is_new_beside_its_line_and_fails(repository, root):
    folder, file = repository
    file.write_text(file.read_text().replace("setWeight: 10", "setWeight: 200"))
    place = root / ".github/actions/lint"
    steps = yaml.safe_load((place / "action.yaml").read_text())["runs"]["steps"]
    inputs = {"paths": "apps", "baseline": "HEAD", "arguments": ""}
    given = {
        name: inputs[text[3:-3].strip().split(".")[1]] for name, text in steps[-1]["env"].items()
    }
    place_of_it = {"GITHUB_ACTION_PATH": str(place)}
    command = ("bash", "-eo", "pipefail", "-c", steps[-1]["run"])
    done = run(*command, cwd=folder, env={**os.environ, **given, **place_of_it})
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if "setWeight 200" in line]
    assert line.startswith("::error file=apps/shop/shop.yaml,line=")


def test_the_pre_commit_hook_runs_what_the_program_has(root):
    (hook,) = yaml.safe_load((root / ".pre-commit-hooks.yaml").read_text())
    assert hook["entry"].split() == ["canary", "lint"]
    assert "lint" in cli.COMMANDS
    assert (root / hook["additional_dependencies"][0] / "pyproject.toml").is_file()
