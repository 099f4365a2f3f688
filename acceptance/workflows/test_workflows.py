"""The workflows, run by act in clones of the last commit, valid and broken.

Logs, and what a case left behind, are kept under out/workflows. TESTS=folder runs that folder's
tests alone where ci.yaml runs all, for whom the whole takes too long at once.

No action is fetched: folders under `fakes/` take their places, as small as they can be. Every step
of our own is run as it stands. What this does not run is listed in
docs/pipeline.md, "Run the workflows".
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pipeline import comment, kustomization, overlay, trust
from pipeline.checkout import WORKFLOWS, Checkout
from pipeline.releases import Release
from pipeline.repository import Repository

from acceptance.calling import quietly
from acceptance.cluster import ROOT
from acceptance.git import GitError, git, publish
from acceptance.pipeline.fakes.github_api import GitHubServer, serving

FAKES = ROOT / "acceptance/pipeline/fakes"
KEPT = Path("out/workflows")
# The tests take ten minutes on two idle cores, and longer beside others and under coverage.
TIME_LIMIT_S = 3600
DIGEST = "sha256:" + "ab" * 32
VERDICTS = "gridos-verdicts[bot]"


class World:
    """A bare remote, a clone in which the workflow runs, and what stands in for GitHub's API.

    Made of the last commit of this checkout. `artifacts` is where the fakes of upload and download
    keep what they are given.
    """

    def __init__(self, folder: Path, github: GitHubServer) -> None:
        self.folder, self.github = folder, github
        self.remote, self.clone = folder / "remote.git", folder / "clone"
        self.artifacts = folder / "artifacts"
        self.artifacts.mkdir()
        publish(ROOT, self.remote, self.clone)

    def git(self, *arguments: str) -> str:
        """Runs git in the clone."""
        return git(self.clone, *arguments)

    def commit(self, path: str, text: str) -> str:
        """Commits one changed file; returns the commit."""
        (self.clone / path).write_text(text)
        self.git("add", path)
        self.git("commit", "--quiet", "-m", f"Change {path}")
        return self.git("rev-parse", "HEAD")


@dataclass(frozen=True)
class Case:
    """A workflow, a job and an event, and what must come of it."""

    name: str
    run: tuple[str, str, str]
    prepare: Callable[[World], dict[str, object]]
    succeeds: bool
    check: Callable[[World, str], str] = lambda _, __: ""
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def file(self) -> str:
        """The case's name as a file's."""
        return self.name.replace(" ", "-").replace(",", "").replace("/", "-")


def act(
    world: World, case: Case, payload: dict[str, object], *, cached: bool
) -> subprocess.CompletedProcess[str]:
    """Runs one job and those it needs."""
    workflow, job, kind = case.run
    file = world.clone / WORKFLOWS / workflow
    # Of May 2026, and unknown to act 0.2.89.
    file.write_text(file.read_text().replace("\n  queue: max", ""))
    event = world.folder / "event.json"
    event.write_text(json.dumps(payload))
    tool = quietly(ROOT / "ci/tool", "act", check=True)
    environment = {
        "ARTIFACTS": str(world.artifacts),
        "REMOTE": str(world.remote),
        "CLONE": str(world.clone),
        "VENV": str(ROOT / ".venv") if cached else "",
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_API_URL": world.github.url,
        "TESTS": os.environ.get("TESTS", ""),
        **case.environment,
    }
    # To act every secret is everywhere; who sees it on GitHub is ci/tests/semantics.py.
    secrets = ("--secret", "GITHUB_TOKEN=none", "--secret", "APP_PRIVATE_KEY=none")
    platform = ("--platform", "ubuntu-24.04=-self-hosted", "--var", f"VERDICT_APP={VERDICTS}")
    return quietly(
        *(tool.stdout.strip(), kind, "--job", job, "--eventpath", str(event)),
        *("--workflows", f"{WORKFLOWS}/{workflow}", "--no-skip-checkout", *platform, *secrets),
        *(word for name, value in environment.items() for word in ("--env", f"{name}={value}")),
        *_fakes(world.clone),
        cwd=world.clone,
        timeout=TIME_LIMIT_S,
        env={**os.environ, "DO_NOT_TRACK": "1"},
    )


def _fakes(clone: Path) -> list[str]:
    """Every action that a workflow pins and that has a stand-in."""
    used = set()
    for file in (clone / ".github").glob("**/*.yaml"):
        used |= set(re.findall(r"uses: ([\w-]+/[\w-]+)@([0-9a-f]{40})", file.read_text()))
    return [
        argument
        for name, version in sorted(used)
        if (FAKES / name).is_dir()
        for argument in ("--local-repository", f"{name}@{version}={FAKES / name}")
    ]


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
    file = "ci/pipeline/kustomization.py"
    world.commit(file, (world.clone / file).read_text() + UNTESTED)
    return {}


def _pull_request(world: World, base: str) -> dict[str, object]:
    head = world.git("rev-parse", "HEAD")
    return {"pull_request": {"number": 1, "base": {"sha": base}, "head": {"sha": head}}}


def _documentation_only(world: World) -> dict[str, object]:
    base = world.git("rev-parse", "HEAD")
    world.commit("docs/other.md", "# Other\n")
    return _pull_request(world, base)


BY_PROCESSES = """\
#!/usr/bin/env bash
set -euo pipefail
git fetch --quiet "$CLONE" HEAD
exec .venv/bin/canary rehearse --stable HEAD --candidate "$(git rev-parse FETCH_HEAD)"
"""


def _without_a_cluster(world: World) -> str:
    """Has the workflow rehearse by processes: no image is built, and no kind is here."""
    path = world.clone / WORKFLOWS / "rehearse.yaml"
    text = path.read_text()
    absent = ("docker build", "actions/scan", "GRIDOS_IMAGE", "helm/kind-action")
    steps = re.split(r"(?m)^(?=      - )", text)
    text = "".join(step for step in steps if not any(word in step for word in absent))
    world.commit("ci/rehearse-on-kind", BY_PROCESSES)
    return world.commit(f"{WORKFLOWS}/rehearse.yaml", text)


BAD_RELEASE = """

@blueprint.before_request
def fail_every_tenth() -> None:
    \"\"\"Makes this a faulty release.\"\"\"
    import secrets

    if secrets.randbelow(10) == 0:
        raise RuntimeError("a faulty release")
"""


def _bad_change(world: World) -> dict[str, object]:
    base = _without_a_cluster(world)
    file = "service/gridos/api/feeders.py"
    world.commit(file, (world.clone / file).read_text() + BAD_RELEASE)
    return _pull_request(world, base)


def _harmless_change(world: World) -> dict[str, object]:
    base = _without_a_cluster(world)
    file = "service/gridos/api/health.py"
    world.commit(file, (world.clone / file).read_text() + "\n# Harmless.\n")
    return _pull_request(world, base)


def _release(world: World) -> dict[str, object]:
    """Without the jobs that build and push: BuildKit, a registry, Azure, Sigstore are not here."""
    source = world.git("rev-parse", "origin/main")
    _pin_alone(world, source)
    return {"repository": {"name": "gridos", "default_branch": "main"}, "ref": "refs/heads/main"}


def _pin_alone(world: World, source: str) -> None:
    path = world.clone / WORKFLOWS / "release.yaml"
    text = path.read_text()
    start, end = text.index("  changes:\n"), text.index("  pin:\n")
    text = text[:start] + text[end:].replace("    needs: [build, dev]\n", "")
    for output, value in (
        ("${{ needs.build.outputs.digest }}", DIGEST),
        ("${{ needs.build.outputs.version }}", "1.2.3"),
        ("$GITHUB_SHA", source),
    ):
        text = text.replace(output, value)
    world.commit(f"{WORKFLOWS}/release.yaml", text)


def _release_of_a_stranger(world: World) -> dict[str, object]:
    payload = _release(world)
    path = world.clone / WORKFLOWS / "release.yaml"
    source = world.git("rev-parse", "origin/main")
    world.commit(f"{WORKFLOWS}/release.yaml", path.read_text().replace(source, "0123456789" * 4))
    return payload


def _pinned(digest: str) -> Callable[[World, str], str]:
    def check(world: World, _: str) -> str:
        shown = f"{overlay.branch('dev')}:{overlay.path('dev')}"
        try:
            runs = kustomization.read(git(world.remote, "show", shown)).digest
        except GitError:
            runs = ""
        return "" if runs == digest else f"dev runs {runs or 'nothing'}"

    return check


def _two_releases(world: World, *states: str) -> list[Release]:
    """Pins releases of dev, each with the state that Argo CD reported."""
    repository, releases = Repository(world.clone), []
    for number, state in enumerate(states, 1):
        source = world.commit("docs/other.md", f"# {number}\n")
        world.git("push", "--quiet", "origin", "HEAD:main")
        releases.append(Release("1.2.3", source, f"sha256:{number:064x}"))
        done = overlay.update(repository, "dev", releases[-1], lambda *_: overlay.PROMOTED)
        world.github.statuses.append(
            {
                "sha": done.commit,
                "context": "gridos/deploy/overlays/dev",
                "state": state,
                "creator": {"login": VERDICTS},
            }
        )
        world.github.runs.append({"id": number, "head_sha": source})
    return releases


def _bad_release(world: World) -> dict[str, object]:
    _two_releases(world, "success", "failure")
    return {
        "inputs": {"environment": "dev", "revision": ""},
        "repository": {"name": "gridos", "default_branch": "main"},
    }


def _only_release(world: World) -> dict[str, object]:
    payload = _bad_release(world)
    world.github.statuses.clear()
    return payload


def _dev_ended(*states: str) -> Callable[[World], dict[str, object]]:
    def prepare(world: World) -> dict[str, object]:
        _two_releases(world, *states)
        return {"inputs": {"environment": "staging"}, "repository": {"name": "gridos"}}

    return prepare


def _guarded(_: World) -> dict[str, object]:
    return {"pull_request": {"number": 1}, "repository": {"default_branch": "main"}}


def _loosened(world: World) -> dict[str, object]:
    """The guard over a pull request that lets a check fail."""
    path = f"{WORKFLOWS}/ci.yaml"
    text = (world.clone / path).read_text().replace("make coverage\n", "make coverage || true\n")
    world.commit(path, text)
    return _guarded(world)


def _declared(world: World) -> dict[str, object]:
    """The same, with the line for the security team."""
    payload = _loosened(world)
    trusted = trust.write(Checkout(world.clone))
    world.commit(trust.FILE, trusted)
    return payload


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
        whole = sign in body and "| error-ratio |" in body and "```mermaid" in body
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
    path = f"{WORKFLOWS}/rehearse.yaml"
    world.github.blobs[head, path] = world.git("rev-parse", f"HEAD:{path}")
    world.github.pulls.append({"number": 7, "head": {"sha": head, "label": "someone:fix"}})
    run = {
        "id": 1,
        "event": "pull_request",
        "conclusion": "failure",
        "html_url": "https://github.com/example/gridos/actions/runs/1",
        "head_repository": {"owner": {"login": "someone"}},
        "head_branch": "fix",
        "head_sha": head,
        "path": f"{WORKFLOWS}/rehearse.yaml",
    }
    return {"workflow_run": run, "repository": {"name": "gridos", "default_branch": "main"}}


def _rehearsal_that_left_nonsense(world: World) -> dict[str, object]:
    payload = _rehearsal_that_ended(world)
    (world.artifacts / "rehearsal/result.json").write_text("<script>")
    return payload


def _rehearsal_by_another_workflow(world: World) -> dict[str, object]:
    """A branch that changes how it is rehearsed, with a result that says what it likes."""
    path = f"{WORKFLOWS}/rehearse.yaml"
    head = world.commit(path, (world.clone / path).read_text() + "# Mine.\n")
    world.github.blobs[head, path] = world.git("rev-parse", f"HEAD:{path}")
    world.git("reset", "--quiet", "--hard", "origin/main")
    payload = _rehearsal_that_ended(world)
    world.github.pulls[0]["head"]["sha"] = head
    run = payload["workflow_run"]
    if isinstance(run, dict):
        run["head_sha"] = head
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


GOOD, BAD = True, False
# Workflow, job and event.
LINT = ("ci.yaml", "lint", "push")
TEST = ("ci.yaml", "test", "push")
REHEARSE = ("rehearse.yaml", "rehearse", "pull_request")
COMMENT = ("rehearse-comment.yaml", "comment", "workflow_run")
GUARD = ("guard.yaml", "controls", "pull_request")
CHANGES = ("release.yaml", "changes", "push")
PIN = ("release.yaml", "pin", "push")
PROMOTE = ("promote.yaml", "candidate", "workflow_dispatch")
ROLL_BACK = ("rollback.yaml", "roll-back", "workflow_dispatch")
CASES = (
    Case("ci lint, as it is", LINT, _as_it_is, GOOD),
    Case("ci lint, with a file that is not YAML", LINT, _with_a_bad_file, BAD, _names("bad.yaml")),
    Case("ci test, as it is", TEST, _as_it_is, GOOD),
    # The tests of what changed, so that nothing but the floor can fail.
    Case(
        "ci test, with lines that no test reaches",
        TEST,
        _with_untested_lines,
        BAD,
        _names("Failure. Coverage is below"),
        environment={"TESTS": "ci/tests/test_kustomization.py"},
    ),
    Case(
        "rehearse, a change of documents only", REHEARSE, _documentation_only, GOOD, _not_rehearsed
    ),
    Case(
        "rehearse, a harmless change",
        REHEARSE,
        _harmless_change,
        GOOD,
        _rehearsed("promoted", "✅ Promoted"),
    ),
    Case(
        "rehearse, a change that fails every tenth request",
        REHEARSE,
        _bad_change,
        BAD,
        _rehearsed("rolled-back", "❌ Rolled back"),
    ),
    Case(
        "comment, a rehearsal that was rolled back",
        COMMENT,
        _rehearsal_that_ended,
        GOOD,
        _commented("❌ Rolled back", "```mermaid"),
    ),
    Case(
        "comment, a rehearsal that left nothing",
        COMMENT,
        _rehearsal_that_left_nothing,
        GOOD,
        _commented("no result"),
    ),
    Case(
        "comment, a result that is none",
        COMMENT,
        _rehearsal_that_left_nonsense,
        BAD,
        _not_commented,
    ),
    Case(
        "comment, a rehearsal by another workflow than main's",
        COMMENT,
        _rehearsal_by_another_workflow,
        GOOD,
        _commented("no verdict"),
    ),
    Case("guard, a change that loosens nothing", GUARD, _guarded, GOOD),
    Case(
        "guard, a change that lets the tests fail",
        GUARD,
        _loosened,
        BAD,
        _names("ci.yaml / test is not what was reviewed"),
    ),
    Case(
        "guard, a change that is declared",
        GUARD,
        _declared,
        GOOD,
        _names("ci.yaml / test changes, and has rights or judges"),
    ),
    Case(
        "release, a change of documents only",
        CHANGES,
        _pushed("README.md", "\n", "\n\n"),
        GOOD,
        _names("release=false"),
    ),
    Case(
        "release, a change of the service",
        CHANGES,
        _pushed("Dockerfile", "WORKDIR /app", "WORKDIR /app\n"),
        GOOD,
        _names("release=true"),
    ),
    Case(
        "release, commits that nobody has", CHANGES, _from_nowhere, BAD, _names("git diff failed")
    ),
    Case("release pin, a release of main", PIN, _release, GOOD, _pinned(DIGEST)),
    Case(
        "release pin, a commit that is not on main", PIN, _release_of_a_stranger, BAD, _pinned("")
    ),
    Case(
        "promote, what dev has promoted", PROMOTE, _dev_ended("success"), GOOD, _names("run-id=1")
    ),
    Case(
        "promote, what dev has aborted",
        PROMOTE,
        _dev_ended("success", "failure"),
        BAD,
        _names("dev has not promoted"),
    ),
    Case(
        "rollback, a release that was aborted",
        ROLL_BACK,
        _bad_release,
        GOOD,
        _pinned(f"sha256:{1:064x}"),
    ),
    Case(
        "rollback, where nothing was ever promoted",
        ROLL_BACK,
        _only_release,
        BAD,
        _pinned(f"sha256:{2:064x}"),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_workflow_ends_as_it_should(case, cached):
    KEPT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="workflows-") as folder, serving() as github:
        world = World(Path(folder), github)
        payload = case.prepare(world)
        done = act(world, case, payload, cached=cached)
        said = done.stdout + done.stderr
        (KEPT / f"{case.file}.log").write_text(said)
        assert (done.returncode == 0) is case.succeeds, said[-1500:]
        shutil.rmtree(KEPT / case.file, ignore_errors=True)
        shutil.copytree(world.artifacts, KEPT / case.file)
        assert case.check(world, said) == ""
