"""The `pipeline` program: each of its commands is one step of a workflow, and runs on a laptop too.

Exit codes: 0 good, 1 findings or refused, 2 the input cannot be used, 4 the machine.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from canary.runtime import program
from pipeline import controls, overlay, preflight, releases, trend, trust
from pipeline.checkout import Checkout
from pipeline.errors import Exit, PipelineError
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


Command = Callable[[argparse.Namespace], int]
# Adds a command by its name, what it runs, and what it does in words.
Add = Callable[[str, Command, str], argparse.ArgumentParser]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; every failure is one line on standard error."""
    return program.run("pipeline", _run, arguments)


def _run(arguments: Sequence[str]) -> int:
    chosen = _parser().parse_args(arguments)
    command: Command = chosen.command
    try:
        return command(chosen)
    except UnicodeDecodeError as wrong:
        raise PipelineError(f"what was given is not UTF-8: {wrong.reason}") from None


def _parser() -> argparse.ArgumentParser:
    text = "The steps of the workflows that are more than a call of make."
    parser = program.parser("pipeline", description=text, epilog=EPILOG)
    commands = parser.add_subparsers(required=True, metavar="command")

    def add(name: str, function: Command, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(command=function)
        return command

    _add_shipping(add)
    _add_checks(add)
    _add_reports(add)
    return parser


def _add_shipping(add: Add) -> None:
    pin = add("pin", _pin, "pin a release on an environment's branch, on the remote")
    _add_environment(pin)
    pin.add_argument("--source", required=True, help="the commit on main it was built from")
    pin.add_argument("--digest", required=True, help="sha256:… of the image")
    pin.add_argument("--version", required=True, help="such as 1.2.3")
    taken = add(
        "candidate", _candidate, "print what a stage may take: what the one before promoted"
    )
    _add_environment(taken)
    now = add("running", _running, "print the release that an environment runs")
    _add_environment(now)
    for command in (taken, now):
        command.add_argument("--run-of", metavar="WORKFLOW", help="and the run that built it")
    there = add("destination", _destination, "print what a rollback would go back to")
    _add_environment(there)
    there.add_argument("--revision", default="", help="a tag or a source commit (the one before)")
    back = add("roll-back", _roll_back, "bring an earlier release of an environment back")
    _add_environment(back)
    back.add_argument("--now", required=True, metavar="COMMIT", help="its branch's, as approved")
    back.add_argument("--to", required=True, metavar="COMMIT", help="an earlier one of the branch")
    version = add("version", _version, "print the one version")
    version.add_argument(
        "--source",
        metavar="COMMIT",
        help="of a build from this commit: its tag and time too, as name=value",
    )
    notes = add("notes", _notes, "print the release notes of the version")
    notes.add_argument("--version", help="another version's")


def _add_checks(add: Add) -> None:
    add("preflight", _preflight, "compare GitHub's settings with what the workflows need")
    checks = add("controls", _controls, "check workflows, image and policies against the controls")
    checks.add_argument("--root", type=Path, default=Path(), metavar="DIR", help="the checkout (.)")
    text = f"write {trust.FILE} for what has rights now: the security team reviews that"
    checks.add_argument("--accept", action="store_true", help=text)


def _add_reports(add: Add) -> None:
    body = add("comment", _comment, "say on a pull request how its rehearsal ended")
    body.add_argument("result", type=Path, help="its result.json; a missing file is said as well")
    body.add_argument("--run-url", required=True, help="the run that has the whole report")
    body.add_argument(
        "--conclusion", required=True, help="the run's: without a result, only failure is said"
    )
    body.add_argument(
        "--workflow", required=True, help="its file: another than ours is not believed"
    )
    body.add_argument("--owner", required=True, help="whose branch it is")
    body.add_argument("--branch", required=True)
    body.add_argument("--head", required=True, help="the commit that was rehearsed")
    night = add("trend", _trend, "add a benchmark's table to its history, and show the last nights")
    night.add_argument("table", type=Path, help="what the benchmark printed")
    night.add_argument(
        "--history", type=Path, required=True, metavar="FILE", help="made if missing"
    )
    night.add_argument("--commit", required=True, help="what was measured")


def _add_environment(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--environment", required=True, choices=overlay.ENVIRONMENTS)
    parser.add_argument("--remote", default="origin", help="(origin)")


def _pin(chosen: argparse.Namespace) -> int:
    release = Release(chosen.version, chosen.source, chosen.digest)
    request = overlay.Request(chosen.environment, release)
    outcome = overlay.update(_repository(chosen), request, _verdict)
    _say(f"{release.tag} for {chosen.environment}: {outcome.action} ({outcome.commit})")
    return Exit.GOOD


def _candidate(chosen: argparse.Namespace) -> int:
    offered = overlay.candidate(_repository(chosen), chosen.environment, _verdict)
    return _say_pinned(offered, chosen.run_of)


def _running(chosen: argparse.Namespace) -> int:
    return _say_pinned(overlay.running(_repository(chosen), chosen.environment), chosen.run_of)


def _say_pinned(pinned: overlay.Pinned, workflow: str | None) -> int:
    release = pinned.release
    _say(f"version={release.version}\nsource={release.source}\ndigest={release.digest}")
    if workflow:
        _say(f"run-id={_github().run_of(workflow, release.source)}")
    return Exit.GOOD


def _destination(chosen: argparse.Namespace) -> int:
    repository, environment = _repository(chosen), chosen.environment
    now, to = overlay.destination(repository, environment, _verdict, chosen.revision)
    _say(f"now={now.commit}\nto={to.commit}\nfrom={now.release.tag}\nback-to={to.release.tag}")
    return Exit.GOOD


def _roll_back(chosen: argparse.Namespace) -> int:
    outcome = overlay.roll_back(_repository(chosen), chosen.environment, chosen.now, chosen.to)
    _say(f"{chosen.environment}: {outcome.action} ({outcome.commit})")
    return Exit.GOOD


def _repository(chosen: argparse.Namespace) -> Repository:
    # The job's own token reads, where the repository is private too; the App's writes as well.
    token = os.environ.get("PUSH_TOKEN") or os.environ.get("GITHUB_TOKEN", "")
    return Repository(Path(), chosen.remote, token)


def _verdict(commit: str, environment: str) -> str:
    """What Argo CD's notifications said of a commit: deploy/argocd/notifications.yaml."""
    context = f"gridos/{Path(overlay.path(environment)).parent}"
    return _github().status(commit, context, _environment("VERDICT_APP"))


def _version(chosen: argparse.Namespace) -> int:
    version = releases.version(Path())
    if chosen.source is None:
        _say(version)
        return Exit.GOOD
    commit, epoch = Repository(Path()).commit_and_time(chosen.source)
    _say(f"version={version}\ntag={releases.tag(version, commit)}\nepoch={epoch}")
    return Exit.GOOD


def _notes(chosen: argparse.Namespace) -> int:
    wanted = chosen.version or releases.version(Path())
    _say(releases.notes(Path("CHANGELOG.md").read_text(encoding="utf-8"), wanted).rstrip())
    return Exit.GOOD


def _comment(chosen: argparse.Namespace) -> int:
    # Here alone: it needs what a rehearsal needs, and jobs that hold a key install nothing of that.
    from pipeline import comment  # noqa: PLC0415

    github, url = _github(), chosen.run_url
    # By GitHub's word: the commit of a fork's branch is in no clone of ours.
    theirs = github.get(f"contents/{chosen.workflow}?ref={chosen.head}").get("sha")
    if theirs != Repository(Path()).blob(chosen.workflow):
        body = comment.untrusted(url)
    elif chosen.result.exists():
        body = comment.render(chosen.result.read_text(encoding="utf-8"), url)
    elif chosen.conclusion == "failure":
        body = comment.missing(url)
    else:
        _say("its changes needed no rehearsal: nothing to say")
        return Exit.GOOD
    number = github.pull_request(chosen.owner, chosen.branch, chosen.head)
    if number is None:
        _say(f"{chosen.head} is not the head of an open pull request (any more): nothing to say")
        return Exit.GOOD
    _say(github.comment(number, body, comment.MARKER))
    return Exit.GOOD


def _trend(chosen: argparse.Namespace) -> int:
    file: Path = chosen.history
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    today = datetime.now(UTC).date().isoformat()
    history = trend.add(before, chosen.table.read_text(encoding="utf-8"), today, chosen.commit)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(history, encoding="utf-8")
    _say(trend.show(history))
    return Exit.GOOD


def _preflight(_: argparse.Namespace) -> int:
    found = list(preflight.findings(Path(), _github().get))
    _say("\n".join(found) or "GitHub is set up as the workflows need it")
    return Exit.FINDINGS if found else Exit.GOOD


def _controls(chosen: argparse.Namespace) -> int:
    checkout, broken = Checkout(chosen.root), False
    if chosen.accept:
        (chosen.root / trust.FILE).write_text(trust.write(checkout), encoding="utf-8")
    for control in controls.CONTROLS:
        findings = list(control.check(checkout))
        broken = broken or bool(findings)
        _say(f"{'FAILS' if findings else 'holds'}  {control.row}  {control.sentence}")
        for finding in findings:
            _say(f"       {finding}")
    return Exit.FINDINGS if broken else Exit.GOOD


def _github() -> GitHub:
    return GitHub(
        os.environ.get("GITHUB_API_URL", "https://api.github.com"),
        _environment("GITHUB_REPOSITORY"),
        _environment("GITHUB_TOKEN"),
    )


def _environment(name: str) -> str:
    try:
        return os.environ[name]
    except KeyError:
        raise PipelineError(f"{name} is not set: a workflow sets it") from None


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
