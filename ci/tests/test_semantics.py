"""The workflows under GitHub's semantics, and the shapes that cannot work there."""

import json
import re

import pytest
from pipeline import overlay
from pipeline.checkout import Checkout
from ruamel.yaml import YAML

from . import semantics

# What a job's token must have been given for what its steps ask of GitHub.
ASKED = {
    r"run-pipeline (candidate|destination)": "statuses",
    r"--run-of": "actions",
    r"verify-provenance": "attestations",
    r"run-pipeline comment": "pull-requests: write",
}


@pytest.fixture(scope="module")
def checkout(root):
    return Checkout(root)


@pytest.fixture(scope="module")
def settings(root):
    return json.loads((root / ".github/environments.json").read_text())


@pytest.fixture(scope="module")
def rulesets(root):
    files = ("main", "environments")
    return [json.loads((root / f".github/rulesets/{f}.json").read_text()) for f in files]


@pytest.fixture(scope="module")
def placed(checkout, settings):
    return semantics.place(checkout.workflows, settings)


def asking(settings):
    return {name for name, about in settings["environments"].items() if about["reviewers"]}


# A workflow that reads an environment's secret where it was called: empty, whatever its job says.
CALLED = """
on: {workflow_call: {inputs: {environment: {type: string}}, secrets: {KEY: {required: false}}}}
jobs: {pin: {environment: pins, steps: [{run: 'true', env: {KEY: '${{ secrets.KEY }}'}}]}}
"""
CALLING = """
on: {push: {branches: [main]}}
jobs: {dev: {uses: ./.github/workflows/called.yaml, with: {environment: dev}%s}}
"""


def test_no_job_reads_a_secret_that_is_empty_where_it_runs(placed):
    assert [f"{p.where}: {sorted(p.empty)}" for p in placed if p.empty] == []


@pytest.mark.parametrize(
    ("passed", "empty"),
    [
        ("", {"KEY"}),
        (", secrets: {KEY: '${{ secrets.KEY }}'}", {"KEY"}),
        (", secrets: inherit", set()),
        (", secrets: {KEY: '${{ secrets.SHARED }}'}", set()),
    ],
)
def test_a_called_workflow_sees_no_secret_of_an_environment_unless_it_inherits(passed, empty):
    workflows = {
        "called.yaml": YAML(typ="safe").load(CALLED),
        "calling.yaml": YAML(typ="safe").load(CALLING % passed),
    }
    settings = {
        "repository": {"secrets": ["SHARED"]},
        "environments": {"pins": {"secrets": ["KEY"]}},
    }
    called = [p for p in semantics.place(workflows, settings) if "called" in p.where]
    assert [p.empty for p in called] == [empty]


def test_every_environment_of_a_job_is_one_that_is_set_up_and_lets_main_in_alone(placed, settings):
    used = {p.environment for p in placed if p.environment and "matrix" not in p.environment}
    assert used <= settings["environments"].keys()
    assert all(about["branches"] == ["main"] for about in settings["environments"].values())


def test_whatever_changes_production_asks_a_person(placed, settings):
    changing = [p.environment for p in placed if "APP_PRIVATE_KEY" in str(p.raw)]
    assert {e for e in changing if e.startswith("production")} <= asking(settings)
    assert "production" in asking(settings)  # terraform's apply


def test_a_rollback_may_be_approved_by_who_asked_for_it_and_a_release_may_not(settings):
    environments = settings["environments"]
    assert environments["production-pin"]["prevent_self_review"]
    assert not environments["production-rollback"]["prevent_self_review"]


def test_a_jobs_token_may_ask_what_its_steps_ask(checkout):
    for job in checkout.jobs:
        for step in job.steps:
            for pattern, wanted in ASKED.items():
                if re.search(pattern, step.run):
                    scope, _, level = wanted.partition(": ")
                    given = job.raw["permissions"].get(scope)
                    assert given == level or (given and not level), f"{job} {pattern}"


def test_every_stage_but_the_first_asks_for_the_verdict_of_the_one_before(checkout):
    """The program refuses without it; what the job must hand it are a token and whose word counts."""
    pinning = [j for j in checkout.jobs if any("run-pipeline pin" in s.run for s in j.steps)]
    assert [str(j) for j in pinning] == ["promote.yaml, job pin", "release.yaml, job pin"]
    for job in pinning:
        for step in job.steps:
            if "run-pipeline pin" in step.run and "--environment dev" not in step.run:
                assert job.raw["permissions"]["statuses"] == "read"
                assert step.raw["env"]["VERDICT_APP"] == "${{ vars.VERDICT_APP }}"
                assert step.raw["env"]["GITHUB_TOKEN"] == "${{ github.token }}"


def test_a_verdict_is_of_a_health_that_began_after_the_sync(checkout):
    """Beside a sync that has just ended stands the health of the release before."""
    told = checkout.load("deploy/argocd/notifications.yaml")["data"]
    conditions = [
        condition["when"]
        for key, text in told.items()
        if key.startswith("trigger.")
        for condition in YAML(typ="safe").load(text)
    ]
    assert len(conditions) == 3
    began = "!time.Parse(app.status.health.lastTransitionTime).Before("
    ended = "time.Parse(app.status.operationState.finishedAt))"
    assert all(f" and {began}{ended}" in condition for condition in conditions)


def test_a_release_moves_no_branch_that_pull_requests_are_compared_with(rulesets):
    for environment in overlay.ENVIRONMENTS:
        branch = overlay.branch(environment)
        assert semantics.may_push(rulesets, branch, app=True)
        assert not semantics.may_push(rulesets, branch, app=False)
    assert not semantics.may_push(rulesets, "main", app=True)
    assert not semantics.may_push(rulesets, "main", app=False)


def test_every_required_check_is_answered_for_every_way_into_main(checkout, rulesets):
    rules = {rule["type"]: rule.get("parameters") for rule in rulesets[0]["rules"]}
    ways = {"pull_request"} | ({"merge_group"} if "merge_queue" in rules else set())
    for check in rules["required_status_checks"]["required_status_checks"]:
        named = [job for job in checkout.jobs if job.title == check["context"]]
        answering = [job for job in named if ways <= set(job.events)]
        assert answering, check
        for job in answering:
            filters = checkout.workflows[job.file]["on"]["pull_request"] or {}
            assert filters in ({}, {"branches": ["main"]}), str(job)


def test_a_stage_begins_by_the_status_of_an_app_and_by_no_jobs_own_token(checkout):
    """What a job's token does starts no run, but for a dispatch, which is a right of its own."""
    assert set(checkout.workflows["promote.yaml"]["on"]) == {"status", "workflow_dispatch"}
    for job in checkout.jobs:
        assert "actions: write" not in str(job.raw["permissions"]).replace("'", ""), str(job)
        assert not any("gh workflow run" in step.run for step in job.steps), str(job)


def test_a_status_promotes_to_staging_alone(checkout, placed):
    jobs = {job.name: job.raw for job in checkout.jobs if job.file == "promote.yaml"}
    named = jobs["pin"]["environment"], jobs["publish"]["with"]["environment"]
    assert [semantics.EXPRESSION.sub(r"\2", n) for n in named] == ["staging-pin", "staging"]
    pins = {p.environment for p in placed if p.where == "promote.yaml, job pin"}
    assert pins == {"staging-pin", "production-pin"}


def test_no_apply_is_lost_and_none_waits_for_another_environments_approval(checkout):
    ends = semantics.play(
        checkout.workflows["terraform.yaml"], "apply", runs=4, asks=frozenset({"production"})
    )
    assert "cancelled" not in ends.values()
    assert {ends[run, e] for run in range(4) for e in ("dev", "staging")} == {"done"}
    assert [ends[run, "production"] for run in range(4)] == ["waiting"] + ["pending"] * 3


@pytest.mark.parametrize(
    ("whole", "each"),
    [
        ({"group": "terraform-main", "cancel-in-progress": False}, None),
        (None, {"group": "terraform-${{ matrix.environment }}"}),
    ],
)
def test_without_a_queue_a_third_run_cancels_the_one_that_waits(checkout, whole, each):
    workflow = dict(checkout.workflows["terraform.yaml"], concurrency=whole)
    workflow["jobs"] = {"apply": dict(workflow["jobs"]["apply"], concurrency=each)}
    ends = semantics.play(workflow, "apply", runs=3, asks=frozenset({"production"}))
    assert ends[1, "production"] == "cancelled"
    assert (ends[2, "dev"] == "done") is (whole is None)


def test_whatever_waits_in_a_group_waits_in_a_queue_or_is_of_no_use_any_more(checkout):
    for file, workflow in checkout.workflows.items():
        groups = [
            workflow.get("concurrency"),
            *(j.get("concurrency") for j in workflow["jobs"].values()),
        ]
        for group in filter(None, groups):
            replaced = group.get("cancel-in-progress") is True
            read_only = file in {"nightly.yaml", "rehearse-comment.yaml"}
            assert group.get("queue") == "max" or replaced or read_only, file
