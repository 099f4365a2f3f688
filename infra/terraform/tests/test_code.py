"""The code as a whole: format, Terraform's own tests, and tests that cannot rot."""

import re
import subprocess

import mutate
import pytest
import workspace

from acceptance.git import git

# Seconds each; every other file plans a root a dozen times, which takes a minute together.
QUICK = ("gitops", "naming")
FILES = [
    pytest.param(
        root,
        path.relative_to(workspace.SOURCE / root),
        marks=() if path.name.partition(".")[0] in QUICK else pytest.mark.acceptance,
        id=path.name,
    )
    for root in workspace.ROOTS
    for path in sorted((workspace.SOURCE / root / "tests").glob("*.tftest.hcl"))
]


def test_the_code_is_formatted(code):
    checked = workspace.terraform(code, "fmt", "-check", "-recursive", "-diff")

    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(("root", "file"), FILES)
def test_terraforms_own_tests_pass(code, root, file):
    """Each file asserts decisions of one area."""
    done = workspace.terraform(code / root, "test", "-no-color", f"-filter={file}")

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("root", workspace.ROOTS)
def test_every_root_is_valid(code, root):
    checked = workspace.terraform(code / root, "validate", "-no-color")

    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    "flip", [*mutate.listed(), *mutate.rules()], ids=lambda flip: f"{flip.file}: {flip.title}"[:70]
)
def test_every_flip_still_fits_the_code(flip):
    """`make accept-terraform` takes minutes; that its flips fit is seen here."""
    text = (workspace.SOURCE / flip.root / flip.file).read_text()

    assert mutate.flipped(text, flip) != text


def test_a_flip_that_fits_twice_or_never_is_refused():
    flip = mutate.Flip("1", "both", ".", "main.tf", "a = 1", "a = 2", "cluster")

    for text in ("a = 1\na  =  1\n", "b = 1\n"):
        with pytest.raises(ValueError, match="times, not once"):
            mutate.flipped(text, flip)


def test_only_an_assertion_that_fails_counts_as_noticing():
    """A copy that does not even plan proves nothing."""
    noticed = {
        "@level": "error",
        "@testrun": "nobody_enters",
        "diagnostic": {"summary": "Test assertion failed"},
    }
    broken = {"@level": "error", "@message": "no", "diagnostic": {"summary": "Invalid index"}}

    assert mutate.verdict([{"@level": "info"}]) is None
    assert mutate.verdict([broken, noticed]) == "nobody_enters"
    with pytest.raises(ValueError, match="breaks the code itself: no"):
        mutate.verdict([broken])


def test_a_missed_flip_is_seen(code, tmp_path):
    """The matrix can fail: turn a setting that no test looks at."""
    copy = workspace.copy(tmp_path)
    workspace.initialise(copy / "modules/naming")
    region = ('italynorth = "itn"', 'italynorth = "ity"')
    flip = mutate.Flip("-", "another region", "modules/naming", "main.tf", *region, "naming")

    assert mutate.noticed_by(copy, flip) is None


def test_a_run_that_is_cut_off_is_not_taken_for_one_that_noticed_nothing(monkeypatch, tmp_path):
    slow = tmp_path / "terraform"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(workspace, "TIME_LIMIT_S", 0.1)

    with pytest.raises(ValueError, match="did not finish"):
        mutate.verdict(workspace.test_events(tmp_path, "naming"))


def test_without_terraform_it_is_said_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(workspace.UnavailableError, match=r"install Terraform 1\.11"):
        workspace.terraform(tmp_path, "version")


def test_no_lock_file_of_a_stand_in_is_committed():
    """One without `zh:` hashes was written against a mirror, and fails on the real registry."""
    for file in git(workspace.SOURCE, "ls-files", "*.terraform.lock.hcl").split():
        providers = (workspace.SOURCE / file).read_text().split("provider ")[1:]
        assert all('"zh:' in provider for provider in providers), file


@pytest.mark.parametrize("root", workspace.ROOTS)
def test_every_provider_is_of_one_exact_version(root):
    text = (workspace.SOURCE / root / "terraform.tf").read_text()
    versions = re.findall(r'^      version = "(.*)"$', text, re.MULTILINE)

    assert len(versions) == text.count("source ")
    assert all(re.fullmatch(r"= \d+\.\d+\.\d+", version) for version in versions)


@pytest.fixture
def terraform_says(monkeypatch):
    """Has Terraform fail with some words, whatever it is asked."""

    def fail(words):
        answer = subprocess.CompletedProcess([], 1, "", words)
        monkeypatch.setattr(workspace, "terraform", lambda *_: answer)

    return fail


@pytest.mark.parametrize(
    "said",
    [
        "Error: building account: unable to configure ResourceManagerAccount: could not configure "
        "AzureCli Authorizer: could not parse Azure CLI version",
        "Error: `subscription_id` is a required provider property when performing a plan/apply",
    ],
)
def test_a_plan_that_wants_a_login_is_said_to_and_is_no_failure_of_the_code(
    said, terraform_says, tmp_path
):
    (tmp_path / workspace.BACKEND).touch()
    terraform_says(said)

    with pytest.raises(workspace.UnavailableError, match="TF_CLI_CONFIG_FILE"):
        workspace.plan(tmp_path, tmp_path / "x.tfvars")


def test_code_that_is_wrong_is_a_failure_and_no_reason_to_skip(terraform, tmp_path):
    (tmp_path / "main.tf").write_text('resource "a" {\n')

    with pytest.raises(ValueError, match="Missing name for resource"):
        workspace.initialise(tmp_path)


def test_a_registry_that_nobody_reaches_is_a_reason_to_skip(terraform_says, tmp_path):
    terraform_says(
        "Error: Failed to query available provider packages\n\ncould not connect to a registry: failed"
    )

    with pytest.raises(workspace.UnavailableError, match="TF_CLI_CONFIG_FILE"):
        workspace.initialise(tmp_path)
