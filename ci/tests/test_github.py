"""What is asked of GitHub's API.

GitHub is not available in a test: `fakes/github_api.py` takes its place.
"""

import json
import subprocess

import pytest
from pipeline import cli
from pipeline.comment import MARKER
from pipeline.errors import PipelineError
from pipeline.github import GitHub

from acceptance.pipeline.fakes.github_api import serving

HEAD = "ab" * 20


@pytest.fixture
def server():
    with serving() as served:
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


def test_a_pull_request_into_another_branch_is_none_of_mains(github, server):
    server.pulls[0]["base"] = "dev"
    assert github.pull_request("someone", "fix", HEAD) is None


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


def test_the_run_that_built_a_commit_is_the_newest_of_main(github, server):
    runs = ({"id": 5}, {"id": 9}, {"id": 12, "event": "pull_request"})
    server.runs += [{"head_sha": HEAD, **run} for run in runs]
    assert github.run_of("release.yaml", HEAD) == 9
    with pytest.raises(PipelineError, match="no run of release"):
        github.run_of("release.yaml", "cd" * 20)


def test_a_refusal_is_passed_on_in_githubs_words(github):
    elsewhere = GitHub(f"{github.api}/wrong", github.repository, github.token)
    with pytest.raises(PipelineError, match=r"404 .*Not Found"):
        elsewhere.pull_request("someone", "fix", HEAD)


def test_a_server_that_is_away_is_said():
    with pytest.raises(PipelineError, match="cannot be reached"):
        GitHub("http://127.0.0.1:9", "example/gridos", "secret").pull_request("a", "b", HEAD)


@pytest.fixture
def say(github, server, root, tmp_path, monkeypatch, capsys):
    """Has the program comment on a run of the rehearsal; what it said."""
    monkeypatch.setenv("GITHUB_API_URL", github.api)
    monkeypatch.setenv("GITHUB_REPOSITORY", "example/gridos")
    monkeypatch.setenv("GITHUB_TOKEN", "secret")
    event = tmp_path / "event.json"
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(event))
    monkeypatch.chdir(root)
    git = ["git", "rev-parse", f"HEAD:{cli.REHEARSING}"]
    ours = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    server.blobs = {(HEAD, cli.REHEARSING): ours}

    def call(result, conclusion="failure", head=HEAD, owner="someone"):
        run = {"html_url": "https://run", "conclusion": conclusion, "head_branch": "fix"}
        run |= {"head_sha": head, "head_repository": owner and {"owner": {"login": owner}}}
        event.write_text(json.dumps({"workflow_run": run}))
        code = cli.main(["comment", str(result)])
        said = capsys.readouterr()
        return code, said.out + said.err

    return call


RESULT = "canary/tests/rehearse/results/rolled-back.json"


def test_the_program_comments_and_says_where(say, server, monkeypatch):
    assert say(RESULT) == (0, "made/1\n")
    assert server.comments[0]["body"].startswith(f"{MARKER}\n\n### ❌ Rolled back")
    assert say("nothing.json") == (0, "edited/1\n")
    assert "no result" in server.comments[0]["body"]
    monkeypatch.delenv("GITHUB_TOKEN")
    code, said = say(RESULT)
    assert code == 2
    assert "GITHUB_TOKEN is not set" in said


def test_a_run_without_a_result_that_ended_well_needed_no_rehearsal(say, server):
    assert say("nothing.json", "success") == (
        0,
        "its changes needed no rehearsal: nothing to say\n",
    )
    assert server.comments == []


@pytest.mark.parametrize("theirs", ["ab" * 20, None])
@pytest.mark.parametrize("conclusion", ["success", "failure"])
def test_a_run_of_another_workflow_than_mains_has_no_verdict_whatever_it_left(
    say, server, tmp_path, theirs, conclusion
):
    server.blobs = {(HEAD, cli.REHEARSING): theirs} if theirs else {}
    forged = tmp_path / "result.json"
    forged.write_text('{"schema": "canary.rehearsal/v1", "verdict": {"outcome": "promoted"}}')
    assert say(forged, conclusion)[0] == 0
    body = server.comments[0]["body"]
    assert "no verdict" in body
    assert "Promoted" not in body


@pytest.mark.parametrize("text", ["9" * 5000, "[" * 100_000, '{"a": ', None])
def test_what_is_no_result_is_one_line_and_no_comment(say, server, tmp_path, text):
    result = tmp_path / "result.json"
    result.mkdir() if text is None else result.write_text(text)
    code, said = say(result)
    assert code == 2
    assert ("name a file" if text is None else "not JSON") in said
    assert said.count("\n") == 1
    assert server.comments == []


def test_without_the_event_of_a_run_there_is_nothing_to_comment_on(say, monkeypatch, root):
    monkeypatch.setenv("GITHUB_EVENT_PATH", str(root / "LICENSE"))
    assert cli.main(["comment", RESULT]) == 2


def test_a_commit_that_was_overtaken_is_not_commented_on(say, server):
    server.blobs["cd" * 20, cli.REHEARSING] = server.blobs[HEAD, cli.REHEARSING]
    assert "nothing to say" in say(RESULT, head="cd" * 20)[1]
    assert "nothing to say" in say(RESULT, owner=None)[1]
    assert server.comments == []
