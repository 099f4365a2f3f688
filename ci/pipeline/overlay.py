"""Which release an environment runs: a branch of its own, which Argo CD follows.

`environments/<name>` has a commit for each release: deploy/ as it is in the commit on main that was
built, its image pinned by digest, and nothing else. Manifests and image ship together, main has
none of these commits, and going back is a commit too. Nobody but the pipeline's App may push there.

What holds, however many do it at once and however often it is repeated:

- a release makes at most one commit for an environment, ever. After a rollback, running its job
  again does not bring it back: forward is a new commit on main, not an old job;
- an older release never replaces a newer one, also not one that was rolled back since;
- a stage takes only what the stage before runs now, and has promoted;
- a push that is not a fast-forward is thrown away and made anew.

What was released is read from the trailers of the branch's commits.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from pipeline import kustomization
from pipeline.errors import PipelineError, RefusedError
from pipeline.releases import Release
from pipeline.repository import Repository

# In the order of their stages.
ENVIRONMENTS = ("dev", "staging", "production")
MAIN = "main"
MANIFESTS = "deploy"
SOURCE, DIGEST, VERSION = "Release-Source", "Release-Digest", "Release-Version"
PROMOTED = "success"

# Against four others that push at the same moment a handful is enough; forty take half a minute.
ATTEMPTS = 40
MAX_WAIT_S = 1.0
# A push that fails while the branch does not move is not a race: a rule of the remote refuses it.
REFUSALS = 8

# The state of a commit of an environment's branch, as Argo CD reported it; empty for none yet.
Verdict = Callable[[str, str], str]


class Action(StrEnum):
    """What came of it."""

    RELEASED = "released"
    ALREADY = "already released"
    SUPERSEDED = "superseded by a newer release"
    ROLLED_BACK = "rolled back"


@dataclass(frozen=True)
class Outcome:
    """What came of it, and the commit that says so: ours, or the one that was there before."""

    action: Action
    commit: str


@dataclass(frozen=True)
class Pinned:
    """A commit of an environment's branch, and the release it runs."""

    commit: str
    release: Release


def path(environment: str) -> str:
    """Returns the file that pins an environment's image."""
    return f"{MANIFESTS}/overlays/{environment}/kustomization.yaml"


def branch(environment: str) -> str:
    """Returns the branch that Argo CD follows there."""
    return f"environments/{environment}"


def before(environment: str) -> str:
    """Returns the stage before; empty for the first."""
    stage = ENVIRONMENTS.index(environment)
    return ENVIRONMENTS[stage - 1] if stage else ""


def update(
    repository: Repository,
    environment: str,
    release: Release,
    verdict: Verdict,
    sleep: Callable[[float], None] = time.sleep,
) -> Outcome:
    """Commits a release to the environment's branch on the remote.

    Raises:
        RefusedError: The release may not go there, or the remote does not take the push.
        PipelineError: The remote or the overlay cannot be read, or the branch stayed contended.
    """

    def settle(head: str) -> Outcome | str:
        if settled := _settled(repository, release, head):
            return settled
        if stage := before(environment):
            offered = candidate(repository, environment, verdict).release.digest
            if offered != release.digest:
                raise RefusedError(
                    f"{stage} runs {offered}, not {release.digest}: "
                    f"{environment} takes only what {stage} runs"
                )
        file = path(environment)
        text = kustomization.write(repository.read(release.source, file), release)
        tree = repository.changed(release.source, MANIFESTS, file, text)
        message = _message(f"Release {release.tag} to {environment}", release)
        return repository.commit(tree, head, message)

    return _push(repository, environment, Action.RELEASED, settle, sleep)


def running(repository: Repository, environment: str) -> Pinned:
    """Returns what an environment runs now.

    Raises:
        RefusedError: Nothing was released to it yet.
    """
    for pinned in _history(repository, repository.fetch(branch(environment))):
        return pinned
    raise RefusedError(f"nothing was released to {environment} yet")


def candidate(repository: Repository, environment: str, verdict: Verdict) -> Pinned:
    """Returns what a stage may take: what the stage before runs, once that promoted it.

    Raises:
        RefusedError: There is no stage before, or it has promoted nothing.
    """
    stage = before(environment)
    if not stage:
        raise RefusedError(f"{environment} is the first stage: a commit on main is released to it")
    pinned = running(repository, stage)
    state = verdict(pinned.commit, stage)
    if state != PROMOTED:
        raise RefusedError(
            f"{stage} has not promoted {pinned.release.tag}: Argo CD reported "
            f"{state or 'nothing'} for {pinned.commit}"
        )
    return pinned


def destination(
    repository: Repository, environment: str, verdict: Verdict, wanted: str = ""
) -> tuple[Pinned, Pinned]:
    """Returns what an environment runs, and what to go back to, which was promoted there.

    That is the newest release before it, or the one `wanted`: the beginning of its source commit,
    or its tag.

    Raises:
        RefusedError: No such release was promoted there.
    """
    repository.fetch(MAIN)  # the sources, of which the branch has the files and not the commits
    now = running(repository, environment)
    past = _history(repository, now.commit)
    for pinned in past:
        release = pinned.release
        if wanted:
            named = wanted == release.tag or release.source.startswith(wanted)
        else:  # not one that somebody has rolled back from
            named = repository.is_ancestor(release.source, now.release.source)
        if named and release != now.release and verdict(pinned.commit, environment) == PROMOTED:
            return now, pinned
    which = f"another release {wanted}" if wanted else f"a release before {now.release.tag}"
    raise RefusedError(f"{environment} has not promoted {which}: git log {branch(environment)}")


def roll_back(
    repository: Repository,
    environment: str,
    now: str,
    to: str,
    sleep: Callable[[float], None] = time.sleep,
) -> Outcome:
    """Commits an earlier commit's tree, release and manifests, on top of the environment's branch.

    `now` is the commit that it runs, as whoever approved has seen it, and `to` the earlier one.

    Raises:
        RefusedError: The environment runs something else by now, or `to` is not of its past.
    """

    def settle(head: str) -> Outcome | str:
        history = {p.commit: p for p in _history(repository, head)}
        if to not in history:
            raise RefusedError(f"{to} is not a release of {environment}")
        if head != now and history[head].release == history[to].release:
            return Outcome(Action.ALREADY, head)
        if head != now:
            raise RefusedError(f"{environment} runs {head} by now, not {now}: look again")
        release = history[to].release
        message = _message(f"Roll {environment} back to {release.tag}", release)
        return repository.commit(f"{to}^{{tree}}", head, message)

    return _push(repository, environment, Action.ROLLED_BACK, settle, sleep)


def _push(
    repository: Repository,
    environment: str,
    action: Action,
    settle: Callable[[str], Outcome | str],
    sleep: Callable[[float], None],
) -> Outcome:
    name = branch(environment)
    unmoved, refused = "none yet", 0
    for attempt in range(ATTEMPTS):
        head = repository.fetch(name)
        settled = settle(head)
        if isinstance(settled, Outcome):
            return settled
        refused = refused + 1 if head == unmoved else 0
        reason = repository.push(settled, name)
        if not reason:
            return Outcome(action, settled)
        if refused >= REFUSALS:
            raise RefusedError(f"{name} did not take the push: {reason}")
        unmoved = head
        sleep(random.uniform(0, min(MAX_WAIT_S, 0.05 * 2**attempt)))  # noqa: S311 — jitter
    raise PipelineError(
        f"{name} moved {ATTEMPTS} times under the push: run the job again, it is safe"
    )


def _settled(repository: Repository, release: Release, head: str) -> Outcome | None:
    """Returns the outcome where there is nothing to do, refuses where nothing may be done."""
    main = repository.fetch(MAIN)
    if not repository.is_ancestor(release.source, main):
        raise RefusedError(f"{release.source} is not on {MAIN}: only what is merged ships")
    past = _history(repository, head)
    for done in past:
        if done.release.source == release.source:
            if done.release.digest != release.digest:
                raise RefusedError(
                    f"{release.source} was released as {done.release.digest} in {done.commit}, not "
                    f"as {release.digest}: an image is built once; release a new commit"
                )
            return Outcome(Action.ALREADY, done.commit)
    newer = repository.descendants(release.source, main)
    return next(
        (Outcome(Action.SUPERSEDED, p.commit) for p in past if p.release.source in newer), None
    )


def _history(repository: Repository, head: str) -> list[Pinned]:
    """What an environment ran, newest first."""
    listed = repository.trailers(head, (VERSION, SOURCE, DIGEST)) if head else []
    return [Pinned(commit, Release(*fields)) for commit, *fields in listed if all(fields)]


def _message(subject: str, release: Release) -> str:
    return (
        f"{subject}\n\n{VERSION}: {release.version}\n"
        f"{SOURCE}: {release.source}\n{DIGEST}: {release.digest}\n"
    )
