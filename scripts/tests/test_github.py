"""What is asked of GitHub's API.

GitHub itself cannot be had in a test: a server on the loopback stands in for the five endpoints,
with the fields that GitHub documents, and keeps what it is sent.
"""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from pipeline import cli
from pipeline.comment import MARKER
from pipeline.errors import PipelineError
from pipeline.github import GitHub

HEAD = "ab" * 20


class Stand(BaseHTTPRequestHandler):
    """The endpoints, over what the server holds."""

    def do_GET(self):
        where = urlsplit(self.path)
        query = parse_qs(where.query)
        if where.path.startswith("/wrong"):
            self.answer({"message": "Not Found"}, 404)
        elif where.path.endswith("/pulls"):
            self.answer([p for p in self.server.pulls if p["head"]["label"] == query["head"][0]])
        elif where.path.endswith("/comments"):
            page, size = int(query["page"][0]), int(query["per_page"][0])
            self.answer(self.server.comments[(page - 1) * size : page * size])
        elif where.path.endswith("/runs"):
            found = [r for r in self.server.runs if r["head_sha"] == query["head_sha"][0]]
            self.answer({"workflow_runs": found})

    def do_POST(self):
        body = self.body()
        made = {"id": len(self.server.comments) + 1, "body": body, "user": {"type": "Bot"}}
        self.server.comments.append(made)
        self.answer({"html_url": f"made/{made['id']}"}, 201)

    def do_PATCH(self):
        number = int(re.search(r"(\d+)$", self.path).group(1))
        self.server.comments[number - 1]["body"] = self.body()
        self.answer({"html_url": f"edited/{number}"})

    def body(self):
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))["body"]

    def answer(self, document, status=200):
        self.server.tokens.add(self.headers["Authorization"])
        text = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    served = ThreadingHTTPServer(("127.0.0.1", 0), Stand)
    served.pulls = [{"number": 7, "head": {"sha": HEAD, "label": "someone:fix"}}]
    served.comments, served.runs, served.tokens = [], [], set()
    thread = threading.Thread(target=served.serve_forever)
    thread.start()
    yield served
    served.shutdown()
    thread.join()
    served.server_close()


@pytest.fixture
def github(server):
    return GitHub(f"http://127.0.0.1:{server.server_port}", "example/gridos", "secret")


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
