"""What is asked of GitHub's API.

GitHub is not available in a test: `fakes/github_api.py` takes its place.
"""

import importlib.util
import subprocess

import pytest
from pipeline import cli
from pipeline.comment import MARKER
from pipeline.errors import PipelineError
from pipeline.github import GitHub

HEAD = "ab" * 20


@pytest.fixture
def server(root):
    path = root / "acceptance/pipeline/fakes/github_api.py"
    spec = importlib.util.spec_from_file_location("github_api", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with module.serving() as served:
        served.pulls.append({"number": 7, "head": {"sha": HEAD, "label": "someone:fix"}})
        yield served


@pytest.fixture
def github(server):
    return GitHub(server.url, "example/gridos", "secret")


def test_a_pull_request_is_found_by_branch_and_commit(github):
    assert github.pull_request("someone", "fix", HEAD) == 7


def test_a_commit_that_is_no_longer_the_head_has_no_pull_request(github):
    assert github.pull_request("someone", "fix", "cd" * 20) is None
    assert github.pull_request("another", "fix", HEAD) is None


def test_the_second_comment_edits_the_first(github, server):
    assert github.comment(7, f"{MARKER} one", MARKER) == "made/1"
    assert github.comment(7, f"{MARKER} two", MARKER) == "edited/1"
    assert [c["body"] for c in server.comments] == [f"{MARKER} two"]
    assert server.tokens == {"Bearer secret"}


def test_a_persons_comment_with_the_marker_is_left_alone(github, server):
    server.comments.append({"id": 1, "body": f"{MARKER} mine", "user": {"type": "User"}})
    github.comment(7, f"{MARKER} ours", MARKER)
    assert server.comments[0]["body"] == f"{MARKER} mine"


def test_the_own_comment_is_found_behind_many_others(github, server):
    server.comments += [{"id": n + 1, "body": "talk", "user": {"type": "User"}} for n in range(230)]
    github.comment(7, f"{MARKER} one", MARKER)
    github.comment(7, f"{MARKER} two", MARKER)
    assert len(server.comments) == 231


def test_the_run_that_built_a_commit_is_the_newest(github, server):
    server.runs += [{"id": 5, "head_sha": HEAD}, {"id": 9, "head_sha": HEAD}]
    assert github.run_of("release.yaml", HEAD) == 9
    with pytest.raises(PipelineError, match="no run of release"):
        github.run_of("release.yaml", "cd" * 20)


def test_a_file_of_a_forks_commit_is_compared_with_ours(github, server, root, monkeypatch, capsys):
    monkeypatch.setenv("GITHUB_API_URL", github.api)
    monkeypatch.setenv("GITHUB_REPOSITORY", "example/gridos")
    monkeypatch.setenv("GITHUB_TOKEN", "secret")
    monkeypatch.chdir(root)
    ours = subprocess.run(
        ["git", "rev-parse", "HEAD:LICENSE"], capture_output=True, text=True, check=True
    ).stdout.strip()
    said = []
    for blob in (ours, "ab" * 20, None):
        server.blobs = {(HEAD, "LICENSE"): blob} if blob else {}
        assert cli.main(["same", "LICENSE", "--commit", HEAD]) == 0
        said.append(capsys.readouterr().out)
    assert said == ["same=true\n", "same=false\n", "same=false\n"]


def test_a_refusal_is_passed_on_in_githubs_words(github):
    elsewhere = GitHub(f"{github.api}/wrong", github.repository, github.token)
    with pytest.raises(PipelineError, match=r"404 .*Not Found"):
        elsewhere.pull_request("someone", "fix", HEAD)


def test_a_server_that_is_away_is_said():
    with pytest.raises(PipelineError, match="cannot be reached"):
        GitHub("http://127.0.0.1:9", "example/gridos", "secret").pull_request("a", "b", HEAD)


def test_the_program_comments_and_says_where(github, server, monkeypatch, capsys):
    monkeypatch.setenv("GITHUB_API_URL", github.api)
    monkeypatch.setenv("GITHUB_REPOSITORY", "example/gridos")
    arguments = ["publish", "--owner", "someone", "--branch", "fix", "--head", HEAD]
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)
    assert cli.main(arguments) == 2
    assert "GITHUB_TOKEN is not set" in capsys.readouterr().err
    monkeypatch.setenv("GITHUB_TOKEN", "secret")
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO(f"{MARKER} one"))
    assert cli.main(arguments) == 0
    assert capsys.readouterr().out == "made/1\n"
