"""A server on the loopback in place of GitHub's API: the endpoints that the pipeline asks.

They have the fields that GitHub documents, and keep what they are sent.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from werkzeug import Request, Response

from acceptance.answering import answering

Things = list[dict[str, Any]]


@dataclass
class GitHubServer:
    """What there is: pull requests, comments, runs, statuses; and the tokens it was shown."""

    url: str = ""
    pulls: Things = field(default_factory=list)
    comments: Things = field(default_factory=list)
    runs: Things = field(default_factory=list)
    statuses: Things = field(default_factory=list)
    # By their paths below the repository: what is only read.
    documents: dict[str, Any] = field(default_factory=dict)
    # The files of commits: ids of blobs, by commit and path.
    blobs: dict[tuple[str, str], str] = field(default_factory=dict)
    tokens: set[str | None] = field(default_factory=set)

    def answer(self, request: Request) -> Response:
        """Does what a request asks for."""
        self.tokens.add(request.headers.get("Authorization"))
        match request.method:
            case "POST":
                body, number = request.get_json(force=True)["body"], len(self.comments) + 1
                self.comments.append({"id": number, "body": body, "user": {"type": "Bot"}})
                return _said({"html_url": f"made/{number}"}, 201)
            case "PATCH":
                number = int(request.path.rpartition("/")[2])
                self.comments[number - 1]["body"] = request.get_json(force=True)["body"]
                return _said({"html_url": f"edited/{number}"})
        found = (
            None if request.path.startswith("/wrong") else self._read(request.path, request.args)
        )
        return _said({"message": "Not Found"}, 404) if found is None else _said(found)

    def _read(self, path: str, query: Mapping[str, str]) -> Any:
        """A document, or None."""
        below = path.partition("/repos/example/gridos/")[2]
        if below in self.documents:
            return self.documents[below]
        if "/contents/" in path:
            blob = self.blobs.get((query["ref"], path.partition("/contents/")[2]))
            return {"sha": blob} if blob else None
        match path.rpartition("/")[2]:
            case "pulls":
                asked = query["head"], query["base"]
                return [
                    p for p in self.pulls if (p["head"]["label"], p.get("base", "main")) == asked
                ]
            case "comments":
                page, size = int(query["page"]), int(query["per_page"])
                return self.comments[(page - 1) * size : page * size]
            case "statuses":
                commit = path.split("/")[-2]
                return [s for s in self.statuses[::-1] if s["sha"] == commit]
            case "runs":
                asked = query["head_sha"], query["event"]
                found = [r for r in self.runs if (r["head_sha"], r.get("event", "push")) == asked]
                return {"workflow_runs": found}
        return None


def _said(document: Any, status: int = 200) -> Response:
    return Response(json.dumps(document), status, mimetype="application/json")


@contextmanager
def serving() -> Iterator[GitHubServer]:
    """Serves until the end of the block."""
    github = GitHubServer()
    with answering(github.answer) as server:
        github.url = f"http://127.0.0.1:{server.port}"
        yield github
