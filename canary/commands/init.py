"""`canary init`: a first rehearsal.yaml and a locustfile for a repository."""

import argparse
from pathlib import Path

from canary.argo import manifests
from canary.commands import options
from canary.errors import UsageError
from canary.rehearse import config_files, draft, plan, scraping

EPILOG = """\
It reads the manifests of the one Rollout that it finds, what the repository is built with (Go,
npm, pnpm, Yarn, uv, pip, Maven, Gradle, Cargo), what its Dockerfile runs, and an OpenAPI document
or the routes in the sources; it runs nothing.
What is guessed says so in the file, and what is still open is listed at the end.

exit codes:
  0 written   2 there is no Rollout, or more than one and none is named; or the file is there

examples:
  canary init                              in the repository of the service
  canary init --manifests deploy/overlays/production
  canary rehearse --candidate my-branch    the next step
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The manifests, and the repository."""
    parser.add_argument(
        "--manifests",
        type=Path,
        metavar="PATH",
        help="the manifests of the Rollout (those of the only one that is found)",
    )
    parser.add_argument(
        "--rollout", metavar="NAME", help="which one, if the manifests hold several"
    )
    parser.add_argument(
        "--repository",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="the repository to look at (this folder)",
    )


def run(chosen: argparse.Namespace) -> int:
    """Writes the two files and says what they leave open."""
    file = chosen.repository / config_files.CONFIG
    if file.exists():
        raise UsageError(f"{file} is already there", "remove it to begin anew")
    made = draft.draft(chosen.repository, chosen.manifests, chosen.rollout)
    users = chosen.repository / draft.LOCUSTFILE
    if not users.exists():
        users.write_text(made.locustfile(), encoding="utf-8")
        options.say(f"wrote {users} (requests: {len(made.tasks)}, from {made.routes or 'a probe'})")
        if not made.routes:
            options.say(f"still open: no route was found in the sources: write yours into {users}")
    file.write_text(made.rehearsal(), encoding="utf-8")
    options.say(f"wrote {file}")
    if not made.build:
        options.say(f"still open: {_unbuilt(chosen.repository, made.source)}")
    for asked in made.open:
        options.say(f"still open: {asked}")
    try:
        build = plan.take(file, None)
        for left in plan.refusals(build, file, {}):
            options.say(f"still open: {left}")
        rollout, _ = manifests.judged(build.bundle, {})
        for doubt in scraping.elsewhere(rollout, build.bundle):
            options.say(f"to check: {doubt}")
    except UsageError as left:
        options.say(f"still open: {left}")
    options.say("next: read it, commit, and release a branch: canary rehearse --candidate BRANCH")
    return 0


def _unbuilt(repository: Path, manifests: Path) -> str:
    """What nothing in the repository says, and where it may be said."""
    own = draft.built_below(repository, manifests)
    if own is None:
        return "`build`, since nothing that is known here says how the program is built"
    return (
        f"`build`: the service's own folder seems to be {repository / own}; with --repository"
        f" {repository / own} both files are written there"
    )
