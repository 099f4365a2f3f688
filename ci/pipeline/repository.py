"""A git repository and its remote, by git's own plumbing: no checkout, no index of the user's.

Commits are made on a branch as it is on the remote, in objects only; a push is a fast-forward or
nothing. What the checkout holds, and whether it is dirty, makes no difference.
"""

import os
import subprocess
import tempfile
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path

from pipeline.errors import PipelineError, UnreachableError

REMOTE = "origin"
# A fetch or push that takes longer than this hangs.
TIME_LIMIT_S = 120
# What the pipeline commits is by the pipeline, whoever's machine it runs on.
_BOT = "gridos-release[bot]"
_IDENTITY = {f"GIT_{who}_NAME": _BOT for who in ("AUTHOR", "COMMITTER")} | {
    f"GIT_{who}_EMAIL": f"{_BOT}@users.noreply.github.com" for who in ("AUTHOR", "COMMITTER")
}
# Nobody is there to type a password.
_QUIET = {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
# As `--unshallow`, which refuses a clone that is whole.
_WHOLE = "--depth=2147483647"


class Repository:
    """One clone."""

    def __init__(self, folder: Path, token: str = "") -> None:
        """Takes a clone, and a token of GitHub's, if any."""
        self._folder = folder
        self._login = _login(token) if token else {}

    def fetch(self, branch: str) -> str:
        """Returns the branch's commit on the remote, with its whole history here; nothing for none.

        Raises:
            PipelineError: The remote cannot be had.
        """
        ref = f"refs/pipeline/{branch}"
        fetched = ("fetch", "--quiet", "--no-tags", _WHOLE, REMOTE)
        done = self._try(*fetched, f"+refs/heads/{branch}:{ref}")
        if "couldn't find remote ref" in done.stderr:
            return ""
        if done.returncode != 0:
            raise PipelineError(f"git fetch failed: {' '.join(done.stderr.split())}")
        return self.git("rev-parse", ref)

    def read(self, commit: str, path: str) -> str:
        """Returns a file's text at a commit.

        Raises:
            PipelineError: It has no such file.
        """
        return self.git("show", f"{commit}:{path}") + "\n"

    def tracked(self, *patterns: str) -> list[str]:
        """Returns the files so called that are in the index; none where this is not a clone."""
        return self._try("ls-files", "--", *patterns).stdout.splitlines()

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Says whether this clone knows both, and `newer` is `older` or builds on it."""
        return self._try("merge-base", "--is-ancestor", older, newer).returncode == 0

    def descendants(self, commit: str, head: str) -> frozenset[str]:
        """Returns every commit between the two that builds on the first."""
        listed = self.git("rev-list", "--ancestry-path", f"{commit}..{head}")
        return frozenset(listed.split())

    def trailers(self, head: str, keys: tuple[str, ...]) -> list[tuple[str, ...]]:
        """Returns, newest first, each commit's id and what its trailers say, empty for none."""
        fields = ["%H", *(f"%(trailers:key={key},valueonly,separator=%x2C)" for key in keys)]
        listed = self.git("log", f"--format={'%x09'.join(fields)}", head)
        return [tuple(line.split("\t")) for line in listed.splitlines()]

    def changed(self, source: str, folder: str, path: str, text: str) -> str:
        """Makes a tree of a commit's folder and nothing else, but for one text; returns its id."""
        blob = self.git("hash-object", "-w", "--stdin", given=text)
        with tempfile.TemporaryDirectory() as scratch:
            index = {"GIT_INDEX_FILE": f"{scratch}/index"}
            self.git("read-tree", f"--prefix={folder}/", f"{source}:{folder}", environment=index)
            self.git("update-index", "--cacheinfo", f"100644,{blob},{path}", environment=index)
            return self.git("write-tree", environment=index)

    def commit(self, tree: str, parent: str, message: str) -> str:
        """Makes a commit of a tree, on top of another or the first of a branch; returns its id."""
        on = ["-p", parent] if parent else []
        return self.git("commit-tree", tree, *on, given=message, environment=_IDENTITY)

    def push(self, commit: str, branch: str) -> str:
        """Moves the remote's branch forward to the commit, or returns why not, in git's words."""
        done = self._try("push", "--quiet", REMOTE, f"{commit}:refs/heads/{branch}")
        return done.stderr.strip() or "no reason given" if done.returncode else ""

    def git(
        self, *arguments: str, given: str = "", environment: Mapping[str, str] | None = None
    ) -> str:
        """Returns what git says, without the end of its last line.

        Raises:
            PipelineError: It fails.
        """
        done = self._try(*arguments, given=given, environment=environment)
        if done.returncode != 0:
            cause = " ".join(done.stderr.split()) or f"exit {done.returncode}"
            raise PipelineError(f"git {arguments[0]} failed: {cause}")
        return done.stdout.removesuffix("\n")

    def _try(
        self, *arguments: str, given: str = "", environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                ["git", "-C", str(self._folder), *arguments],
                input=given,
                capture_output=True,
                text=True,
                check=False,
                timeout=TIME_LIMIT_S,
                env={**os.environ, **_QUIET, **self._login, **(environment or {})},
            )
        except FileNotFoundError:
            raise UnreachableError("there is no git on PATH: install git") from None
        except subprocess.TimeoutExpired:
            raise PipelineError(
                f"git {arguments[0]} took more than {TIME_LIMIT_S} s: is the remote reachable?"
            ) from None


def _login(token: str) -> dict[str, str]:
    """Git's settings as environment: neither in the clone's nor among the arguments."""
    server = os.environ.get("GITHUB_SERVER_URL", "https://github.com")
    basic = b64encode(f"x-access-token:{token}".encode()).decode()
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"http.{server}/.extraheader",
        "GIT_CONFIG_VALUE_0": f"AUTHORIZATION: basic {basic}",
    }
