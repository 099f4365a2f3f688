"""Another team's commit over the one before: a healthy one is promoted, a faulty one rolled back.

Each service is a git repository of its own, made here; it is rehearsed by the program that this
checkout has installed, as its team would.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from acceptance.calling import quietly
from acceptance.git import begin, commit, git
from acceptance.rehearsed import canary, result
from canary.errors import MachineError

HERE = Path(__file__).parent
ACTION = HERE.parent.parent / ".github/actions/rehearse"


@dataclass(frozen=True)
class Team:
    """A service, what builds it, and its next commits: a line of a file, and what it becomes."""

    name: str
    needs: list[str]
    file: str
    line: str
    healthy: str
    faulty: str
    gate: str


TEAMS = [Team(**given) for given in yaml.safe_load((HERE / "teams.yaml").read_text("utf-8"))]


@pytest.fixture(params=TEAMS, ids=[team.name for team in TEAMS])
def team(request: pytest.FixtureRequest) -> Team:
    """One of the services, where what builds it is installed."""
    found: Team = request.param
    for program in found.needs:
        if shutil.which(program) is None:
            raise MachineError(f"{program} is not installed", f"install it for {found.name}")
    return found


@pytest.fixture
def repository(team: Team, tmp_path: Path) -> Path:
    """The team's repository, with a branch for each of its next commits."""
    return branched(team, tmp_path / team.name)


def branched(team: Team, folder: Path, *without: str) -> Path:
    """A team's repository in a folder, without some of its files."""
    shutil.copytree(HERE / team.name, folder, ignore=shutil.ignore_patterns(*without))
    begin(folder, "Begin")
    file = folder / team.file
    text = file.read_text(encoding="utf-8")
    assert text.count(team.line) == 1
    for branch in ("healthy", "faulty"):
        git(folder, "checkout", "--quiet", "-b", branch, "main")
        file.write_text(text.replace(team.line, getattr(team, branch)), encoding="utf-8")
        commit(folder, f"Be {branch}")
    git(folder, "checkout", "--quiet", "main")
    return folder


@pytest.mark.parametrize(("branch", "code"), [("healthy", 0), ("faulty", 1)])
def test_a_commit_of_another_team_is_judged_by_its_own_gate(
    team: Team, repository: Path, branch: str, code: int, measured: Callable[..., None]
) -> None:
    before = git(repository, "for-each-ref") + git(repository, "status", "--short")
    done = canary("rehearse", "--candidate", branch, within=repository)
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    found = result(repository / "out/rehearsals/latest")
    measured(f"{team.name}, a {branch} commit", found["verdict"]["headline"])
    assert (found["verdict"]["gate"] or {}).get("name") == (team.gate if code else None)
    if branch == "healthy":
        assert (found["traffic"]["lost"], found["traffic"]["failed"]) == (0, 0)
    assert git(repository, "for-each-ref") + git(repository, "status", "--short") == before
    assert len(git(repository, "worktree", "list").splitlines()) == 1


@pytest.mark.parametrize("team", [TEAMS[0], TEAMS[3]], ids=["orders", "rates"], indirect=True)
def test_a_repository_that_canary_has_never_seen_has_its_first_verdict_from_init(
    team: Team, repository: Path
) -> None:
    (repository / "rehearsal.yaml").unlink()
    done = canary("init", within=repository)
    assert done.returncode == 0, done.stdout + done.stderr
    # Which values a path takes stands in no route: a person puts one.
    users = repository / "locustfile.py"
    users.write_text(users.read_text("utf-8").replace("/rates/1", "/rates/eur-usd"), "utf-8")
    given = ("--candidate", "healthy", "--config", "rehearsal.yaml")
    done = canary("rehearse", *given, within=repository)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("team", TEAMS[:1], ids=["orders"], indirect=True)
def test_the_github_action_says_the_verdict_and_fails_with_it(
    team: Team, repository: Path, tmp_path: Path
) -> None:
    action = yaml.safe_load((ACTION / "action.yaml").read_text(encoding="utf-8"))
    (step,) = [step for step in action["runs"]["steps"] if step.get("id") == "rehearse"]
    more = "--time-scale=6\n--out=out/rehearsals"
    inputs = {"stable": "main", "candidate": "faulty", "config": "", "arguments": more}
    given = {name: inputs[text.split(".")[1].rstrip(" }")] for name, text in step["env"].items()}
    files = {name: str(tmp_path / name) for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    environment = {**os.environ, **given, **files, "GITHUB_ACTION_PATH": str(ACTION)}
    shell = ("bash", "-eo", "pipefail", "-c")
    done = quietly(*shell, step["run"], cwd=repository, env=environment)
    assert done.returncode == 1, done.stdout + done.stderr
    said = dict(
        line.split("=", 1) for line in Path(files["GITHUB_OUTPUT"]).read_text().splitlines()
    )
    assert said["exit-code"] == "1"
    assert said["verdict"] == result(repository / said["folder"])["verdict"]["headline"]
    assert said["verdict"] in Path(files["GITHUB_STEP_SUMMARY"]).read_text(encoding="utf-8")
    assert (repository / said["folder"] / "junit.xml").is_file()
