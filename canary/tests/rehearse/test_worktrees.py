"""Git references become checkouts with environments of their own, once."""

import subprocess

import pytest

from canary.errors import MachineError, UsageError
from canary.rehearse import plan, worktrees

PYPROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "tiny"
version = "{version}"
scripts = {{tiny = "tiny:main"}}
[tool.setuptools.packages.find]
where = ["service"]
"""


def git(folder, *arguments):
    who = ("-c", "user.name=t", "-c", "user.email=t@localhost")
    command = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path):
    """A repository whose service is one program that prints what it is."""
    folder = tmp_path / "repository"
    (folder / "service/tiny").mkdir(parents=True)
    (folder / "requirements").mkdir()
    (folder / "requirements/service.txt").write_text("")
    (folder / "pyproject.toml").write_text(PYPROJECT.format(version="1"))
    (folder / "service/tiny/__init__.py").write_text("def main():\n    print('old')\n")
    git(tmp_path, "init", "--quiet", "--initial-branch", "main", str(folder))
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", "Print old")
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Shared, so that each environment is built once for all tests."""
    return tmp_path_factory.mktemp("cache")


def change(repository, words):
    (repository / "service/tiny/__init__.py").write_text(f"def main():\n    print({words!r})\n")


def printed(checkout):
    program = [str(checkout.programs / "tiny")]
    return subprocess.run(program, check=True, capture_output=True, text=True).stdout.strip()


def test_a_branch_a_tag_and_a_commit_are_found(repository):
    commit = git(repository, "rev-parse", "HEAD")
    git(repository, "tag", "v1")
    for name in ("main", "v1", commit, commit[:10]):
        found = worktrees.resolve(repository, name)
        assert (found.commit, found.title) == (commit, "Print old")


def test_a_branch_that_only_its_origin_has_is_found_as_on_a_runner(repository, tmp_path):
    git(repository, "branch", "theirs")
    git(tmp_path, "clone", "--quiet", str(repository), "clone")
    found = worktrees.resolve(tmp_path / "clone", "theirs")
    assert (found.name, found.commit) == ("theirs", git(repository, "rev-parse", "theirs"))


def test_the_working_tree_is_found_with_its_changes_and_left_as_it_is(repository):
    change(repository, "new")
    found = worktrees.resolve(repository, ".")
    assert found.commit != git(repository, "rev-parse", "HEAD")
    assert "'new'" in git(repository, "show", f"{found.commit}:service/tiny/__init__.py")
    assert git(repository, "status", "--short") == "M service/tiny/__init__.py"
    assert git(repository, "stash", "list") == ""


def test_an_unchanged_working_tree_is_its_commit(repository):
    assert worktrees.resolve(repository, ".").commit == git(repository, "rev-parse", "HEAD")


def test_an_unknown_reference_is_refused_with_what_to_do(repository):
    with pytest.raises(UsageError, match=r"no branch, tag or commit 'nowhere' — fetch it first"):
        worktrees.resolve(repository, "nowhere")


def test_a_folder_that_is_no_repository_is_refused(tmp_path):
    with pytest.raises(UsageError, match="not a git repository"):
        worktrees.resolve(tmp_path, "main")


def test_two_references_run_their_own_code_and_are_built_once(repository, cache):
    old = worktrees.resolve(repository, "main")
    change(repository, "new")
    new = worktrees.resolve(repository, ".")
    said = []
    first, second, again = (
        worktrees.check_out(repository, r, cache, said.append) for r in (old, new, old)
    )
    assert (printed(first), printed(second), printed(again)) == ("old", "new", "old")
    stages = ["installing its 0 locked packages", "installing its service"]
    told = [words.split(" (")[0] for words in said]
    assert told == ["building main", *stages, "building .", *stages]


def test_commits_that_ship_the_same_share_an_environment(repository, cache):
    first = worktrees.resolve(repository, "main")
    (repository / "NOTES").write_text("not shipped")
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "-m", "Note something")
    second = worktrees.resolve(repository, "main")
    said = []
    one, two = (worktrees.check_out(repository, r, cache, said.append) for r in (first, second))
    assert one.programs == two.programs
    assert one.folder != two.folder
    assert len([words for words in said if words.startswith("building")]) <= 1


def test_what_does_not_build_is_the_machines_fault_with_its_last_words(repository, tmp_path):
    (repository / "pyproject.toml").write_text("[project]\nname = 'tiny'\n")
    found = worktrees.resolve(repository, ".")
    with pytest.raises(MachineError, match=r"could not be built: .*see .*\.log"):
        worktrees.check_out(repository, found, tmp_path / "cache", lambda _: None)


def test_a_reference_without_the_service_is_refused(repository, tmp_path):
    git(repository, "rm", "-r", "--quiet", "service")
    git(repository, "commit", "--quiet", "-m", "Remove it")
    found = worktrees.resolve(repository, "main")
    with pytest.raises(UsageError, match="main has no service"):
        worktrees.check_out(repository, found, tmp_path / "cache", lambda _: None)


def test_without_references_both_sides_are_this_checkout(root, monkeypatch):
    monkeypatch.chdir(root)
    stable, candidate = plan.choose(None, None, None, None, lambda _: None)
    assert stable is candidate
    assert (str(stable), stable.config_file) == ("this checkout", plan.CONFIG)
