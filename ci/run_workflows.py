#!/usr/bin/env python3
"""Run the workflows here, by act, in clones of the last commit, good ones and bad ones.

Words choose cases; `--resume` leaves out those that ended as they should on this very commit. Logs,
and what a case left behind, are kept under out/workflows.

Actions cannot be fetched where this was made: folders under `standins/` take their places, as small
as they can be. Every step of our own is run as it stands. What this does not run is listed in
docs/pipeline.md, "Run the workflows".

Exit codes: 0 every case ended as it should, 1 one did not, 2 act or what it needs is missing.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline import comment, kustomization, overlay
from pipeline.checkout import WORKFLOWS, Checkout
from standins.github_api import GitHubServer, serving

from canary.runtime import processes, program

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
STANDINS = HERE / "standins"
KEPT = Path("out/workflows")
# The tests take ten minutes on two idle cores, and longer beside others and under coverage.
TIME_LIMIT_S = 3600
DIGEST = "sha256:" + "ab" * 32


@dataclass(frozen=True)
class World:
    """A bare remote, a clone in which the workflow runs, and what stands in for GitHub's API."""

    folder: Path
    github: GitHubServer

    @property
    def clone(self) -> Path:
        """The checkout."""
        return self.folder / "clone"

    @property
    def remote(self) -> Path:
        """What the clone calls origin."""
        return self.folder / "remote.git"

    @property
    def artifacts(self) -> Path:
        """Where the stand-ins of upload and download keep what they are given."""
        return self.folder / "artifacts"

    def git(self, *arguments: str) -> str:
        """Runs git in the clone."""
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
        return processes.run(
            ["git", *identity, *arguments],
            cwd=self.clone,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()

    def commit(self, path: str, text: str) -> str:
        """Commits one changed file; returns the commit."""
        (self.clone / path).write_text(text)
        self.git("add", path)
        self.git("commit", "--quiet", "-m", f"Change {path}")
        return self.git("rev-parse", "HEAD")


@dataclass(frozen=True)
class Case:
    """A workflow, an event, and what must come of it."""

    name: str
    workflow: str
    job: str
    event: str
    prepare: Callable[[World], dict[str, object]]
    succeeds: bool
    check: Callable[[World, str], str] = lambda _, __: ""
    environment: tuple[str, ...] = ()
    # A part of another case, for whom the whole takes too long at once: only when it is named.
    part: bool = False

    @property
    def file(self) -> str:
        """The case's name as a file's."""
        return self.name.replace(" ", "-").replace(",", "").replace("/", "-")


def act(
    world: World, case: Case, payload: dict[str, object], *, cached: bool
) -> subprocess.CompletedProcess[str]:
    """Runs one job and those it needs."""
    event = world.folder / "event.json"
    event.write_text(json.dumps(payload))
    tool = processes.run(
        [HERE / "tool", "act"], capture_output=True, text=True, check=True
    ).stdout.strip()
    return processes.run(
        [
            tool,
            case.event,
            "--job",
            case.job,
            "--eventpath",
            str(event),
            "--workflows",
            f"{WORKFLOWS}/{case.workflow}",
            "--platform",
            "ubuntu-24.04=-self-hosted",
            "--env",
            f"ARTIFACTS={world.artifacts}",
            "--env",
            f"REMOTE={world.remote}",
            "--env",
            f"CLONE={world.clone}",
            "--env",
            f"VENV={ROOT / '.venv' if cached else ''}",
            "--env",
            "GITHUB_SERVER_URL=https://github.com",
            "--env",
            f"GITHUB_API_URL={world.github.url}",
            *(word for given in case.environment for word in ("--env", given)),
            "--secret",
            "GITHUB_TOKEN=none",
            "--no-skip-checkout",
            *_standins(world.clone),
        ],
        cwd=world.clone,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIME_LIMIT_S,
        env={**os.environ, "DO_NOT_TRACK": "1"},
    )


def _standins(clone: Path) -> list[str]:
    """Every action that a workflow pins and that has a stand-in."""
    used = set()
    for file in (clone / ".github").glob("**/*.yaml"):
        used |= set(re.findall(r"uses: ([\w-]+/[\w-]+)@([0-9a-f]{40})", file.read_text()))
    return [
        argument
        for name, version in sorted(used)
        if (STANDINS / name).is_dir()
        for argument in ("--local-repository", f"{name}@{version}={STANDINS / name}")
    ]


def make_world(folder: Path, github: GitHubServer) -> World:
    """Clones the last commit of this checkout, with a remote of its own called main."""
    world = World(folder, github)
    world.artifacts.mkdir()
    processes.run(["git", "clone", "--quiet", "--bare", ROOT, world.remote], check=True)
    processes.run(["git", "-C", world.remote, "update-ref", "refs/heads/main", _head()], check=True)
    processes.run(
        ["git", "-C", world.remote, "symbolic-ref", "HEAD", "refs/heads/main"], check=True
    )
    processes.run(["git", "clone", "--quiet", world.remote, world.clone], check=True)
    return world


def _as_it_is(_: World) -> dict[str, object]:
    return {}


def _with_a_bad_file(world: World) -> dict[str, object]:
    world.commit("deploy/bad.yaml", "kind:   [Rollout\n")
    return {}


UNTESTED = """

def nobody_calls_this(value: int) -> int:
    \"\"\"Doubles.\"\"\"
    if value > 1:
        return value * 2
    return value
"""


def _with_untested_lines(world: World) -> dict[str, object]:
    file = "ci/pipeline/changes.py"
    world.commit(file, (world.clone / file).read_text() + UNTESTED)
    return {}


def _pull_request(world: World, base: str) -> dict[str, object]:
    head = world.git("rev-parse", "HEAD")
    return {"pull_request": {"number": 1, "base": {"sha": base}, "head": {"sha": head}}}


def _documentation_only(world: World) -> dict[str, object]:
    base = world.git("rev-parse", "HEAD")
    world.commit("docs/other.md", "# Other\n")
    return _pull_request(world, base)


BAD_RELEASE = """

@blueprint.before_request
def fail_every_tenth() -> None:
    \"\"\"Makes this a bad release.\"\"\"
    import secrets

    if secrets.randbelow(10) == 0:
        raise RuntimeError("a bad release")
"""


def _bad_change(world: World) -> dict[str, object]:
    base = world.git("rev-parse", "HEAD")
    file = "service/gridos/api/feeders.py"
    world.commit(file, (world.clone / file).read_text() + BAD_RELEASE)
    return _pull_request(world, base)


def _harmless_change(world: World) -> dict[str, object]:
    base = world.git("rev-parse", "HEAD")
    file = "service/gridos/api/health.py"
    world.commit(file, (world.clone / file).read_text() + "\n# Harmless.\n")
    return _pull_request(world, base)


def _release(world: World) -> dict[str, object]:
    """Without the job that pushes: a registry, Azure and Sigstore are not here."""
    path = world.clone / WORKFLOWS / "publish.yaml"
    text = path.read_text()
    start, end = text.index("  push:\n"), text.index("  overlay:\n")
    shortened = text[:start] + text[end:].replace("    needs: push\n", "")
    inputs = re.search(r"  workflow_call:\n.*?(?=\npermissions)", shortened, re.DOTALL)
    if inputs is None:
        raise ValueError("publish.yaml has no inputs any more")
    world.commit(f"{WORKFLOWS}/publish.yaml", shortened)
    source = world.git("rev-parse", "origin/main")
    return {
        "inputs": {
            "environment": "staging",
            "after": "",
            "digest": DIGEST,
            "version": "1.2.3",
            "source": source,
            "run-id": "1",
            "runner": "none",
        },
        "repository": {"name": "gridos", "default_branch": "main"},
    }


def _release_of_a_stranger(world: World) -> dict[str, object]:
    payload = _release(world)
    inputs = payload["inputs"]
    if isinstance(inputs, dict):
        inputs["source"] = "0123456789" * 4
    return payload


def _pinned(world: World, _: str) -> str:
    remote = processes.run(
        ["git", "-C", world.remote, "show", f"main:{overlay.path('staging')}"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    runs = kustomization.read(remote).digest
    return "" if runs == DIGEST else f"staging runs {runs}"


def _not_pinned(world: World, said: str) -> str:
    return "" if _pinned(world, said) else "the overlay was changed"


def _rehearsed(outcome: str, sign: str) -> Callable[[World, str], str]:
    """The result is there, and makes the comment that rehearse-comment.yaml would publish."""

    def check(world: World, _: str) -> str:
        found = world.artifacts / "rehearsal/result.json"
        if not found.exists():
            return "no result was left"
        text = found.read_text()
        ended = json.loads(text)["verdict"]["outcome"]
        if ended != outcome:
            return f"the rehearsal ended {ended}"
        body = comment.render(text, "https://github.com/example/gridos/actions/runs/1")
        (world.artifacts / "comment.md").write_text(body)
        whole = sign in body and "| `error-ratio` |" in body and "```mermaid" in body
        return "" if whole else f"the comment is {body}"

    return check


def _pushed(path: str, old: str, new: str) -> Callable[[World], dict[str, object]]:
    def prepare(world: World) -> dict[str, object]:
        before = world.git("rev-parse", "HEAD")
        text = (world.clone / path).read_text()
        after = world.commit(path, text.replace(old, new, 1))
        return {"before": before, "after": after, "ref": "refs/heads/main"}

    return prepare


def _from_nowhere(_: World) -> dict[str, object]:
    return {"before": "0123456789" * 4, "after": "0123456789" * 4, "ref": "refs/heads/main"}


def _names(word: str) -> Callable[[World, str], str]:
    return lambda _, said: "" if word in said else f"nothing named {word}"


RESULT = "canary/tests/rehearse/results/rolled-back.json"


def _rehearsal_that_ended(world: World) -> dict[str, object]:
    """A pull request of a fork, and what its rehearsal left; the stand-in knows both."""
    head = world.git("rev-parse", "HEAD")
    left = world.artifacts / "rehearsal"
    left.mkdir()
    shutil.copy(world.clone / RESULT, left / "result.json")
    world.github.pulls.append({"number": 7, "head": {"sha": head, "label": "someone:fix"}})
    run = {
        "id": 1,
        "event": "pull_request",
        "conclusion": "failure",
        "html_url": "https://github.com/example/gridos/actions/runs/1",
        "head_repository": {"owner": {"login": "someone"}},
        "head_branch": "fix",
        "head_sha": head,
    }
    return {"workflow_run": run, "repository": {"name": "gridos", "default_branch": "main"}}


def _rehearsal_that_left_nonsense(world: World) -> dict[str, object]:
    payload = _rehearsal_that_ended(world)
    (world.artifacts / "rehearsal/result.json").write_text("<script>")
    return payload


def _rehearsal_that_left_nothing(world: World) -> dict[str, object]:
    payload = _rehearsal_that_ended(world)
    shutil.rmtree(world.artifacts / "rehearsal")
    return payload


def _commented(*words: str) -> Callable[[World, str], str]:
    def check(world: World, _: str) -> str:
        bodies = [made["body"] for made in world.github.comments]
        whole = len(bodies) == 1 and all(word in bodies[0] for word in words)
        return "" if whole else f"the comments are {bodies}"

    return check


def _not_commented(world: World, _: str) -> str:
    return "it was commented" if world.github.comments else ""


def _not_rehearsed(world: World, _: str) -> str:
    return "it was rehearsed" if (world.artifacts / "rehearsal").exists() else ""


def _test_folders() -> list[str]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        options = tomllib.load(file)["tool"]["pytest"]["ini_options"]
    return list(options["testpaths"])


CASES = (
    Case("ci lint, as it is", "ci.yaml", "lint", "push", _as_it_is, succeeds=True),
    Case(
        "ci lint, with a file that is no YAML",
        "ci.yaml",
        "lint",
        "push",
        _with_a_bad_file,
        succeeds=False,
        check=_names("bad.yaml"),
    ),
    Case("ci test, as it is", "ci.yaml", "test", "push", _as_it_is, succeeds=True),
    *(
        Case(
            f"ci test, only {folder}",
            "ci.yaml",
            "test",
            "push",
            _as_it_is,
            succeeds=True,
            environment=(f"TESTS={folder}",),
            part=True,
        )
        for folder in _test_folders()
    ),
    Case(
        "ci test, with lines that no test reaches",
        "ci.yaml",
        "test",
        "push",
        _with_untested_lines,
        succeeds=False,
        check=_names("Failure. Coverage is below"),
        # The tests of what changed, so that nothing but the floor can fail.
        environment=("TESTS=ci/tests/test_changes.py",),
    ),
    Case(
        "rehearse, a change of documents only",
        "rehearse.yaml",
        "rehearse",
        "pull_request",
        _documentation_only,
        succeeds=True,
        check=_not_rehearsed,
    ),
    Case(
        "rehearse, a harmless change",
        "rehearse.yaml",
        "rehearse",
        "pull_request",
        _harmless_change,
        succeeds=True,
        check=_rehearsed("promoted", "✅ Promoted"),
    ),
    Case(
        "rehearse, a change that fails every tenth request",
        "rehearse.yaml",
        "rehearse",
        "pull_request",
        _bad_change,
        succeeds=False,
        check=_rehearsed("rolled-back", "❌ Rolled back"),
    ),
    Case(
        "comment, a rehearsal that was rolled back",
        "rehearse-comment.yaml",
        "comment",
        "workflow_run",
        _rehearsal_that_ended,
        succeeds=True,
        check=_commented("❌ Rolled back", "```mermaid"),
    ),
    Case(
        "comment, a rehearsal that left nothing",
        "rehearse-comment.yaml",
        "comment",
        "workflow_run",
        _rehearsal_that_left_nothing,
        succeeds=True,
        check=_commented("no result"),
    ),
    Case(
        "comment, a result that is none",
        "rehearse-comment.yaml",
        "comment",
        "workflow_run",
        _rehearsal_that_left_nonsense,
        succeeds=False,
        check=_not_commented,
    ),
    Case(
        "release, its own commit of an overlay",
        "release.yaml",
        "changes",
        "push",
        _pushed(overlay.path("staging"), "newTag: none", "newTag: 1.2.3-g0123456789ab"),
        succeeds=True,
        check=_names("image=false"),
    ),
    Case(
        "release, a change of the service",
        "release.yaml",
        "changes",
        "push",
        _pushed("Dockerfile", "WORKDIR /app", "WORKDIR /app\n"),
        succeeds=True,
        check=_names("image=true"),
    ),
    Case(
        "release, commits that nobody has",
        "release.yaml",
        "changes",
        "push",
        _from_nowhere,
        succeeds=False,
        check=_names("git diff failed"),
    ),
    Case(
        "overlay, a release of main",
        "publish.yaml",
        "overlay",
        "workflow_call",
        _release,
        succeeds=True,
        check=_pinned,
    ),
    Case(
        "overlay, a commit that is not on main",
        "publish.yaml",
        "overlay",
        "workflow_call",
        _release_of_a_stranger,
        succeeds=False,
        check=_not_pinned,
    ),
)


def run(case: Case, *, cached: bool) -> str:
    """Runs one case; returns what was wrong with how it ended, or nothing."""
    with tempfile.TemporaryDirectory(prefix="workflows-") as folder, serving() as github:
        world = make_world(Path(folder), github)
        payload = case.prepare(world)
        done = act(world, case, payload, cached=cached)
        said = done.stdout + done.stderr
        (KEPT / f"{case.file}.log").write_text(said)
        if (done.returncode == 0) is not case.succeeds:
            return f"it ended with {done.returncode}: {said[-1500:]}"
        finding = case.check(world, said)
        shutil.rmtree(KEPT / case.file, ignore_errors=True)
        shutil.copytree(world.artifacts, KEPT / case.file)
        return finding


class Memory:
    """Which cases ended as they should, by the commit that they ran on."""

    def __init__(self, commit: str) -> None:
        """Remembers what was written down for this commit."""
        self._file = KEPT / f"{commit}.good"
        KEPT.mkdir(parents=True, exist_ok=True)

    def has(self, case: Case) -> bool:
        """Whether the case is one of them."""
        return self._file.exists() and case.name in self._file.read_text().splitlines()

    def add(self, case: Case) -> None:
        """Writes the case down."""
        with self._file.open("a") as file:
            file.write(f"{case.name}\n")


def main(arguments: Sequence[str]) -> int:
    """Runs the cases whose names contain the words given, or all."""
    parser = program.parser("run-workflows", description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", help="only cases whose names contain one of these")
    parser.add_argument("--list", action="store_true", help="list the cases, and run none")
    text = "use this checkout's .venv, as a restored cache, instead of installing in each clone"
    parser.add_argument("--cached", action="store_true", help=text)
    text = "leave out what ended as it should on this commit before"
    parser.add_argument("--resume", action="store_true", help=text)
    chosen = parser.parse_args(arguments)
    Checkout(ROOT).workflows  # noqa: B018 — complains here where there are none
    wanted = chosen.words
    named = [c for c in CASES if (any(w in c.name for w in wanted) if wanted else not c.part)]
    if not named:
        parser.error(f"no case's name contains {' or '.join(wanted)}: --list shows them")
    if chosen.list:
        print("\n".join(case.name for case in named))
        return 0
    memory = Memory(_head())
    wrong = 0
    for case in named:
        if chosen.resume and memory.has(case):
            print(f"before {case.name}", flush=True)
            continue
        began = time.monotonic()
        finding = run(case, cached=chosen.cached)
        wrong += bool(finding)
        if not finding:
            memory.add(case)
        took = time.monotonic() - began
        verdict = "WRONG " if finding else "good  "
        print(f"{verdict} {case.name}, {took:.0f} s  {finding}", flush=True)
    return 1 if wrong else 0


def _head() -> str:
    return processes.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()


if __name__ == "__main__":
    sys.exit(program.run("run-workflows", main))
