"""What is rehearsed, and how: everything that is settled before anything is started.

The release pair, stable and candidate, is this checkout or the git references of a caller.
"""

import hashlib
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from canary import faults
from canary.argo import events, manifests
from canary.argo.events import Event, Kind
from canary.argo.manifests import Bundle
from canary.argo.model import Hashes, Pause, Rollout, SetCanaryScale
from canary.errors import UsageError
from canary.faults import Fault, FaultError
from canary.rehearse import (
    alerts,
    gaps,
    ingress,
    meter,
    programs,
    providers,
    scraping,
    time_compression,
    worktrees,
)
from canary.rehearse import config as configuration
from canary.rehearse.config import Config
from canary.rehearse.config_files import config_in
from canary.rehearse.environment import fill
from canary.rehearse.programs import OWN_PROGRAMS
from canary.rehearse.rates import Rates
from canary.rehearse.replica_sets import ALPHABET
from canary.rehearse.worktrees import WORKTREE, Reference
from canary.runtime import documents, helm
from canary.yamls import Document

CACHE = Path("out/references")
DEFAULT_STABLE = "main"
HERE = Path()

Say = Callable[[str], None]


@dataclass(frozen=True)
class Build:
    """Stable or candidate: what it ships, and where its programs are.

    `folder` is the one of its rehearsal.yaml, and `out` that of what was built. `name` is what a
    person calls it and `commit` the git commit it was built from; both are empty where both are
    this checkout, which differ only by a fault.
    """

    bundle: Bundle
    config: Config
    config_file: Path
    folder: Path
    out: Path | None = None
    name: str = ""
    commit: str = ""

    @property
    def programs(self) -> Path:
        """Where its programs are found first."""
        return self.out / "bin" if self.out else OWN_PROGRAMS

    @property
    def locustfile(self) -> Path | None:
        """The users of its own, if they are no mere `requests`."""
        own = self.config.traffic.locustfile
        if own is None:
            return None
        # Beside the file, which need not be committed, unless the reference has one.
        places = (self.folder / own, self.config_file.absolute().parent / own)
        return next(place for place in places if place.is_file())

    def command(self, words: Sequence[str]) -> list[str]:
        """A command of its file, with the path of its program.

        Raises:
            UsageError: if it is not installed.
        """
        places = {"out": str(self.out)} if self.out else {}
        return programs.local_command([fill(w, places) for w in words], self.programs, self.folder)

    def __str__(self) -> str:
        """As a person would name it."""
        return f"{self.name} ({self.commit[:8]})" if self.commit else "this checkout"


def choose(
    stable: str | None,
    candidate: str | None,
    config: Path | None,
    deploy: Path | None,
    say: Say,
    without: Collection[str] = (),
    given: Mapping[str, str] | None = None,
    rules: Path | None = None,
) -> tuple[Build, Build]:
    """Stable and candidate: this checkout, or the two references.

    Args:
        stable: The git reference that users have; None is `main` if a candidate is named.
        candidate: The git reference to release; None is this checkout if a stable one is named.
        config: A rehearsal.yaml for both; None is each one's own.
        deploy: Manifests for the candidate; None is what its rehearsal.yaml names.
        say: Is told what takes long.
        without: The names of metrics that are not to be judged.
        given: Arguments of the gates that are judged on this machine; None judges none.
        rules: A folder of rule files that are evaluated.

    Raises:
        UsageError: if a reference, a file or a manifest cannot be used.
        MachineError: if a reference cannot be built.
    """
    file = config or config_in(HERE)
    if stable is None and candidate is None:
        own = take(config, deploy, without=without)
        _accept(own, file, given, rules)
        if own.config.build is None or own.config.build.checkout_is_built:
            return own, own
        references = _References(file, config, say, without)
        built = references.build(references.repository.resolve(WORKTREE), deploy, given, rules)
        return (replace(built, name="", commit=""),) * 2
    references = _References(file, config, say, without)
    # Both before either is built, which takes long.
    before = references.repository.resolve(DEFAULT_STABLE if stable is None else stable)
    after = references.repository.resolve(WORKTREE if candidate is None else candidate)
    return references.build(before, None, None, None), references.build(after, deploy, given, rules)


class _References:
    """The repository of a rehearsal.yaml, and how its references become builds.

    Each is read by the rehearsal.yaml that it holds itself, unless one was `given`, and by the
    checkout's where it holds none.
    """

    def __init__(self, file: Path, given: Path | None, say: Say, without: Collection[str]) -> None:
        self._file, self._given, self._say, self._without = file, given, say, without
        root = worktrees.root(file.parent) or worktrees.root(HERE) or HERE
        self.repository = worktrees.Repository(root, CACHE)
        try:
            self._within = file.parent.resolve().relative_to(root.resolve())
        except ValueError:  # the file lies elsewhere
            self._within = HERE

    def build(
        self,
        reference: Reference,
        deploy: Path | None,
        given: Mapping[str, str] | None,
        rules: Path | None,
    ) -> Build:
        tree = self.repository.check_out(reference)
        held = tree / self._within / self._file.name
        file = self._file if self._given or not held.is_file() else held
        # Manifests of another repository lie beside the checkout.
        roots = (tree, self._file.parent)
        found = take(file, deploy, tree / self._within, roots, self._without)
        _accept(found, f"{self._file} of {reference.name}", given, rules)
        commands = found.config.build
        if commands is None and file == held and self._file.is_file():
            # A commit from before its file said how it is built.
            commands = configuration.read(self._file).build
        out = commands and self.repository.build(reference, str(self._within), commands, self._say)
        return replace(
            found,
            # Without commands of its own, its programs are files of it, or others on PATH.
            out=out or tree,
            name=reference.title if reference.name == WORKTREE else reference.name,
            commit=reference.commit,
        )


def _accept(
    build: Build, file: object, given: Mapping[str, str] | None, rules: Path | None
) -> None:
    """Refuses what cannot be rehearsed, all at once; its gates too if they are judged here.

    Raises:
        UsageError: with everything that stands in the way.
    """
    if wrong := list(refusals(build, file, given, rules)):
        raise UsageError(manifests.listing(wrong))


def refusals(
    build: Build, file: object, given: Mapping[str, str] | None, rules: Path | None = None
) -> Iterator[str]:
    """All that stands in the way of a release, the gates' part unless they are not judged here."""
    bundle, asked = build.bundle, []
    yield from bundle.refused
    if given is not None:
        rollout, unresolved = manifests.judged(bundle, given)
        yield from unresolved
        evaluated = build.config.alerts is not None and any(alerts.asked(rollout))
        yield from meter.refusals(bundle, rollout, rules=evaluated or rules is not None)
        yield from scraping.refusals(rollout, bundle)
        asked = list(providers.unanswered(rollout, bundle, build.config))
    yield from gaps.refusals(bundle, build.config, file, asked)


def read(config: Path | None, deploy: Path | None, without: Collection[str] = ()) -> Build:
    """What a rehearsal.yaml ships, by the manifests that it names unless others are.

    Args:
        config: The file; None is the one of this folder.
        deploy: Manifests instead of those that it names.
        without: The names of metrics that are not to be judged.

    Raises:
        UsageError: if a file or a manifest cannot be used.
    """
    found = take(config, deploy, without=without)
    if found.bundle.refused:
        raise UsageError(manifests.listing(found.bundle.refused))
    return found


def take(
    config: Path | None,
    deploy: Path | None,
    folder: Path | None = None,
    roots: Sequence[Path] = (HERE,),
    without: Collection[str] = (),
) -> Build:
    """The same with what is not supported.

    Args:
        config: As above.
        deploy: As above.
        folder: What its paths are relative to, if not its own folder.
        roots: What the path of the manifests is relative to if there is none in `folder`.
        without: As above.

    Raises:
        UsageError: if too little is left.
    """
    file = config or config_in(HERE)
    found = configuration.read(file)
    folder = folder or file.parent
    bases = (folder, file.parent, *roots)
    source = deploy or _place(found.manifests, *bases)
    own, others = _objects(found, source, folder), tuple(_elsewhere(found, *bases))
    bundle = manifests.take(own, str(source), without, others)
    return Build(bundle, found, file, folder.absolute())


def shipped(config: Path | None) -> tuple[Path, Sequence[Document]]:
    """The manifests that a rehearsal.yaml names, and what they hold; None is this folder's.

    Raises:
        UsageError: if a file cannot be used.
    """
    file = config or config_in(HERE)
    found = configuration.read(file)
    source = _place(found.manifests, file.parent, HERE)
    own = _objects(found, source, file.parent)
    return source, (*own, *_elsewhere(found, file.parent, HERE))


def _objects(found: Config, source: Path, folder: Path) -> Iterator[Document]:
    """What the manifests hold, without the Rollouts that are another service's."""
    for document in documents.read(source, release(found, folder)):
        named = "", document.name, document.qualified
        if document.kind != "Rollout" or found.rollout in named:
            yield document


def _elsewhere(found: Config, *bases: Path) -> Iterator[Document]:
    """What it needs of other manifests; their Rollouts are other services'."""
    for path in found.also:
        yield from (d for d in documents.read(_place(path, *bases)) if d.kind != "Rollout")


def release(found: Config, folder: Path) -> helm.Release:
    """What a chart is rendered with; the values' files lie in a folder."""
    values = tuple(folder / file for file in found.helm.values)
    return helm.Release(values, found.helm.name, found.helm.namespace)


def _place(path: Path, *bases: Path) -> Path:
    """Where manifests are: below the first of these folders that has them."""
    places = [Path(os.path.normpath(base / path)) for base in bases]
    return next((place for place in places if place.exists()), places[0])


@dataclass(frozen=True)
class Choices:
    """What the caller may choose; `rate` is requests a second, nothing for what the gates need.

    `port` is the gateway's on this machine, or any free one; `rules` a folder of rule files that
    the run's Prometheus evaluates as well. `image` is the candidate's on a cluster, if it is not
    the overlay's own; `url` the gateway's address there, or nothing for a port-forward.
    `alerts` has the platform's alerts watched although no gate asks for them.
    `promote_s` is how long a step that waits for a person waits; None is for ever.
    """

    time_scale: float
    faults: tuple[str, ...] = ()
    arguments: tuple[tuple[str, str], ...] = ()
    rate: float | None = None
    without: frozenset[str] = frozenset()
    port: int | None = None
    rules: Path | None = None
    alerts: bool = False
    image: str = ""
    url: str = ""
    promote_s: float | None = 0.0
    events: tuple[Event, ...] = ()
    without_metrics: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """A rehearsal to be run; `rollout` is at real durations, `scaled` as it is rehearsed.

    The candidate's manifests decide how the release is stepped and what judges it, as they would
    once Argo CD has applied them.
    """

    id: str
    command: str
    stable: Build
    candidate: Build
    choices: Choices
    rollout: Rollout
    rates: Rates

    @property
    def bundle(self) -> Bundle:
        """The manifests that decide."""
        return self.candidate.bundle

    @property
    def config(self) -> Config:
        """The candidate's fakes, and the traffic of the stable release's users."""
        traffic = self.stable.config.traffic
        return self.candidate.config.model_copy(update={"traffic": traffic})

    @cached_property
    def scaled(self) -> Rollout:
        """The Rollout at the rehearsal's time scale."""
        return time_compression.scale(self.rollout, self.choices.time_scale)

    @cached_property
    def hashes(self) -> Hashes:
        """The pod-template hashes, as long as Argo's; the same for the same builds and faults."""
        latest = "latest" + _identity(self.candidate) + ",".join(self.choices.faults)
        return Hashes(latest=_hash(latest), stable=_hash("stable" + _identity(self.stable)))

    @property
    def rate(self) -> float:
        """Requests a second that users are to send."""
        return 0.0 if self.without_traffic else self.rates.wanted

    @property
    def without_traffic(self) -> bool:
        """Whether nobody comes."""
        return "traffic" in self.choices.without

    @property
    def fault_variables(self) -> Mapping[str, str]:
        """What makes the candidate's pods faulty."""
        words, known = pod_words(self.choices.faults), self.config.faults
        return {known.variable: ",".join(words)} if words and known else {}

    @cached_property
    def outage(self) -> Fault | None:
        """When the database of stable and candidate alike is away, if it is to be."""
        words = filter(faults.is_world, _words(self.choices.faults))
        return next(iter(faults.parse(",".join(words)).named("database-down")), None)

    @cached_property
    def other_gates(self) -> Rollout | None:
        """What judges the stable release's releases, where the candidate brings other gates."""
        if not self.candidate.commit:
            return None
        before, after = (manifests.rollout(side.bundle) for side in (self.stable, self.candidate))
        return before if before.analyses != after.analyses else None

    @property
    def changes(self) -> Iterator[str]:
        """What a reader of the verdict must know: what else changes than the code."""
        before, after = self.stable.bundle, self.candidate.bundle
        if before.templates != after.templates:
            yield "the gates: the candidate's gates judge this release, as on a cluster"
        if before.rollout.spec.strategy != after.rollout.spec.strategy:
            yield "the steps: this release runs the candidate's steps"
        if before.rollout.spec.template != after.rollout.spec.template:
            yield "the pod template: each release runs with its own"
        if before.config_maps != after.config_maps:
            yield "the configuration: each release runs with its own"

    @cached_property
    def events(self) -> tuple[Event, ...]:
        """What happens during the release, at the rehearsal's time scale."""
        found = [*map(events.parse, self.config.events), *self.choices.events]
        if "prometheus" in self.choices.without:
            found.append(_prometheus_stops(self.rollout))
        factor = self.choices.time_scale
        return tuple(replace(event, after_s=event.after_s / factor) for event in found)

    @property
    def most_replicas(self) -> int:
        """The largest number of replicas that anybody asks for, an event or a step."""
        asked = [int(e.number) for e in self.events if e.kind is Kind.REPLICAS]
        usual = max([self.rollout.replicas, *asked])
        scaled = [s for s in self.rollout.steps if isinstance(s, SetCanaryScale)]
        by_weight = [-(-(s.weight or 0) * usual // self.rollout.max_weight) for s in scaled]
        return max([usual, *by_weight, *(s.replicas or 0 for s in scaled)])

    @property
    def second_hash(self) -> str:
        """The pod-template hash of a release that replaces the candidate before its end."""
        return _hash("second" + self.hashes.latest)

    @property
    def edge_delay_s(self) -> float | None:
        """How long the edge sends requests to a pod that died; None where no Ingress says it."""
        return ingress.learns_after_s(self.bundle.documents)

    @property
    def assumptions(self) -> Iterator[str]:
        """What the verdict takes for granted, since no manifest says it."""
        for index, step in enumerate(self.rollout.steps):
            if isinstance(step, Pause) and step.manual:
                when = f"after {step.duration_s:g} s" if step.duration_s else "at once"
                yield f"step {index} needs a manual promotion: promoted {when} (--promote)"
        for name in self.choices.without_metrics:
            yield f"metric {name} is not judged (--without-metric)"
        yield from scraping.elsewhere(self.rollout, self.bundle)
        if self.edge_delay_s is None:
            yield "the edge notices a dead pod at once, because no Ingress sets a health probe"
        else:
            yield (
                f"the edge notices a dead pod after {self.edge_delay_s:g} s, by the "
                "Ingress's health probe; this is not scaled"
            )

    def __str__(self) -> str:
        """The release in a few words."""
        fault = ", ".join(self.choices.faults)
        if not self.candidate.commit:
            return fault or "a healthy release"
        return f"{self.candidate} over {self.stable}" + (f" with {fault}" if fault else "")


def make(stable: Build, candidate: Build, choices: Choices, command: str) -> Plan:
    """Plans a rehearsal.

    Raises:
        UsageError: if a gate cannot be resolved, or a fault is unknown.
    """
    rollout = manifests.rollout(candidate.bundle, dict(choices.arguments))
    if choices.promote_s is not None:
        promoted = Pause(choices.promote_s, manual=True)
        steps = tuple(promoted if step == Pause(None) else step for step in rollout.steps)
        rollout = replace(rollout, steps=steps)
    programs.check_faults(candidate.config.faults, pod_words(choices.faults), candidate.programs)
    check_reach(choices.faults, stable.config)
    happening = (*map(events.parse, candidate.config.events), *choices.events)
    check_events(happening, rollout, stable.config)
    firing = [event.value for event in happening if event.kind is Kind.ALERT]
    alerts.check(rollout, candidate.config_file, candidate.config.alerts, firing)
    rates = _rates(stable, rollout, choices.time_scale)
    if choices.rate:
        # What a caller names is sent, or nothing is.
        rates = Rates(choices.rate, choices.rate)
    named = [candidate.name] if candidate.commit else []
    words = "-".join([*named, *choices.faults]).replace("%", "pct") or "healthy"
    slug = re.sub(r"[^a-z0-9]+", "-", words).strip("-")
    id_ = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{slug}"
    return Plan(id_, command, stable, candidate, choices, rollout, rates)


def pod_words(words: Sequence[str]) -> list[str]:
    """The words of faults that the candidate's pods make themselves."""
    return [word for word in _words(words) if not faults.is_world(word)]


def _words(given: Sequence[str]) -> list[str]:
    return [word.strip() for text in given for word in text.split(",")]


def check_reach(given: Sequence[str], config: Config) -> None:
    """Refuses a fault that no user would meet, where its words are ours.

    Raises:
        UsageError: if a word of the world is not understood, a route gets no request, or there is
            no database to suspend.
    """
    asked = {request.path.partition("?")[0] for request in config.traffic.requests}
    for word in _words(given):
        try:
            (fault,) = faults.parse(word).found
        except (FaultError, ValueError) as wrong:
            if faults.is_world(word):
                raise UsageError(str(wrong)) from None
            continue
        if fault.name in faults.WORLD and "postgresql" not in config.services.values():
            raise UsageError(
                f"{word!r} would affect nobody: `services` of rehearsal.yaml has no postgresql",
                "leave it out",
            )
        if fault.route and asked and not any(map(faults.matcher(fault.route).fullmatch, asked)):
            raise UsageError(
                f"{word!r} would affect nobody: no request of the traffic goes to {fault.route}",
                "add one under traffic.requests in rehearsal.yaml",
            )


def _prometheus_stops(rollout: Rollout) -> Event:
    """Halfway through the first pause."""
    pauses = ((i, s.duration_s or 0.0) for i, s in enumerate(rollout.steps) if isinstance(s, Pause))
    index, duration_s = next(pauses, (0, 0.0))
    return Event(Kind.PROMETHEUS, "stop", index, duration_s / 2)


def check_events(happening: Sequence[Event], rollout: Rollout, config: Config) -> None:
    """Refuses events that mean nothing in this rehearsal.

    Raises:
        UsageError: if there is one.
    """
    kinds = [event.kind for event in happening]
    for event in happening:
        if event.step is not None and event.step >= len(rollout.steps):
            raise UsageError(
                f"--event {event}: the Rollout has no step {event.step}",
                f"its steps are 0 to {len(rollout.steps) - 1}",
            )
        if rollout.routing is not None and event.kind in (Kind.UNDO, Kind.RELEASE):
            raise UsageError(
                f"--event {event} is not modelled with a traffic router or blueGreen",
                "leave it out",
            )
        if rollout.blue_green and event.kind is Kind.RETRY:
            raise UsageError(
                f"--event {event} is not modelled with blueGreen: within "
                "abortScaleDownDelaySeconds the controller promotes at once, without a gate",
                "leave it out",
            )
        if event.kind is Kind.TRAFFIC and config.traffic.locustfile is not None:
            raise UsageError(
                f"--event {event}: the users of a locustfile of your own keep their own rate",
                "leave it out, or give `traffic.requests` instead",
            )
    if Kind.UNDO in kinds and Kind.RELEASE in kinds:
        raise UsageError(
            "--event undo after a second release would go back to the first one",
            "rehearse them one by one",
        )


def _rates(stable: Build, rollout: Rollout, time_scale: float) -> Rates:
    """What the gates need of the stable release's users, and the least that they need."""
    traffic = stable.config.traffic
    wanted = traffic.canary_requests_per_look
    least = traffic.least_canary_requests_per_look
    return Rates(
        *(
            time_compression.requests_per_second(
                rollout, traffic.requests_per_second, per_measurement, time_scale
            )
            for per_measurement in (wanted, wanted if least is None else least)
        )
    )


def _identity(build: Build) -> str:
    return build.commit + build.bundle.rollout.spec.template.model_dump_json()


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return "".join(ALPHABET[byte % len(ALPHABET)] for byte in digest[:10])
