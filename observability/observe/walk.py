"""Every alert brought about on a live stack, and its runbook walked.

A scenario injects one fault, waits for its alerts, asks the runbooks' queries as they stand, looks
whether the notification arrived, and takes the fault away again. Faults are real where this machine
has the thing that can fail; where only a cluster has it, series stand in under the exporters' names
(`Scenery`), and the table says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from canary.errors import MachineError
from canary.runtime.prometheus import QueryError
from canary.runtime.waiting import wait_until
from observe.rules import Group, Rule
from observe.runbooks import Runbook
from observe.stack import Stack
from observe.world import World

WATCHDOG = "Watchdog"
FACTOR = 60.0
FIRE_TIMEOUT_S = 150.0
END_TIMEOUT_S = 90.0
HEALTHY_TIMEOUT_S = 90.0
TOLD_TIMEOUT_S = 60.0
SEEN_TIMEOUT_S = 30.0


@dataclass
class Stage:
    """The service and what watches it; `every` is done on each tick, by the scenario in force."""

    world: World
    stack: Stack
    every: Callable[[], None] = lambda: None

    def tick(self) -> None:
        """Lets the world go on."""
        self.world.tick()
        self._throttle()
        self.every()

    def wait(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Waits while the world goes on; False if it did not come about in time."""

        def after_tick() -> bool:
            self.tick()
            return condition()

        return wait_until(after_tick, timeout_s, every_s=0.4)

    def _throttle(self) -> None:
        """The kernel's ten periods a second, of which a stand-in pod is stopped in some."""
        labels = {"namespace": "gridos", "pod": "gridos-standin-0", "container": "gridos"}
        now = time.time()
        share = 0.6 if self.throttled else 0.0
        since, self._throttled_at = now - self._throttled_at, now
        add = self.world.scenery.add
        add("container_cpu_cfs_periods_total", labels, 10 * since)
        add("container_cpu_cfs_throttled_periods_total", labels, 10 * since * share)

    throttled: bool = False
    _throttled_at: float = field(default_factory=time.time)


@dataclass(frozen=True)
class Scenario:
    """A fault, the alerts it brings about, and those that end with it while one can wait."""

    name: str
    alerts: tuple[str, ...]
    inject: Callable[[Stage], AbstractContextManager[None]]
    real: bool = True
    ending: tuple[str, ...] | None = None

    @property
    def ends(self) -> tuple[str, ...]:
        """All of them, unless said otherwise."""
        return self.alerts if self.ending is None else self.ending


@dataclass(frozen=True)
class Walked:
    """What became of one alert; times in seconds of the quickened clock, None is never."""

    alert: str
    scenario: str
    real: bool
    fired_after_s: float | None
    told: str
    problems: tuple[str, ...]
    over_after_s: float | None
    must_end: bool

    @property
    def good(self) -> bool:
        """Whether it fired, was told, was seen as its page says, and ended if it was to."""
        ended = self.over_after_s is not None or not self.must_end
        return self.fired_after_s is not None and bool(self.told) and not self.problems and ended


def walk(
    folder: Path,
    scenarios: Sequence[Scenario],
    pages: Sequence[Runbook],
    tell: Callable[[str], None],
) -> list[Walked]:
    """Walks scenarios one after another on a stack of their own.

    Raises:
        MachineError: if the stack does not come up.
    """
    by_alert = {page.alert: page for page in pages}
    with World(folder / "world") as world:
        stack = Stack(folder / "stack", world.jobs(), FACTOR)
        with stack:
            stage = Stage(world, stack)
            _set_the_scene(stage)
            walked: list[Walked] = []
            for scenario in scenarios:
                tell(f"{scenario.name}: {', '.join(scenario.alerts)}")
                if not stage.wait(partial(_quiet, stage, scenario), HEALTHY_TIMEOUT_S):
                    tell("  the alerts fire before the fault; walked all the same")
                try:
                    done = _walk(stage, scenario, by_alert)
                except MachineError as failed:
                    tell(f"  given up: {failed}")
                    continue
                walked += done
                for one in done:
                    tell(f"  {'good' if one.good else 'NOT GOOD'}: {one.alert}")
            return walked


def _walk(stage: Stage, scenario: Scenario, pages: dict[str, Runbook]) -> list[Walked]:
    began = time.monotonic()
    fired: dict[str, float] = {}
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    with scenario.inject(stage):

        def look() -> bool:
            for alert in scenario.alerts:
                if alert not in fired and stage.stack.fires(alert):
                    fired[alert] = time.monotonic() - began
            return len(fired) == len(scenario.alerts)

        stage.wait(look, FIRE_TIMEOUT_S)
        for alert in fired:
            found[alert] = (_told(stage, alert), _problems(stage, pages[alert]))
    ended = time.monotonic()
    over: dict[str, float] = {}

    def is_over() -> bool:
        for alert in scenario.ends:
            if alert not in over and _over(stage, pages[alert]):
                over[alert] = time.monotonic() - ended
        return len(over) == len(scenario.ends)

    stage.wait(is_over, END_TIMEOUT_S)
    return [
        Walked(
            alert=alert,
            scenario=scenario.name,
            real=scenario.real,
            fired_after_s=fired.get(alert),
            told=found.get(alert, ("", ()))[0],
            problems=found.get(alert, ("", ()))[1],
            over_after_s=over.get(alert),
            must_end=alert in scenario.ends,
        )
        for alert in scenario.alerts
    ]


def _told(stage: Stage, alert: str) -> str:
    """Who was told, or why nobody was: silenced by its cause, or the messenger itself is down."""
    receiver, manager = stage.stack.receiver, stage.stack.alertmanager
    if not manager.running:
        return "nobody: Alertmanager is down"
    if receiver.refusing:
        return "nobody: deliveries are refused"

    def heard() -> bool:
        return bool(receiver.about(alert)) or manager.state(alert) == "suppressed"

    stage.wait(heard, TOLD_TIMEOUT_S)
    if manager.state(alert) == "suppressed":
        return "silenced by its cause"
    return ", ".join(sorted({n.receiver for n in receiver.about(alert)}))


def _problems(stage: Stage, page: Runbook) -> tuple[str, ...]:
    """What the page says one sees and one does not see, while the alert fires."""
    problems = [
        f"shows nothing: {query}"
        for query in page.seen
        if not stage.wait(partial(_answers, stage, query), SEEN_TIMEOUT_S)
    ]
    # The watchdog fires when all is well: what confirms that is true meanwhile.
    if page.alert != WATCHDOG and _answers(stage, page.over):
        problems.append(f"says that it is over while it fires: {page.over}")
    return tuple(problems)


def _over(stage: Stage, page: Runbook) -> bool:
    return not stage.stack.fires(page.alert) and _answers(stage, page.over)


def _answers(stage: Stage, query: str) -> bool:
    try:
        return stage.stack.prometheus.query(stage.stack.quick(query)) != ()
    except QueryError:
        return False


def _quiet(stage: Stage, scenario: Scenario) -> bool:
    return not any(stage.stack.fires(a) for a in scenario.alerts if a != WATCHDOG)


# ------------------------------------------------------------------------------------- faults


def _pods(faults: str) -> Callable[[Stage], AbstractContextManager[None]]:
    """Every pod with these faults."""

    @contextmanager
    def inject(stage: Stage) -> Iterator[None]:
        # Pods that crash are never all ready at once.
        stage.world.start(stage.world.pods, faults, patient="crash" not in faults)
        try:
            yield
        finally:
            stage.world.start(stage.world.pods)

    return inject


def _database_away(stage: Stage) -> AbstractContextManager[None]:
    return stage.world.database_away()


def _tables_locked(stage: Stage) -> AbstractContextManager[None]:
    return stage.world.tables_locked()


def _secrets_away(stage: Stage) -> AbstractContextManager[None]:
    return stage.world.secrets_away()


def _keys_emptied(stage: Stage) -> AbstractContextManager[None]:
    return stage.world.keys_emptied()


@contextmanager
def _unknown_buses(stage: Stage) -> Iterator[None]:
    stage.every = lambda: stage.world.post_unknown_buses(8)
    try:
        yield
    finally:
        stage.every = lambda: None


@contextmanager
def _one_pod_gone(stage: Stage) -> Iterator[None]:
    pod = stage.world.pods[0]
    stage.world.stop(pod)
    try:
        yield
    finally:
        stage.world.start([pod])


@contextmanager
def _all_pods_gone(stage: Stage) -> Iterator[None]:
    for pod in stage.world.pods:
        stage.world.stop(pod)
    try:
        yield
    finally:
        stage.world.start(stage.world.pods)


@contextmanager
def _kubelet_silent(stage: Stage) -> Iterator[None]:
    stage.world.kubelet_answers = False
    try:
        yield
    finally:
        stage.world.kubelet_answers = True


@contextmanager
def _thresholds_unloaded(stage: Stage) -> Iterator[None]:
    stage.stack.load(without=frozenset({"gates.generated.yaml"}))
    try:
        yield
    finally:
        stage.stack.load()


@contextmanager
def _broken_rule(stage: Stage) -> Iterator[None]:
    """A join of many with many, which only an evaluation finds."""
    broken = Group("broken", Path(), 1.0, (Rule("broken:up:product", "up * on () up"),))
    stage.stack.load(more=[broken])
    try:
        yield
    finally:
        stage.stack.load()


@contextmanager
def _alertmanager_gone(stage: Stage) -> Iterator[None]:
    stage.stack.alertmanager.stop()
    try:
        yield
    finally:
        stage.stack.alertmanager.start()


@contextmanager
def _deliveries_refused(stage: Stage) -> Iterator[None]:
    stage.stack.receiver.refusing = True
    try:
        yield
    finally:
        stage.stack.receiver.refusing = False


@contextmanager
def _nothing(_: Stage) -> Iterator[None]:
    yield


@contextmanager
def _on_a_cluster(stage: Stage) -> Iterator[None]:
    """What only a cluster or Azure can get wrong, as its exporters would say it."""
    scenery = stage.world.scenery
    _rollout(stage, "gridos", "Abort")
    _rollout(stage, "gridos-two", "Progressing")
    _rollout(stage, "gridos-three", "Paused")
    run = {"namespace": "gridos", "name": "gridos-abc-2-2", "phase": "Inconclusive"}
    scenery.set("analysis_run_info", run, 1)
    _application(stage, "OutOfSync")
    _autoscaler(stage, desired=20)
    _certificate(stage, days=5)
    _probe(stage, succeeds=False)
    waiting = {"namespace": "gridos", "pod": "gridos-abc-1", "container": "gridos"}
    reason = waiting | {"reason": "CrashLoopBackOff"}
    scenery.set("kube_pod_container_status_waiting_reason", reason, 1)
    stage.throttled = True
    try:
        yield
    finally:
        scenery.remove("analysis_run_info")
        scenery.remove("kube_pod_container_status_waiting_reason")
        stage.throttled = False
        _set_the_scene(stage)


def _set_the_scene(stage: Stage) -> None:
    """A cluster on a good day."""
    stage.world.scenery.remove("rollout_info")
    _rollout(stage, "gridos", "Completed")
    _application(stage, "Synced")
    _autoscaler(stage, desired=4)
    _certificate(stage, days=60)
    _probe(stage, succeeds=True)


def _rollout(stage: Stage, name: str, phase: str) -> None:
    scenery = stage.world.scenery
    labels = {"namespace": "gridos", "name": name, "strategy": "canary", "traffic_router": ""}
    if name == "gridos":
        scenery.remove("rollout_info")
    scenery.set("rollout_info", labels | {"phase": phase}, 1)


def _application(stage: Stage, status: str) -> None:
    labels = {"namespace": "argocd", "name": "gridos", "dest_namespace": "gridos"}
    stage.world.scenery.remove("argocd_app_info")
    stage.world.scenery.set("argocd_app_info", labels | {"sync_status": status}, 1)


def _autoscaler(stage: Stage, desired: int) -> None:
    labels = {"namespace": "gridos", "horizontalpodautoscaler": "gridos"}
    name = "kube_horizontalpodautoscaler"
    stage.world.scenery.set(f"{name}_status_desired_replicas", labels, desired)
    stage.world.scenery.set(f"{name}_spec_max_replicas", labels, 20)


def _certificate(stage: Stage, days: int) -> None:
    labels = {"instance": "https://gridos.example"}
    expiry = time.time() + days * 86400
    stage.world.scenery.set("probe_ssl_earliest_cert_expiry", labels, expiry)


def _probe(stage: Stage, *, succeeds: bool) -> None:
    labels = {"namespace": "gridos", "job": "probe/gridos/gridos"}
    stage.world.scenery.set("probe_success", labels, int(succeeds))


SCENARIOS = (
    Scenario("nothing is wrong", (WATCHDOG,), _nothing, ending=()),
    Scenario(
        "series of a cluster's exporters stand in",
        (
            "GridosRolloutAborted",
            "GridosRolloutStuck",
            "GridosRolloutPaused",
            "GridosAnalysisInconclusive",
            "GridosArgoOutOfSync",
            "GridosAtMaximumReplicas",
            "GridosCertificateExpiring",
            "GridosUnreachable",
            "GridosCrashLooping",
            "GridosCpuThrottled",
        ),
        _on_a_cluster,
        real=False,
    ),
    # Before any outage, which would spend the budget first; what it spends stays spent.
    Scenario(
        "20 % of requests fail and 30 % are slow",
        (
            "GridosErrorBudgetBurn1h",
            "GridosErrorBudgetBurn6h",
            "GridosErrorBudgetBurn1d",
            "GridosErrorBudgetBurn3d",
            "GridosErrorBudgetHalfSpent",
            "GridosLatencyAboveGate",
        ),
        _pods("errors=20%,latency=600ms@30%"),
        ending=("GridosErrorBudgetBurn1h", "GridosErrorBudgetBurn6h", "GridosLatencyAboveGate"),
    ),
    Scenario("CPU burnt to 95 % of the limit", ("GridosCpuSaturated",), _pods("cpu=95%")),
    Scenario("pods die after 60 requests", ("GridosContainerRestarted",), _pods("crash=60")),
    Scenario("the database's socket is taken away", ("GridosDatabaseDown",), _database_away),
    Scenario("every table is locked", ("GridosDatabasePoolExhausted",), _tables_locked),
    Scenario("readings of an unknown bus", ("GridosIngestRefused",), _unknown_buses),
    Scenario("the mounted secrets are gone", ("GridosSecretStale",), _secrets_away),
    Scenario("the API keys are emptied", ("GridosApiKeysStale",), _keys_emptied),
    Scenario("one pod of three is stopped", ("TargetDown",), _one_pod_gone),
    Scenario("every pod is stopped", ("GridosMetricsAbsent",), _all_pods_gone),
    Scenario("the kubelet's exporter is silent", ("GridosKubeMetricsAbsent",), _kubelet_silent),
    Scenario("the thresholds are not loaded", ("GateThresholdAbsent",), _thresholds_unloaded),
    Scenario("a rule that cannot be evaluated", ("PrometheusRuleFailures",), _broken_rule),
    Scenario("Alertmanager is stopped", ("AlertmanagerDown",), _alertmanager_gone),
    Scenario(
        "the receivers answer 500", ("AlertmanagerNotificationsFailing",), _deliveries_refused
    ),
)
