"""The workflows against what they call: make targets, scripts, commands and overlays that exist."""

import re
import subprocess

import pytest
from pipeline import cli, overlay
from pipeline.checkout import Checkout


@pytest.fixture(scope="module")
def checkout(root):
    return Checkout(root)


def test_every_make_target_that_a_workflow_calls_exists(checkout, root):
    targets = set(
        re.findall(r"^([a-z-]+)(?: [a-z-]+)*:", (root / "Makefile").read_text(), re.MULTILINE)
    )
    targets |= set(re.findall(r"\b(terraform-\w+)(?=.*:)", (root / "Makefile").read_text()))
    called = {t for step in checkout.steps for t in re.findall(r"\bmake ([a-z-]+)", step.run)}
    for job in checkout.jobs:
        called |= set(job.raw.get("strategy", {}).get("matrix", {}).get("target", []))
    assert called
    assert called <= targets


def test_every_script_that_a_workflow_calls_exists_and_can_be_run(checkout, root):
    called = {
        s for step in checkout.steps for s in re.findall(r"\b(ci/[\w.-]+)(?![\w./-])", step.run)
    }
    assert "ci/run-pipeline" in called
    for script in called:
        # What a Python runs is a file; what a shell runs must say so itself.
        assert (root / script).is_file(), script
        assert script.endswith(".py") or (root / script).stat().st_mode & 0o111, script


def test_every_call_of_the_program_is_one_it_understands(checkout):
    calls = [
        line.replace("\\\n", " ")
        for step in checkout.steps
        for line in re.findall(r"run-pipeline ((?:[^|\n;>]|\\\n)+)", step.run)
    ]
    assert len(calls) > 8
    for call in calls:
        command = call.split()[0]
        with pytest.raises(SystemExit) as ended:
            cli.main([command, "--help"])
        assert ended.value.code == 0, command


def test_every_environment_is_released_to_by_one_workflow(checkout):
    released = [
        environment
        for job in checkout.jobs
        if str(job.raw.get("uses", "")).endswith("publish.yaml")
        for environment in environments(checkout, job)
    ]
    assert sorted(released) == sorted(overlay.ENVIRONMENTS)


def environments(checkout, job):
    """The environments that a job may be given."""
    given = job.raw["with"]["environment"]
    if "inputs" not in given:
        return [given]
    dispatch = checkout.workflows[job.file]["on"]["workflow_dispatch"]
    return dispatch["inputs"]["environment"]["options"]


def test_the_workflows_stay_within_900_lines(root):
    """What grows beyond is a program with tests of its own, or a kept action's."""
    files = (root / ".github/workflows").iterdir()
    assert sum(len(file.read_text().splitlines()) for file in files) <= 900


def test_every_job_has_a_time_limit(checkout):
    for job in checkout.jobs:
        assert "uses" in job.raw or 0 < job.raw["timeout-minutes"] <= 120, str(job)


def test_runners_are_called_what_terraform_calls_them(checkout, root):
    labels = set(re.findall(r"gridos-\w{3}-\w{3}", "".join(map(str, checkout.workflows.values()))))
    naming = (root / "infra/terraform/modules/naming/main.tf").read_text()
    assert len(labels) == len(overlay.ENVIRONMENTS)
    for label in labels:
        _, environment, region = label.split("-")
        assert f'"{environment}"' in naming
        assert f'"{region}"' in naming


def test_the_jobs_that_run_a_pull_requests_code_can_write_nothing_and_know_no_secret(checkout):
    jobs = [job for job in checkout.jobs if job.file in {"ci.yaml", "guard.yaml", "rehearse.yaml"}]
    assert len(jobs) == 5
    for job in jobs:
        assert set(job.raw["permissions"].items()) == {("contents", "read")}, str(job)
        assert "secrets." not in str(job.raw)
        assert job.raw["runs-on"] == "ubuntu-24.04"


def test_what_judges_a_pull_request_is_the_bases(checkout):
    """Of the pull request itself there is an image, which runs in containers, and files to read."""
    judging = [job for job in checkout.jobs if job.file in {"guard.yaml", "rehearse.yaml"}]
    for job in judging:
        for step in job.steps:
            if step.action != "actions/checkout":
                continue
            theirs = step.given.get("path") == "proposed"
            of_the_base = re.search(r"base.sha|default_branch", str(step.given.get("ref", "")))
            assert theirs or of_the_base or job.name == "changes", str(job)
        assert not any(
            "proposed/" in s.run and "--root" not in s.run and "diff" not in s.run
            for s in job.steps
        )
    # And the base is main.
    assert checkout.workflows["rehearse.yaml"]["on"] == {"pull_request": {"branches": ["main"]}}
    (changes,) = (job for job in judging if job.name == "changes")
    assert 'git checkout --quiet --detach "$BASE"' in changes.steps[1].run


def test_nothing_that_nobody_reviewed_reaches_a_runner_inside_the_network(checkout):
    inside = [job for job in checkout.jobs if "self-hosted" in str(job.raw.get("runs-on"))]
    assert len(inside) == 3
    for job in inside:
        assert "pull_request" not in job.events, str(job)
        started = checkout.workflows[job.file]["on"]
        if "workflow_dispatch" in started:  # of a branch, GitHub would run the branch's own
            assert job.raw["if"] == "github.ref == 'refs/heads/main'", str(job)
        if "push" in started:
            assert started["push"]["branches"] == ["main"], str(job)
        else:
            assert set(started) == {"workflow_call"}, str(job)


def test_terraform_applies_the_plan_that_was_approved_and_makes_no_other(checkout):
    (plan,) = (j for j in checkout.jobs if j.file == "terraform.yaml" and j.name == "plan")
    (apply,) = (j for j in checkout.jobs if j.file == "terraform.yaml" and j.name == "apply")
    hashes = [
        step.raw["env"]["PLAN_SHA256"] for step in apply.steps if "terraform-apply" in step.run
    ]

    assert apply.raw["needs"] == "plan"
    assert hashes == ["${{ matrix.plan }}"]
    assert {
        row["environment"]: row["plan"] for row in apply.raw["strategy"]["matrix"]["include"]
    } == {name: f"${{{{ needs.plan.outputs.{name} }}}}" for name in plan.raw["outputs"]}
    assert sorted(plan.raw["outputs"]) == sorted(overlay.ENVIRONMENTS)
    assert "terraform-plan" not in "".join(step.run for step in apply.steps)


def test_azure_lets_push_the_job_that_pushes_and_no_job_that_applies(checkout, root):
    (push,) = (j for j in checkout.jobs if j.file == "publish.yaml" and j.name == "push")
    applies = {str(j.raw["environment"]) for j in checkout.jobs if j.file == "terraform.yaml"}
    for environment in overlay.ENVIRONMENTS:
        settings = (root / f"infra/terraform/environments/{environment}.tfvars").read_text()
        (subject,) = re.findall(r'push_subjects = \{ \w+ = "(.*)" \}', settings)
        named = push.raw["environment"].replace("${{ inputs.environment }}", environment)
        assert subject.endswith(f":environment:{named}")
        assert named not in {a.replace("${{ matrix.environment }}", environment) for a in applies}


def trusted(root):
    """Who stands in the table of docs/pipeline.md: the row, by workflow and job."""
    rows = {}
    for line in (root / "docs/pipeline.md").read_text().splitlines():
        for part in line.split("|")[1].split(";") if line.startswith("|") else []:
            workflow, _, jobs = part.strip().partition(" / ")
            rows |= {(f"{workflow}.yaml", job.strip()): line for job in jobs.split(",") if job}
    return rows


def test_the_trust_table_has_every_job_and_names_what_each_may_write(checkout, root):
    rows = trusted(root)
    jobs = {(job.file, job.name): job for job in checkout.jobs if job.steps}
    assert rows.keys() == jobs.keys()
    for where, job in jobs.items():
        named = set(re.findall(r"`([a-z-]+): write`", rows[where]))
        asked = {scope for scope, level in job.raw["permissions"].items() if level == "write"}
        app = {"contents"} if "actions/create-github-app-token" in job.actions else set()
        assert named == asked | app, str(job)


def test_what_a_step_says_is_an_output_of_it_and_stands_in_the_summary(
    root, tmp_path, monkeypatch, capsys
):
    """No pipe into `tee` could hide that the program failed."""
    files = [tmp_path / name for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")]
    for file in files:
        monkeypatch.setenv(file.name, str(file))
    monkeypatch.chdir(root)
    assert cli.main(["version", "--source", "HEAD"]) == 0
    said = capsys.readouterr().out
    assert "\nepoch=" in said
    assert [file.read_text() for file in files] == [said, said]
    done = subprocess.run(
        ["ci/changes", "HEAD", "HEAD"], check=True, capture_output=True, text=True
    )
    assert files[0].read_text() == said + done.stdout
