"""Git references become worktrees that are built once, and their repository is only read."""

import subprocess

import pytest

from canary.errors import MachineError, UsageError
from canary.rehearse import plan, worktrees
from canary.rehearse.config import Build
from canary.rehearse.config_files import config_in

# A program that prints what its commit says: built by a command, as any would be.
COMMANDS = [
    ["mkdir", "{out}/bin"],
    ["cp", "tiny", "{out}/bin/tiny"],
    ["chmod", "+x", "{out}/bin/tiny"],
]
BUILD = Build(commands=COMMANDS)
SHARED = Build(commands=COMMANDS, inputs=["tiny"])


def git(folder, *arguments):
    who = ("-c", "user.name=t", "-c", "user.email=t@localhost")
    command = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def commit(folder, message):
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", message)


def state(folder):
    """All that a repository holds: files of its checkout and of .git, but for git's own caches."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def folder(tmp_path):
    """A repository whose service is one program that prints what it is."""
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "tiny").write_text("#!/bin/sh\necho old\n")
    git(tmp_path, "init", "--quiet", "--initial-branch", "main", str(folder))
    commit(folder, "Print old")
    return folder


@pytest.fixture
def repository(folder, tmp_path):
    return worktrees.Repository(folder, tmp_path / "cache")


def change(folder, words):
    (folder / "tiny").write_text(f"#!/bin/sh\necho {words}\n")


def build(repository, reference, commands=BUILD, say=lambda _: None):
    repository.check_out(reference)
    return repository.build(reference, ".", commands, say)


def printed(out):
    return subprocess.run([out / "bin/tiny"], check=True, capture_output=True, text=True).stdout


def test_a_branch_a_tag_and_a_commit_are_found(folder, repository):
    commit = git(folder, "rev-parse", "HEAD")
    git(folder, "tag", "v1")
    for name in ("main", "v1", commit, commit[:10]):
        found = repository.resolve(name)
        assert (found.commit, found.title) == (commit, "Print old")


def test_a_branch_that_only_its_origin_has_is_found_as_on_a_runner(folder, tmp_path):
    git(folder, "branch", "theirs")
    git(tmp_path, "clone", "--quiet", str(folder), "clone")
    found = worktrees.Repository(tmp_path / "clone", tmp_path / "cache").resolve("theirs")
    assert (found.name, found.commit) == ("theirs", git(folder, "rev-parse", "theirs"))


def test_the_working_tree_is_found_with_its_changes(folder, repository):
    change(folder, "new")
    found = repository.resolve(".")
    assert found.commit != git(folder, "rev-parse", "HEAD")
    assert "echo new" in (repository.check_out(found) / "tiny").read_text()


def test_an_unchanged_working_tree_is_its_commit(folder, repository):
    assert repository.resolve(".").commit == git(folder, "rev-parse", "HEAD")


@pytest.mark.parametrize("commands", [COMMANDS, [["false"]]], ids=["built", "refused"])
def test_a_repository_is_left_as_it_was_whatever_happens(folder, repository, commands):
    change(folder, "new")
    before = state(folder)
    for name in ("main", "."):
        try:
            build(repository, repository.resolve(name), Build(commands=commands))
        except MachineError:
            assert commands == [["false"]]
    assert state(folder) == before
    assert len(git(folder, "worktree", "list").splitlines()) == 1


def test_an_unknown_reference_is_refused_with_what_to_do(repository):
    with pytest.raises(UsageError, match=r"no branch, tag or commit 'nowhere' — fetch it first"):
        repository.resolve("nowhere")


def test_a_folder_that_is_no_repository_is_refused(tmp_path):
    with pytest.raises(UsageError, match="not a git repository"):
        worktrees.Repository(tmp_path, tmp_path / "cache").resolve("main")


def test_two_references_run_their_own_code_and_are_built_once(folder, repository):
    old = repository.resolve("main")
    change(folder, "new")
    new = repository.resolve(".")
    said = []
    outs = [build(repository, reference, BUILD, said.append) for reference in (old, new, old)]
    assert [printed(out) for out in outs] == ["old\n", "new\n", "old\n"]
    told = [words.split(" (")[0] for words in said if words.startswith("building")]
    assert told == ["building main", "building ."]


def test_commits_whose_inputs_are_equal_share_what_is_built(folder, repository):
    first = repository.resolve("main")
    (folder / "NOTES").write_text("not shipped")
    commit(folder, "Note something")
    second = repository.resolve("main")
    assert build(repository, first, SHARED) == build(repository, second, SHARED)
    assert build(repository, first) != build(repository, second)
    assert repository.check_out(first) != repository.check_out(second)


def test_what_does_not_build_is_the_machines_fault_with_its_last_words(repository):
    broken = Build(commands=[["sh", "-c", "echo no compiler; exit 3"]])
    with pytest.raises(MachineError, match=r"failed: no compiler — see .*\.log"):
        build(repository, repository.resolve("main"), broken)


def test_what_does_not_build_is_named_by_its_first_error_and_not_by_the_advice_after_it(repository):
    script = r"printf '\033[31mERROR\033[0m no such symbol\nsee\nthe manual\n'; exit 1"
    with pytest.raises(MachineError, match="failed: ERROR no such symbol — see"):
        build(repository, repository.resolve("main"), Build(commands=[["sh", "-c", script]]))


def test_a_build_command_that_is_not_installed_is_refused_by_name(repository):
    with pytest.raises(UsageError, match=r"`no-such-compiler` cannot be run: No such file"):
        build(repository, repository.resolve("main"), Build(commands=[["no-such-compiler"]]))


def test_a_reference_without_the_inputs_is_refused(folder, repository):
    (folder / "tiny").unlink()
    commit(folder, "Remove it")
    with pytest.raises(UsageError, match="main has no tiny"):
        build(repository, repository.resolve("main"), SHARED)


def test_without_references_both_sides_are_this_checkout(root, monkeypatch):
    monkeypatch.chdir(root)
    stable, candidate = plan.choose(None, None, None, None, lambda _: None)
    assert stable is candidate
    assert (str(stable), stable.config_file) == ("this checkout", config_in(plan.HERE))


def test_a_change_is_named_by_the_function_that_it_is_in_or_that_it_begins(folder):
    before = "package x\n\nfunc List() int { return 200 }\n\nfunc (s *S) Get() int { return 200 }\n"
    (folder / "store.go").write_text(before)
    (folder / "app.py").write_text("def one():\n    return 1\n\n\ndef two():\n    return 2\n")
    commit(folder, "Begin")
    old = git(folder, "rev-parse", "HEAD")
    after = before.replace("Get() int { return 200 }", "Get() int {\n\treturn 500\n}")
    (folder / "store.go").write_text(after)
    (folder / "app.py").write_text("def one():\n    return 1\n\n\ndef two():\n    return 3\n")
    commit(folder, "Fail")
    found = worktrees.changed(folder, old, git(folder, "rev-parse", "HEAD"))
    assert found == ["app.py (two)", "store.go (Get)"]
