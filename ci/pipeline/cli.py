"""The `pipeline` program: each of its commands is one step of a workflow, and runs on a laptop too.

Exit codes: 0 good, 1 findings or refused, 2 the input cannot be used, 4 the machine.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from canary.runtime import program
from pipeline import controls, overlay, preflight, releases, trust
from pipeline.checkout import WORKFLOWS, Checkout
from pipeline.errors import PipelineError
from pipeline.github import GitHub
from pipeline.releases import Release
from pipeline.repository import Repository

EPILOG = """\
exit codes:
  0 good   1 findings, or refused   2 the input cannot be used   4 the machine, or we ourselves
  130 interrupted

examples:
  pipeline version                                      the one version, from pyproject.toml
  pipeline pin --environment dev --source SHA --digest sha256:… --version 1.2.3
  pipeline destination --environment production          what a rollback would go back to
  pipeline controls                                     the workflows against the controls
"""


Command = Callable[[argparse.Namespace], int | None]
Option = tuple[str, dict[str, Any]]
COMMANDS: dict[str, tuple[Command, tuple[Option, ...]]] = {}


def _option(name: str, text: str = "", **more: Any) -> Option:
    return name, {"help": text, **more}


def _command(*options: Option) -> Callable[[Command], Command]:
    """Makes a command of a function: its name, and its docstring in `--help`."""

    def add(function: Command) -> Command:
        COMMANDS[function.__name__.strip("_").replace("_", "-")] = function, options
        return function

    return add


PLACE = _option("--environment", required=True, choices=overlay.ENVIRONMENTS)
# A run of another version of it is not believed.
REHEARSING = f"{WORKFLOWS}/rehearse.yaml"
BUILT = _option("--run-of", "and the run that built it", metavar="WORKFLOW")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; every failure is one line on standard error."""
    return program.run("pipeline", _run, arguments)


def _run(arguments: Sequence[str]) -> int:
    text = "The steps of the workflows that are more than a call of make."
    parser = program.parser("pipeline", description=text, epilog=EPILOG)
    commands = parser.add_subparsers(required=True, metavar="command")
    for name, (function, options) in COMMANDS.items():
        text = (function.__doc__ or "").partition("\n")[0].rstrip(".")
        added = commands.add_parser(name, help=f"{text[:1].lower()}{text[1:]}", description=text)
        added.set_defaults(command=function)
        for option, more in options:
            added.add_argument(option, **more)
    chosen = parser.parse_args(arguments)
    command: Command = chosen.command
    try:
        return command(chosen) or program.GOOD
    except UnicodeDecodeError as wrong:
        raise PipelineError(f"what was given is not UTF-8: {wrong.reason}") from None


@_command(
    PLACE,
    _option("--source", "the commit on main it was built from", required=True),
    _option("--digest", "sha256:… of the image", required=True),
    _option("--version", "such as 1.2.3", required=True),
)
def _pin(chosen: argparse.Namespace) -> None:
    """Pin a release on an environment's branch, on the remote."""
    release = Release(chosen.version, chosen.source, chosen.digest)
    outcome = overlay.update(_repository(), chosen.environment, release, _verdict)
    _say(f"{release.tag} for {chosen.environment}: {outcome.action} ({outcome.commit})")


@_command(PLACE, BUILT)
def _candidate(chosen: argparse.Namespace) -> None:
    """Print what a stage may take: what the one before promoted."""
    offered = overlay.candidate(_repository(), chosen.environment, _verdict)
    _say_pinned(offered.release, chosen.run_of)


@_command(PLACE, BUILT)
def _running(chosen: argparse.Namespace) -> None:
    """Print the release that an environment runs."""
    pinned = overlay.running(_repository(), chosen.environment)
    _say_pinned(pinned.release, chosen.run_of)


def _say_pinned(release: Release, workflow: str | None) -> None:
    run = f"\nrun-id={_github().run_of(workflow, release.source)}" if workflow else ""
    _tell(f"version={release.version}\nsource={release.source}\ndigest={release.digest}{run}")


@_command(PLACE, _option("--revision", "a tag or a source commit (the one before)", default=""))
def _destination(chosen: argparse.Namespace) -> None:
    """Print what a rollback would go back to."""
    repository, environment = _repository(), chosen.environment
    now, to = overlay.destination(repository, environment, _verdict, chosen.revision)
    _tell(f"now={now.commit}\nto={to.commit}\nfrom={now.release.tag}\nback-to={to.release.tag}")


@_command(
    PLACE,
    _option("--now", "its branch's commit, as approved", required=True),
    _option("--to", "an earlier commit of the branch", required=True),
)
def _roll_back(chosen: argparse.Namespace) -> None:
    """Bring an earlier release of an environment back."""
    outcome = overlay.roll_back(_repository(), chosen.environment, chosen.now, chosen.to)
    _say(f"{chosen.environment}: {outcome.action} ({outcome.commit})")


def _repository() -> Repository:
    # The job's own token reads, where the repository is private too; the App's writes as well.
    token = os.environ.get("PUSH_TOKEN") or os.environ.get("GITHUB_TOKEN", "")
    return Repository(Path(), token=token)


def _verdict(commit: str, environment: str) -> str:
    """What Argo CD's notifications said of a commit: deploy/argocd/notifications.yaml."""
    context = f"gridos/{Path(overlay.path(environment)).parent}"
    return _github().status(commit, context, _environment("VERDICT_APP"))


@_command(
    _option("--source", "of a build from this commit: its tag and time too", metavar="COMMIT")
)
def _version(chosen: argparse.Namespace) -> None:
    """Print the one version."""
    version = releases.version(Path())
    if chosen.source is None:
        return _say(version)
    commit, epoch = Repository(Path()).git("log", "-1", "--format=%H %ct", chosen.source).split()
    return _tell(f"version={version}\ntag={releases.tag(version, commit)}\nepoch={epoch}")


@_command()
def _notes(_: argparse.Namespace) -> None:
    """Print the release notes of the version."""
    changelog = Path("CHANGELOG.md").read_text(encoding="utf-8")
    _say(releases.notes(changelog, releases.version(Path())).rstrip())


@_command(_option("result", "its result.json; a missing file is said as well", type=Path))
def _comment(chosen: argparse.Namespace) -> None:
    """Say on a pull request how its rehearsal ended, the run of GitHub's event."""
    # Here alone: it needs what a rehearsal needs, and jobs that hold a key install nothing of that.
    from pipeline import comment  # noqa: PLC0415

    try:
        run = json.loads(Path(_environment("GITHUB_EVENT_PATH")).read_text("utf-8"))["workflow_run"]
    except (OSError, LookupError, TypeError, ValueError, RecursionError):
        raise PipelineError("GITHUB_EVENT_PATH is not the event of a run: see GitHub") from None
    github, url, head = _github(), run["html_url"], run["head_sha"]
    # By GitHub's word: the commit of a fork's branch is in no clone of ours.
    theirs = github.get(f"contents/{REHEARSING}?ref={head}").get("sha")
    if theirs != Repository(Path()).git("rev-parse", f"HEAD:{REHEARSING}"):
        body = comment.untrusted(url)
    elif chosen.result.exists():
        body = comment.render(chosen.result.read_text(encoding="utf-8"), url)
    elif run["conclusion"] == "failure":
        body = comment.missing(url)
    else:
        return _say("its changes needed no rehearsal: nothing to say")
    fork = run["head_repository"] or {"owner": {"login": ""}}  # nothing where it was deleted
    number = github.pull_request(fork["owner"]["login"], run["head_branch"], head)
    if number is None:
        return _say(f"{head} is not the head of an open pull request (any more): nothing to say")
    return _say(github.comment(number, body, comment.MARKER))


@_command()
def _preflight(_: argparse.Namespace) -> int:
    """Compare GitHub's settings with what the workflows need."""
    found = list(preflight.findings(Path(), _github().get))
    _say("\n".join(found) or "GitHub is set up as the workflows need it")
    return program.BAD if found else program.GOOD


@_command(
    _option("--root", "the checkout (.)", type=Path, default=Path(), metavar="DIR"),
    _option(
        "--accept",
        f"first write {trust.FILE}, for review by the security team",
        action="store_true",
    ),
)
def _controls(chosen: argparse.Namespace) -> int:
    """Check workflows, image and policies against the controls."""
    checkout, broken = Checkout(chosen.root), False
    if chosen.accept:
        (chosen.root / trust.FILE).write_text(trust.write(checkout), encoding="utf-8")
    for control in controls.CONTROLS:
        findings = control.check(checkout)
        broken = broken or bool(findings)
        _say(f"{'FAILS' if findings else 'holds'}  {control.row}  {control.sentence}")
        for finding in findings:
            _say(f"       {finding}")
    return program.BAD if broken else program.GOOD


def _github() -> GitHub:
    return GitHub(
        os.environ.get("GITHUB_API_URL", "https://api.github.com"),
        _environment("GITHUB_REPOSITORY"),
        _environment("GITHUB_TOKEN"),
    )


def _environment(name: str) -> str:
    if name not in os.environ:
        raise PipelineError(f"{name} is not set: a workflow sets it")
    return os.environ[name]


def _tell(text: str) -> None:
    """Says it to the steps that come after, too, and to whoever reads the run."""
    _say(text)
    for told in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"):
        with Path(os.environ.get(told, os.devnull)).open("a", encoding="utf-8") as file:
            file.write(text + "\n")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
