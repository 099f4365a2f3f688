"""Which image an environment runs: one commit to its overlay, which Argo CD follows.

What holds, however many do it at once, whoever else pushes, and however often it is repeated:

- a release makes at most one commit for an environment, ever. After a revert, running its workflow
  again does not bring it back: forward is a new commit on main, not an old job;
- an older release never replaces a newer one, also not one that was reverted since;
- nobody else's change is undone: the commit is made on the branch as it stands, of two lines, and a
  push that is not a fast-forward is thrown away and made anew.

What was released is read from the history of the file itself, by the trailers of the commits.
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

ENVIRONMENTS = ("dev", "staging", "production")
SOURCE, DIGEST = "Release-Source", "Release-Digest"

# Against four others that push at the same moment a handful is enough; forty take half a minute.
ATTEMPTS = 40
LONGEST_WAIT_S = 1.0
# A push that fails while the branch does not move is not a race: a rule of the remote refuses it.
REFUSALS = 8


class Action(StrEnum):
    """What came of it."""

    RELEASED = "released"
    ALREADY = "already released"
    SUPERSEDED = "superseded by a newer release"


@dataclass(frozen=True)
class Outcome:
    """What came of it, and the commit that says so: ours, or the one that was there before."""

    action: Action
    commit: str


@dataclass(frozen=True)
class Request:
    """A release for an environment; `after` names one that must run this very digest already."""

    environment: str
    release: Release
    branch: str = "main"
    after: str = ""


@dataclass(frozen=True)
class _Past:
    commit: str
    source: str
    digest: str


def path(environment: str) -> str:
    """Returns the file that pins an environment's image.

    Raises:
        PipelineError: There is no such environment.
    """
    if environment not in ENVIRONMENTS:
        raise PipelineError(f"{environment!r} is no environment: {', '.join(ENVIRONMENTS)}")
    return f"deploy/overlays/{environment}/kustomization.yaml"


def update(
    repository: Repository, request: Request, sleep: Callable[[float], None] = time.sleep
) -> Outcome:
    """Commits the release to the environment's overlay on the remote.

    Raises:
        RefusedError: The release may not go there, or the remote does not take the push.
        PipelineError: The remote, the branch or the overlay cannot be read, or it stayed contended.
    """
    unmoved, refused = "", 0
    for attempt in range(ATTEMPTS):
        head = repository.fetch(request.branch)
        settled = _settled(repository, request, head)
        if settled:
            return settled
        refused = refused + 1 if head == unmoved else 0
        commit = _commit(repository, request, head)
        push = repository.push(commit, request.branch)
        if push.arrived:
            return Outcome(Action.RELEASED, commit)
        if refused >= REFUSALS:
            raise RefusedError(f"{request.branch} did not take the push: {push.reason}")
        unmoved = head
        sleep(random.uniform(0, min(LONGEST_WAIT_S, 0.05 * 2**attempt)))  # noqa: S311 — jitter
    raise PipelineError(
        f"{request.branch} moved {ATTEMPTS} times under the push: run the job again, it is safe"
    )


def promotable(repository: Repository, environment: str, branch: str = "main") -> Release:
    """Returns the release that an environment runs now, from the trailers of its pin.

    Raises:
        PipelineError: The overlay cannot be read.
        RefusedError: What it runs was not put there by a release.
    """
    head = repository.fetch(branch)
    pin = kustomization.read(repository.read(head, path(environment)))
    for past in _releases(repository, head, environment):
        if past.digest == pin.digest:
            return Release(pin.tag.rpartition("-g")[0], past.source, past.digest)
    raise RefusedError(f"{environment} runs {pin.digest or 'nothing'}, which no release put there")


def _settled(repository: Repository, request: Request, head: str) -> Outcome | None:
    """Returns the outcome where there is nothing to do, refuses where nothing may be done."""
    release = request.release
    if not repository.exists(release.source) or not repository.is_ancestor(release.source, head):
        raise RefusedError(
            f"{release.source} is not on {request.branch}: only what is merged ships"
        )
    past = _releases(repository, head, request.environment)
    for done in past:
        if done.source == release.source:
            return _repeated(done, release)
    newer = repository.descendants(release.source, head)
    for done in past:
        if done.source in newer:
            return Outcome(Action.SUPERSEDED, done.commit)
    if request.after:
        _require(repository, request, head)
    if (
        kustomization.read(repository.read(head, path(request.environment))).digest
        == release.digest
    ):
        return Outcome(Action.ALREADY, head)
    return None


def _repeated(done: _Past, release: Release) -> Outcome:
    if done.digest != release.digest:
        raise RefusedError(
            f"{release.source} was released as {done.digest} in {done.commit}, not as "
            f"{release.digest}: an image is built once; release a new commit"
        )
    return Outcome(Action.ALREADY, done.commit)


def _require(repository: Repository, request: Request, head: str) -> None:
    runs = kustomization.read(repository.read(head, path(request.after))).digest
    if runs != request.release.digest:
        raise RefusedError(
            f"{request.after} runs {runs or 'nothing'}, not {request.release.digest}: "
            f"{request.environment} takes only what {request.after} runs"
        )


def _releases(repository: Repository, head: str, environment: str) -> list[_Past]:
    listed = repository.trailers(head, path(environment), (SOURCE, DIGEST))
    return [_Past(*fields) for fields in listed if all(fields)]


def _commit(repository: Repository, request: Request, head: str) -> str:
    file = path(request.environment)
    text = kustomization.write(repository.read(head, file), request.release)
    return repository.commit(head, {file: text}, _message(request))


def _message(request: Request) -> str:
    release = request.release
    return (
        f"Release {release.tag} to {request.environment}\n\n"
        f"{SOURCE}: {release.source}\n{DIGEST}: {release.digest}\n"
    )
