"""Random interleavings of concurrent overlay updates on real git remotes, and what must hold.

Every round, two to five clones release to one environment at once, among them repeated jobs and
older releases, while people push to main and roll the environment back. A seeded scheduler lets
one of them make one git call at a time, so a round is an arbitrary interleaving of whole git calls,
and the same one for the same seed: commits are dated by the calls before them, since two of one
release by the clock are one commit within a second and two otherwise. A `free` one has the clock.
"""

import itertools
import random
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from pipeline import overlay
from pipeline.errors import RefusedError
from pipeline.releases import Release
from pipeline.repository import Repository

from acceptance.git import GitError, commit, git
from canary.runtime import program

ENVIRONMENT = "dev"
FILE = overlay.path(ENVIRONMENT)
# A new remote now and then keeps histories short.
AT_ONE_REMOTE = 25
BRANCH = overlay.branch(ENVIRONMENT)
START = Path(__file__).with_name("overlay.yaml").read_text("utf-8")


# Waits until its caller may take the next step.
Turn = Callable[[], None]


class Scheduler:
    """Lets one thread take one step at a time, in an order that a seed decides."""

    def __init__(self, chance: random.Random) -> None:
        """Starts with nobody; `chance` picks who goes next."""
        self._chance = chance
        self._condition = threading.Condition()
        self._waiting: set[int] = set()
        self._alive: set[int] = set()
        self._running: int | None = None

    def enter(self, who: int) -> None:
        """Announces a thread before it starts."""
        self._alive.add(who)

    def step(self, who: int) -> None:
        """Ends the thread's last step, and returns when it may take the next."""
        with self._condition:
            self._end(who)
            self._waiting.add(who)
            self._pick()
            self._condition.wait_for(lambda: self._running == who)

    def leave(self, who: int) -> None:
        """Ends the thread's last step for good."""
        with self._condition:
            self._end(who)
            self._alive.discard(who)
            self._pick()

    def _end(self, who: int) -> None:
        if self._running == who:
            self._running = None

    def _pick(self) -> None:
        """Only when all wait: who goes next must not depend on who came first."""
        if self._running is None and self._waiting and self._waiting == self._alive:
            self._running = self._chance.choice(sorted(self._waiting))
            self._waiting.discard(self._running)
            self._condition.notify_all()


class SteppedRepository(Repository):
    """A clone whose every git call waits for its turn."""

    def __init__(self, folder: Path, turn: Callable[[], None], seconds: Iterator[int]) -> None:
        """Takes the clone, what to wait for, and the times of commits."""
        super().__init__(folder)
        self._turn, self._seconds = turn, seconds

    def _try(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        self._turn()
        date = f"{next(self._seconds)} +0000"
        dates = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
        options["environment"] = {**(options.get("environment") or {}), **dates}
        return super()._try(*arguments, **options)


@dataclass
class World:
    """A bare remote, clones of it, and every commit of main that may be released, in order."""

    folder: Path
    clones: list[Path] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    foreign: int = 0

    @classmethod
    def make(cls, folder: Path, clones: int) -> "World":
        """Makes the remote with one overlay, and the clones."""
        remote, person = folder / "remote.git", folder / "person"
        git(folder, "init", "--quiet", "--bare", "--initial-branch=main", str(remote))
        git(folder, "clone", "--quiet", str(remote), str(person))
        git(person, "checkout", "--quiet", "-B", "main")
        (person / FILE).parent.mkdir(parents=True)
        (person / FILE).write_text(START)
        commit(person, "Start")
        git(person, "push", "--quiet", "origin", "HEAD:main")
        world = cls(folder, [folder / f"clone{n}" for n in range(clones)])
        for clone in world.clones:
            git(folder, "clone", "--quiet", str(remote), str(clone))
            git(clone, "config", "user.name", "pipeline")
            git(clone, "config", "user.email", "pipeline@example.com")
        for clone in (person, *world.clones):
            # Relative, so that a copy of them all has a remote of its own.
            git(clone, "config", "remote.origin.url", f"../{remote.name}")
        return world

    def copy(self, folder: Path) -> "World":
        """The same in another folder, where nothing that is done touches this one."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        clones = [folder / clone.name for clone in self.clones]
        return replace(self, folder=folder, clones=clones, sources=[*self.sources])

    @property
    def person(self) -> Path:
        """Somebody's clone."""
        return self.folder / "person"

    def head(self, branch: str = BRANCH) -> str:
        """Where a branch stands on the remote; nothing before its first commit."""
        ref = f"refs/heads/{branch}"
        return git(self.folder / "remote.git", "for-each-ref", "--format=%(objectname)", ref)

    def text(self, commit: str) -> str:
        """The overlay's file at a commit."""
        return git(self.folder / "remote.git", "show", f"{commit}:{FILE}")

    def merge(self, count: int) -> None:
        """Lands changes of the service, each of which is to be released."""
        git(self.person, "pull", "--quiet", "--rebase", "origin", "main")
        for _ in range(count):
            (self.person / "service.txt").write_text(f"{len(self.sources)}\n")
            self.sources.append(commit(self.person, f"Change {len(self.sources)}"))
        git(self.person, "push", "--quiet", "origin", "HEAD:main")

    def release(self, index: int) -> Release:
        """The release of one of the sources."""
        return Release("1.0.0", self.sources[index], f"sha256:{index + 1:064x}")


@dataclass
class Round:
    """What a round asked for and what came of it."""

    outcomes: list[tuple[Release, overlay.Outcome]] = field(default_factory=list)
    rollbacks: list[tuple[overlay.Pinned, overlay.Pinned, overlay.Outcome]] = field(
        default_factory=list
    )
    foreign: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    seconds: Iterator[int] = field(default_factory=lambda: itertools.count(1_700_000_000))


def play(world: World, seed: int, *, free: bool) -> Round:
    """Runs one round: releases at once, with people in between."""
    chance = random.Random(seed)
    world.merge(chance.randint(1, 3))
    done, scheduler = Round(), Scheduler(random.Random(seed + 1))
    actors: list[tuple[int, Callable[[Turn], None]]] = []
    for number in range(chance.randint(2, 5)):
        # The newest mostly, at times an older one or the same again: late and repeated jobs.
        index = max(0, len(world.sources) - 1 - min(int(chance.expovariate(0.8)), 4))
        actors.append((number, partial(_release, world, number, index, done)))
    if chance.random() < 0.7:
        kind = chance.choice(("replicas", "document", "rollback"))
        by_hand = partial(_push, world, kind, done)
        actors.append((90, partial(_roll_back, world, done) if kind == "rollback" else by_hand))
    for who, _ in actors:
        scheduler.enter(who)
    with program.threads(len(actors)) as pool:
        for who, act in actors:
            delay_s = chance.uniform(0, 0.05) * free
            turn = _now if free else partial(scheduler.step, who)
            pool.submit(_run, act, turn, scheduler, who, done, delay_s)
        pool.shutdown()
    return done


def _now() -> None:
    """Whose turn it is that waits for nobody."""


def _run(
    act: Callable[[Turn], None],
    turn: Turn,
    scheduler: Scheduler,
    who: int,
    done: Round,
    delay_s: float,
) -> None:
    time.sleep(delay_s)
    try:
        act(turn)
    except Exception as cause:  # noqa: BLE001 — a round reports every failure with its seed
        done.failures.append(f"{who}: {cause!r}")
    finally:
        scheduler.leave(who)


def _release(world: World, number: int, index: int, done: Round, turn: Turn) -> None:
    release = world.release(index)
    repository = SteppedRepository(world.clones[number], turn, done.seconds)
    outcome = overlay.update(repository, ENVIRONMENT, release, promoted, sleep=_sleep)
    done.outcomes.append((release, outcome))


def _sleep(seconds: float) -> None:
    time.sleep(seconds / 20)


def promoted(_commit: str, _environment: str) -> str:
    """Argo CD's verdict, where every release was promoted."""
    return overlay.PROMOTED


def _roll_back(world: World, done: Round, turn: Turn) -> None:
    """Somebody looks what runs and what ran before, and then has it brought back."""
    repository = SteppedRepository(world.person, turn, done.seconds)
    try:
        now, to = overlay.destination(repository, ENVIRONMENT, promoted)
        outcome = overlay.roll_back(repository, ENVIRONMENT, now.commit, to.commit, sleep=_sleep)
    except RefusedError:  # nothing to go back to, or a release came in between
        return
    done.rollbacks.append((now, to, outcome))


def _push(world: World, kind: str, done: Round, turn: Turn) -> None:
    """A person rebases until the push goes through, as people do."""
    world.foreign += 1
    for _ in range(60):
        turn()
        git(world.person, "fetch", "--quiet", "origin", "main")
        git(world.person, "reset", "--quiet", "--hard", "FETCH_HEAD")
        _change(world, kind)
        turn()
        try:
            git(world.person, "push", "--quiet", "origin", "HEAD:main")
        except GitError:
            continue
        done.foreign.append(git(world.person, "rev-parse", "HEAD"))
        return
    raise RuntimeError("a person never got through")


def _change(world: World, kind: str) -> None:
    file = world.person / FILE
    if kind == "replicas":
        text = file.read_text()
        file.write_text(f"{text[: text.rindex('count:')]}count: {5 + world.foreign}\n")
    else:
        (world.person / "notes.txt").write_text(f"{world.foreign}\n")
    commit(world.person, f"By hand {world.foreign}")


def judge(world: World, before: str, done: Round) -> list[str]:
    """Returns what did not hold: lost updates, undone foreign changes, doubled commits."""
    wrong = list(done.failures)
    head, main = world.head(), world.head("main")
    remote = world.folder / "remote.git"
    new = f"{before}..{head}" if before else head
    history = git(remote, "rev-list", "--reverse", new).split()
    made = [*(o.commit for _, o in done.outcomes), *(o.commit for _, _, o in done.rollbacks)]
    wrong += [
        f"{commit} is lost from {branch}"
        for branch, at, commits in ((BRANCH, head, made), ("main", main, done.foreign))
        for commit in commits
        if not Repository(remote).is_ancestor(commit, at)  # nothing in common is lost too
    ]
    wrong += _judge_outcomes(world, done)
    wrong += [w for commit in history for w in _judge_commit(world, commit)]
    wrong += _judge_sources(world, head)
    return wrong


def _judge_outcomes(world: World, done: Round) -> list[str]:
    """A release that was asked for is there, or a newer one is."""
    wrong = []
    for release, outcome in done.outcomes:
        source = _source(world, outcome.commit)
        if outcome.action is overlay.Action.SUPERSEDED:
            if world.sources.index(source) <= world.sources.index(release.source):
                wrong.append(f"{release.tag} gave way to an older one, {source}")
        elif source != release.source:
            wrong.append(f"{release.tag} is reported as {outcome.commit}, which is not it")
    for _, to, outcome in done.rollbacks:
        if world.text(outcome.commit) != world.text(to.commit):
            wrong.append(f"{outcome.commit} is not what {to.commit} was")
    return wrong


def _judge_commit(world: World, commit: str) -> list[str]:
    """What runs are the source's manifests, but for two lines of one file."""
    source = _source(world, commit)
    remote = world.folder / "remote.git"
    stat = git(remote, "diff", "--numstat", source, commit, "--", overlay.MANIFESTS).split()
    return [] if stat == ["2", "2", FILE] else [f"{commit} changes {stat} of {source}"]


def _judge_sources(world: World, head: str) -> list[str]:
    """Over the whole history: each source released once, and in the order of main."""
    remote = world.folder / "remote.git"
    form = "--format=%(trailers:key=Release-Source,valueonly)"
    listed = git(remote, "log", "--reverse", "--grep=^Release ", form, head)
    order = [world.sources.index(source) for source in listed.split()]
    if order != sorted(set(order)):
        return [f"sources were released in the order {order[-6:]}"]
    return []


def _source(world: World, commit: str) -> str:
    remote = world.folder / "remote.git"
    return git(remote, "show", "-s", "--format=%(trailers:key=Release-Source,valueonly)", commit)


def play_all(folder: Path, seeds: range, *, free: bool = False) -> tuple[list[str], Counter[str]]:
    """What did not hold in the first round that broke, and what all rounds were made of."""
    seen: Counter[str] = Counter()
    for number, seed in enumerate(seeds):
        if number % AT_ONE_REMOTE == 0:
            place = folder / f"rounds-{number}"
            place.mkdir()
            world = World.make(place, clones=5)
        before = world.head()
        done = play(world, seed, free=free)
        if wrong := judge(world, before, done):
            return [f"seed {seed}", *wrong], seen
        seen.update(str(outcome.action) for _, outcome in done.outcomes)
        seen.update(str(outcome.action) for *_, outcome in done.rollbacks)
        seen["changes by people"] += len(done.foreign)
    return [], seen
