"""What is asked of GitHub's API: a commit's status and head, the run that built it, a comment.

Endpoints, under `/repos/{repo}` of https://docs.github.com/en/rest: `GET commits/{sha}/statuses`,
`GET pulls?head=…`, `GET actions/workflows/{file}/runs`, `GET|POST issues/{n}/comments`,
`PATCH issues/comments/{id}`.
"""

import http
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.errors import PipelineError, UnreachableError

TIME_LIMIT_S = 30
_PAGE = 100
# A pull request with more comments than this gets a second comment rather than an endless search.
_PAGES = 10


@dataclass(frozen=True)
class GitHub:
    """One repository, seen with one token."""

    api: str
    repository: str
    token: str

    def get(self, path: str) -> Any:
        """Returns what is there, below the repository; nothing where GitHub answers 404."""
        return self._call("GET", path, missing={})

    def pull_request(self, owner: str, branch: str, head: str) -> int | None:
        """Returns the open pull request into main whose head this is now, or None.

        The event of a fork's run names no pull request, and what the run left behind is not to be
        believed; the branch and the commit are GitHub's own words.
        """
        pulls = self._list("pulls", state="open", base="main", head=f"{owner}:{branch}")
        return next((int(pull["number"]) for pull in pulls if pull["head"]["sha"] == head), None)

    def status(self, commit: str, context: str, creator: str) -> str:
        """Returns the newest status of a commit that this user set; empty where there is none.

        Whoever may write statuses, such as a job of any branch, may set one by any name: only the
        creator tells whose word it is.
        """
        for status in self._list(f"commits/{commit}/statuses", per_page=_PAGE):  # newest first
            if status["context"] == context and (status["creator"] or {}).get("login") == creator:
                return str(status["state"])
        return ""

    def run_of(self, workflow: str, head: str) -> int:
        """Returns the newest successful run of a workflow for a commit of main.

        Raises:
            PipelineError: There is none.
        """
        # Of main itself: a fork's branch may bear its name.
        asked = {"head_sha": head, "status": "success", "branch": "main", "event": "push"}
        runs = self._list(f"actions/workflows/{workflow}/runs", **asked)["workflow_runs"]
        if not runs:
            raise PipelineError(f"no run of {workflow} for {head} succeeded: was it deleted?")
        return max(int(run["id"]) for run in runs)

    def comment(self, pull_request: int, body: str, marker: str) -> str:
        """Edits the comment with the marker, or makes it; returns its address.

        Only a bot's: anybody may write the marker into a comment, and ours must stay ours.
        """
        all_of_it = f"issues/{pull_request}/comments"
        for page in range(1, _PAGES + 1):
            comments = self._list(all_of_it, per_page=_PAGE, page=page)
            for comment in comments:
                if comment["user"]["type"] == "Bot" and comment["body"].startswith(marker):
                    mine = f"issues/comments/{int(comment['id'])}"
                    return str(self._call("PATCH", mine, {"body": body})["html_url"])
            if len(comments) < _PAGE:
                break
        return str(self._call("POST", all_of_it, {"body": body})["html_url"])

    def _list(self, path: str, **query: str | int) -> Any:
        return self._call("GET", f"{path}?{urllib.parse.urlencode(query)}")

    def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, missing: Any = None
    ) -> Any:
        request = urllib.request.Request(
            f"{self.api}/repos/{self.repository}/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self.token}",
                "Accept": "application/vnd.github+json",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=TIME_LIMIT_S) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refusal:
            # GitHub knows no such thing, or does not show it to this token.
            if refusal.code == http.HTTPStatus.NOT_FOUND and missing is not None:
                return missing
            why = refusal.read(500).decode(errors="replace")
            said = f"GitHub answered {refusal.code} to {method} {path}: {why}"
            raise PipelineError(said) from None
        except (OSError, ValueError) as cause:
            raise UnreachableError(f"GitHub cannot be reached at {self.api}: {cause}") from None
