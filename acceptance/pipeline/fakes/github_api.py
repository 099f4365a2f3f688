"""A server on the loopback in place of GitHub's API: the endpoints that the pipeline asks.

They have the fields that GitHub documents, and keep what they are sent.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


class GitHubServer(ThreadingHTTPServer):
    """What there is: pull requests, comments, runs, statuses; and the tokens it was shown."""

    def __init__(self) -> None:
        """Starts empty, on a free port."""
        super().__init__(("127.0.0.1", 0), _Endpoints)
        self.pulls: list[dict[str, Any]] = []
        self.comments: list[dict[str, Any]] = []
        self.runs: list[dict[str, Any]] = []
        self.statuses: list[dict[str, Any]] = []
        # By their paths below the repository: what is only read.
        self.documents: dict[str, Any] = {}
        # The files of commits: ids of blobs, by commit and path.
        self.blobs: dict[tuple[str, str], str] = {}
        self.tokens: set[str | None] = set()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def serving() -> Iterator[GitHubServer]:
    """Serves until the end of the block."""
    server = GitHubServer()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Endpoints(BaseHTTPRequestHandler):
    """The endpoints, over what the server holds."""

    server: GitHubServer

    def do_GET(self) -> None:
        where = urlsplit(self.path)
        query = parse_qs(where.query)
        if where.path.startswith("/wrong"):
            self.answer({"message": "Not Found"}, 404)
        elif (path := where.path.partition("/repos/example/gridos/")[2]) in self.server.documents:
            self.answer(self.server.documents[path])
        elif "/contents/" in where.path:
            path = where.path.partition("/contents/")[2]
            blob = self.server.blobs.get((query["ref"][0], path))
            self.answer({"sha": blob} if blob else {}, 200 if blob else 404)
        elif where.path.endswith("/pulls"):
            asked = query["head"][0], query["base"][0]
            pulls = self.server.pulls
            self.answer([p for p in pulls if (p["head"]["label"], p.get("base", "main")) == asked])
        elif where.path.endswith("/comments"):
            page, size = int(query["page"][0]), int(query["per_page"][0])
            self.answer(self.server.comments[(page - 1) * size : page * size])
        elif where.path.endswith("/statuses"):
            commit = where.path.split("/")[-2]
            self.answer([s for s in self.server.statuses[::-1] if s["sha"] == commit])
        elif where.path.endswith("/runs"):
            asked = query["head_sha"][0], query["event"][0]
            runs = self.server.runs
            found = [r for r in runs if (r["head_sha"], r.get("event", "push")) == asked]
            self.answer({"workflow_runs": found})
        else:
            self.answer({"message": "Not Found"}, 404)

    def do_POST(self) -> None:
        body = self.body()
        made = {"id": len(self.server.comments) + 1, "body": body, "user": {"type": "Bot"}}
        self.server.comments.append(made)
        self.answer({"html_url": f"made/{made['id']}"}, 201)

    def do_PATCH(self) -> None:
        number = int(self.path.rpartition("/")[2])
        self.server.comments[number - 1]["body"] = self.body()
        self.answer({"html_url": f"edited/{number}"})

    def body(self) -> str:
        text = self.rfile.read(int(self.headers["Content-Length"]))
        return str(json.loads(text)["body"])

    def answer(self, document: Any, status: int = 200) -> None:
        self.server.tokens.add(self.headers["Authorization"])
        text = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""
