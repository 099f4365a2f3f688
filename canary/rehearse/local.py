"""The local target: the release on this machine, pods as processes behind a real gateway."""

from __future__ import annotations

import contextlib
import math
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from canary.argo import controller
from canary.argo.events import BEFORE_S, Event, Kind, Schedule
from canary.argo.model import ReplicaSetName
from canary.errors import MachineError, RehearsalError, ReleaseError, UsageError
from canary.rehearse import (
    edge,
    endpoints,
    evidence,
    meter,
    providers,
    rates,
    routes,
    scraping,
    services,
    target,
    time_compression,
    worktrees,
)
from canary.rehearse.active_service import ActiveService
from canary.rehearse.alerts import FLAGS, Alerts, asked
from canary.rehearse.evidence import Evidence, Log, Redaction, Restart, Route
from canary.rehearse.exporter import PATH as EXPORTER_PATH
from canary.rehearse.exporter import ExporterProgram
from canary.rehearse.fakes import Fakes
from canary.rehearse.kubelet import Ending, Kubelet
from canary.rehearse.load import Load
from canary.rehearse.measurements import Measurements, Sides
from canary.rehearse.node import EXPORTER_JOB, Clock, Node
from canary.rehearse.outage import Outage, check_own
from canary.rehearse.plan import HERE, Plan
from canary.rehearse.providers import Providers
from canary.rehearse.replica_sets import ReplicaSets
from canary.rehearse.routes import Routes
from canary.rehearse.target import ROUTES_S, Observation
from canary.runtime import database, processes, scratch
from canary.runtime.gateway import Gateway
from canary.runtime.prometheus import Prometheus, QueryError, ScrapeJob, Target

TICK_S = 0.1
OBSERVE_S = 0.3
WARM_UP_TIMEOUT_S = 60.0
MIGRATION_TIMEOUT_S = 120.0
RELEASES = {evidence.CANARY: ReplicaSetName.LATEST, evidence.STABLE: ReplicaSetName.STABLE}
# What exporters call the label that holds a request's route.
ROUTE_LABELS = ("route", "http_route", "handler")
MAX_REPLICAS = 200
# A line of the gateway's log is seldom longer.
ACCESS_BYTES = 100


class LocalTarget(target.Target):
    """One rehearsal on this machine."""

    name = "local processes"
    observe_s, not_scaled = OBSERVE_S, time_compression.NOT_SCALED

    def __init__(self, plan: Plan, folder: Path) -> None:
        if plan.most_replicas > MAX_REPLICAS:
            raise UsageError(
                f"{plan.most_replicas:,} replicas are more than one machine runs ({MAX_REPLICAS})",
                "rehearse an overlay with fewer",
            )
        super().__init__(plan.scaled)
        self.plan, self.hashes = plan, plan.hashes
        self._folder = folder
        self._outage: Outage | None = None
        self._started: tuple[Node, Fakes, Fakes] | None = None
        self._alerts: Alerts | None = None
        self._released_at: float | None = None
        document = plan.candidate.config.traffic.openapi
        self._documented = routes.documented(plan.candidate.folder / document) if document else ()
        requests = plan.config.traffic.requests
        self._sent = [f"{r.method} {r.path.partition('?')[0]}" for r in requests]
        self._routes = Routes(self._documented, self._sent)
        self._known_routes: list[str] = []

    # ------------------------------------------------------------------ the target's interface

    def prepare(self) -> Iterator[Observation]:
        """Starts everything, waits for the stable pods, and loads them until they are steady."""
        node, stable, candidate = self._start()
        self._started = node, stable, candidate
        stable.prepare(node.sets.slots(ReplicaSetName.STABLE)[0].facts)
        node.scale(ReplicaSetName.STABLE, self.rollout.replicas)
        yield from self._until_ready(node)
        yield from self._until_scraping(node)
        if not self.plan.without_traffic:
            self._ending("locust", node.stop_load)
            self._start_load(node, self.plan.rates.wanted, stable.values)
            yield from self._until_steady(node, stable.values)
        yield from self._until_firing(node)

    def rehearse(self) -> Iterator[Observation]:
        """Applies the candidate and follows the steps until the release has settled."""
        assert self._started is not None  # noqa: S101 — `prepare` comes first
        node, _, candidate = self._started
        node.clock.restart()
        self._released_at = time.time()
        yield from self._migrate(node, candidate)
        words = ", ".join(self.plan.choices.faults) or str(self.plan.candidate)
        node.log("release", f"{self.rollout.name}-{self.hashes.latest} applied ({words})")
        node.status = controller.begin(self.rollout, self.hashes, node.clock())
        observation = node.observe()
        while not observation.settled or self.held(observation):
            yield observation
            until = time.monotonic() + OBSERVE_S
            while (left_s := until - time.monotonic()) > 0:
                self._take_acts(node)
                node.tick()
                time.sleep(min(TICK_S, left_s))
            observation = node.observe()
            if node.status is not None:
                self.hashes, self.rollout = node.status.hashes, node.rollout
        for event in node.schedule.pending:
            node.log("event", f"{event} never came: the release was over")
        yield replace(observation, events=(*observation.events, *node.observe().events))

    @property
    def prometheus(self) -> Prometheus | None:
        """Its Prometheus, once it runs."""
        return self._started[0].prometheus if self._started else None

    def _take_acts(self, node: Node) -> None:
        """Has them happen at the next tick, as events whose moment has come."""
        for kind in self._acts_asked:
            act = Event(kind, "", None, round(node.clock(), 1))
            node.schedule.pending.append(act)

    def tear_down(self) -> tuple[str, ...]:
        """Ends everything in the reverse order of its start."""
        if self._started is not None and self._released_at is not None:
            # While Prometheus still answers.
            self._known_routes = list(self._ask_for_routes(self._started[0].prometheus))
        return super().tear_down()

    def evidence(self, decided_at_s: float | None, *, timed: bool) -> Evidence:
        """What the gateway, the users, the pods' logs and their kubelet have of the release."""
        if self._started is None or self._released_at is None:
            return Evidence()
        node, stable, candidate = self._started
        since, build = self._released_at, self.plan.candidate
        until = math.inf if decided_at_s is None else since + decided_at_s
        release_of = _release_of(node)
        name = Routes(self._known_routes, self._sent).name
        every = [access for access in node.gateway.accesses() if access.at >= since]
        before = [access for access in every if access.at <= until]
        told_apart, shared = evidence.apart(before, release_of)
        compared, total = evidence.compare(told_apart, release_of, name)
        asked, _ = evidence.compare(every, release_of, name)
        checkout = (worktrees.root(build.folder) or build.folder).resolve()
        secret_values = [*stable.values.values(), *candidate.values.values()]
        redact = Redaction(secret_values, [self._folder.resolve(), checkout])
        raised = evidence.exceptions(self._canary_logs(), redact, checkout)
        restarts = [self._restart(ending, redact) for ending in node.sets.kubelet.endings]
        refusals = node.load.refusals() if node.load else []
        canary_refusals = [r for r in refusals if release_of(r.port) == evidence.CANARY]
        return Evidence(
            cause=evidence.blame(compared, total, raised, restarts, timed=timed),
            shared=shared,
            routes=compared,
            gateway=evidence.statuses(every, release_of),
            exceptions=raised,
            responses=evidence.responses(canary_refusals, redact),
            restarts=restarts,
            coverage=evidence.cover(self._known_routes, build.config.traffic.left_out, asked),
            changed=worktrees.changed(HERE, self.plan.stable.commit, build.commit),
        )

    def latest_routes(self) -> Sequence[Route]:
        """By the end of the gateway's log, which it writes once a second."""
        if self._started is None:
            return ()
        node, since = self._started[0], time.time() - ROUTES_S
        recent = node.gateway.accesses(int(ROUTES_S * self.plan.rate * ACCESS_BYTES) + 1)
        return evidence.compare(
            (access for access in recent if access.at >= since),
            _release_of(node),
            self._routes.name,
        )[0]

    def _canary_logs(self) -> Iterator[Log]:
        """The logs of the canary's pods that started."""
        prefix = f"{self.rollout.name}-{self.hashes.latest}-"
        for file in sorted((self._folder / "pods").glob(f"{prefix}*.log")):
            with file.open(encoding="utf-8", errors="replace") as lines:
                yield Log(file.stem, f"pods/{file.name}", lines)

    def _restart(self, ending: Ending, redact: Redaction) -> Restart:
        latest = ending.replica_set == self.hashes.latest
        return Restart(
            release=evidence.CANARY if latest else evidence.STABLE,
            pod=ending.log.stem,
            because=ending.because,
            log=f"pods/{ending.log.name}",
            lines=[redact(line)[: evidence.MAX_TEXT] for line in ending.tail],
        )

    def _ask_for_routes(self, prometheus: Prometheus) -> Iterator[str]:
        """The routes that the candidate's documents and metrics name."""
        yield from self._documented
        pods = f'pod=~"{self.rollout.name}-{self.hashes.latest}-.*"'
        with contextlib.suppress(QueryError):  # it may be what was killed
            for label in ROUTE_LABELS:
                found = prometheus.series(f'{{{label}!="",{pods}}}')
                yield from routes.measured((s.get("method", "GET"), s[label]) for s in found)

    # --------------------------------------------------------------------------------- starting

    def _start(self) -> tuple[Node, Fakes, Fakes]:
        """Starts what a release needs around it; its pods come later."""
        wanted = {**self.plan.stable.config.services, **self.plan.candidate.config.services}
        around = self._stack.enter_context(
            services.running(wanted, self.plan.candidate, self._folder / "services", self._database)
        )
        for name, service in wanted.items():
            known = service if isinstance(service, str) else name
            self._stack.callback(self._torn_down.append, known)
        secret = secrets.token_urlsafe(24)
        mounted = self._stack.enter_context(scratch.folder("secrets"))
        stable = Fakes(self.plan.stable, around, secret, mounted / "stable")
        candidate = Fakes(self.plan.candidate, around, secret, mounted / "candidate")
        sources = {
            self.hashes.stable: stable.source(),
            self.hashes.latest: candidate.source(self.plan.fault_variables),
        }
        if any(event.kind is Kind.RELEASE for event in self.plan.events):
            sources[self.plan.second_hash] = candidate.source()
        kubelet = Kubelet(sources, self._folder / "pods")
        self._ending("pods", kubelet.stop)
        seed, most = self.plan.config.traffic.seed, self.plan.most_replicas
        sets = ReplicaSets(self.rollout, self.hashes, kubelet, seed, most)
        exporter = ExporterProgram(self._folder / "exporter")
        self._ending("exporter", exporter.stop)
        exporter.start()
        clusters, apart = edge.clusters(self.rollout), edge.apart(self.rollout)
        gateway = Gateway(self._folder / "gateway", self.plan.choices.port, clusters, apart)
        active = self._active_service()
        interval_s, jobs = self._jobs(sets, exporter.port, active)
        jobs += self._meter(gateway, sets, interval_s)
        self._alerts = self._watch()
        told = self._alerts
        rules = told.for_prometheus if told else self._rules()
        flags = FLAGS if told else ()
        jobs += [told.job] if told else []
        prometheus = Prometheus(self._folder / "prometheus", jobs, rules, flags)
        self._ending("prometheus", prometheus.stop)
        prometheus.start()
        clock = Clock()
        self._ending("envoy", gateway.stop)
        gateway.start()
        others = self._others(gateway, told.url if told else "")
        sides = Sides.of(self.rollout)
        measurements = Measurements(prometheus, self.hashes, clock, others, sides)
        self._stack.callback(measurements.stop)
        node = Node(
            rollout=self.rollout,
            sets=sets,
            prometheus=prometheus,
            scrape_interval_s=interval_s,
            exporter=exporter,
            gateway=gateway,
            measurements=measurements,
            clock=clock,
            schedule=Schedule(list(self.plan.events)),
            second=self.plan.second_hash,
            fire=lambda name: told.fire(name, prometheus) if told else None,
            left_out=self.plan.choices.without_metrics,
            edge_delay_s=self.plan.edge_delay_s or 0.0,
            outage=self._outage,
            stable_alone=self.plan.bundle.stable_alone,
            active=active,
        )
        return node, stable, candidate

    def _active_service(self) -> ActiveService | None:
        """A blueGreen's active Service, as scrapes find it."""
        if not self.rollout.blue_green:
            return None
        active = ActiveService()
        self._ending("active service", active.stop)
        active.start()
        return active

    def _others(self, gateway: Gateway, alertmanager: str) -> Providers:
        """What answers the metrics that are not Prometheus's."""
        build = self.plan.candidate
        return Providers(
            url=gateway.url,
            apart_url=gateway.apart_url,
            alertmanager=alertmanager,
            services=providers.services(build.bundle, gateway.url, gateway.apart_url),
            web=build.config.web,
            jobs={name: build.command(words) for name, words in build.config.jobs.items()},
            folder=build.folder,
        )

    @contextmanager
    def _database(self) -> Iterator[str]:
        """The database's URL; it is the run's own where it is to be suspended."""
        fault = self.plan.outage
        if fault is None:
            with database.running() as url:
                yield url
            return
        check_own()
        with database.server() as server:
            self._outage = Outage(fault, server)
            yield server.url

    def _ending(self, name: str, stop: Callable[[], object]) -> None:
        """Has `stop` called at the end, and remembers that it was."""

        def end() -> None:
            result = stop()
            self._torn_down.append(f"{result} {name}" if isinstance(result, int) else name)

        self._stack.callback(end)

    def _jobs(
        self, sets: ReplicaSets, exporter_port: int, active: ActiveService | None
    ) -> tuple[float, list[ScrapeJob]]:
        """How often Prometheus scrapes at this time scale, and what."""
        scale, bundle = self.plan.choices.time_scale, self.plan.bundle
        interval_s = time_compression.scrape_interval_s(scraping.interval_s(bundle), scale)
        kubelet = [Target(exporter_port, {})]
        jobs = [ScrapeJob(EXPORTER_JOB, EXPORTER_PATH, interval_s, kubelet, honour_labels=True)]
        return interval_s, [*jobs, *scraping.jobs(bundle, sets, scale, active)]

    def _watch(self) -> Alerts | None:
        """The platform's alerts, if a gate or the caller asks for any."""
        build = self.plan.candidate
        own = build.config.alerts
        if own is None or not (asked(self.rollout) or self._firing or self.plan.choices.alerts):
            return None
        base = build.config_file.parent
        watching = Alerts(base / own.rules, base / own.routes, self._folder / "alertmanager")
        self._ending("alertmanager", watching.stop)
        watching.start()
        return watching

    @property
    def _firing(self) -> list[Event]:
        return [event for event in self.plan.events if event.kind is Kind.ALERT]

    def _until_firing(self, node: Node) -> Iterator[Observation]:
        """Lets those alerts fire that do so before the release, and waits until it is known."""
        before = [event for event in self._firing if event.after_s == BEFORE_S]
        deadline = time.monotonic() + WARM_UP_TIMEOUT_S
        for event in before:
            assert self._alerts is not None  # noqa: S101 — `_watch` starts it for such an event
            node.schedule.pending.remove(event)
            self._alerts.fire(event.value, node.prometheus)
            node.log("event", str(event))
            while not self._alerts.fires(event.value):
                node.tick()
                if time.monotonic() > deadline:
                    raise MachineError(f"{event.value} does not fire", "see alertmanager.log")
                time.sleep(TICK_S)
                yield node.observe()

    def _meter(self, gateway: Gateway, sets: ReplicaSets, interval_s: float) -> list[ScrapeJob]:
        """The router's own figures, where a gate asks for them."""
        jobs = []
        if endpoints.are_asked(meter.selectors(self.rollout, self.hashes)):
            jobs.append(endpoints.job(self.plan.bundle, sets, gateway.admin_port, interval_s))
        found = meter.families(self.plan.bundle, self.rollout, self.hashes)
        if not found:
            return jobs
        counting = meter.Meter(self._folder / "meter", gateway.log, found)
        self._ending("meter", counting.stop)
        counting.start()
        targets = [Target(counting.port, {})]
        return [*jobs, ScrapeJob("router", meter.PATH, interval_s, targets, honour_labels=True)]

    def _rules(self) -> Mapping[str, Any]:
        """Configuration for the rule files, at their own windows: these are not scaled."""
        rules = self.plan.choices.rules
        if rules is None:
            return {}
        return {
            "rule_files": sorted(str(file.resolve()) for file in rules.rglob("*.yaml")),
            "global": {"scrape_interval": "15s", "evaluation_interval": "1s"},
        }

    def _migrate(self, node: Node, fakes: Fakes) -> Iterator[Observation]:
        """Runs the candidate's own preparations while stable pods answer, as a sync hook would.

        Raises:
            ReleaseError: if one fails: the release would not be applied, and users notice nothing.
        """
        pod = node.sets.slots(ReplicaSetName.LATEST)[0].facts
        build = self.plan.candidate
        for command in build.config.release:
            words = " ".join(command)
            child = processes.start(
                words,
                build.command(command),
                self._folder / "release.log",
                fakes.variables(pod),
                build.folder,
            )
            deadline = time.monotonic() + MIGRATION_TIMEOUT_S
            while child.running and time.monotonic() < deadline:
                node.tick()
                time.sleep(TICK_S)
                yield node.observe()
            if child.running or child.popen.returncode:
                child.kill()
                raise ReleaseError(f"the candidate's `{words}` failed: {child.tail()}")
            node.log("release", f"{words}: {child.tail(1)}")

    def _start_load(self, node: Node, rate: float, values: Mapping[str, str]) -> None:
        node.stop_load()
        node.load = Load(
            folder=self._folder / f"load-{rate:.0f}",
            config=self.plan.stable.config_file,
            locustfile=self.plan.stable.locustfile,
            traffic=self.plan.config.traffic,
            rate=rate,
            values=values,
        )
        node.load.start(node.gateway.url)

    # ---------------------------------------------------------------------------------- waiting

    def _until_ready(self, node: Node) -> Iterator[Observation]:
        deadline = time.monotonic() + self.rollout.progress_deadline_s
        while node.sets.counts(ReplicaSetName.STABLE).available < self.rollout.replicas:
            node.tick()
            pods = node.sets.kubelet.pods
            stuck = [pod for pod in pods if pod.restarts > 1]
            if stuck or time.monotonic() > deadline:
                raise unready(node.sets.kubelet.tail((stuck or pods)[0]), node.sets.kubelet.endings)
            time.sleep(TICK_S)
            yield node.observe()

    def _until_scraping(self, node: Node) -> Iterator[Observation]:
        deadline = time.monotonic() + WARM_UP_TIMEOUT_S
        while not node.prometheus.scraping():
            node.tick()
            if time.monotonic() > deadline:
                raise MachineError("prometheus does not find its targets", "see its log")
            time.sleep(OBSERVE_S)
            yield node.observe()

    def _until_steady(self, node: Node, values: Mapping[str, str]) -> Iterator[Observation]:
        """Waits for some whole seconds in which the users' rate is met and nothing is refused.

        Where it is not, a lower rate is sent, if the gates still see enough.
        """
        wanted = self.plan.rates
        deadline = time.monotonic() + WARM_UP_TIMEOUT_S
        while (load := node.load) is not None and not rates.steady(load.seconds, load.rate):
            node.tick()
            rates.refuse_refused(load.seconds, load.refusals())
            carried = rates.sustained(load.seconds)
            if carried is not None and load.rate == wanted.wanted:
                rate = rates.lower(wanted, carried)
                # Seconds may be uneven although their mean is what was asked for.
                if rate < load.rate:
                    node.log("machine", rates.told(wanted, carried, rate))
                    self._start_load(node, rate, values)
            if time.monotonic() > deadline:
                if not load.seconds and load.locustfile is not None:
                    raise UsageError(
                        f"{load.locustfile.name} sends nothing", "give it a user with a task"
                    )
                raise rates.not_carried(load.rate, load.seconds)
            time.sleep(TICK_S)
            yield node.observe()


def unready(said: str, endings: Sequence[Ending]) -> RehearsalError:
    """Why the stable release did not become ready: its program ended by itself, or was too slow."""
    told = f"the stable release did not become ready: {said}"
    if not any("exited with" in ending.because for ending in endings):
        return MachineError(told, "run the image's command by hand with the manifest's environment")
    if re.search("address already in use|EADDRINUSE", said, re.IGNORECASE):
        return UsageError(told, "give it its own port by `listen` or {port.NAME}")
    return UsageError(told, "give it what it needs in rehearsal.yaml, and see `canary serve`")


def _release_of(node: Node) -> Callable[[int], str]:
    """Whose pod listens on a port; nothing for nobody's."""
    ports = {port: name for name, of in RELEASES.items() for port in node.sets.ports(of)}
    return lambda port: ports.get(port, "")
