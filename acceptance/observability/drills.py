"""Runbook drills: what brings every alert about on a live stack, and what its page must show then.

A scenario injects one fault, waits for its alerts, asks the runbooks' queries as they stand, looks
whether the notification arrived, and takes the fault away again. Faults are real where this machine
has the thing that can fail; where only a cluster has it, series stand in under the exporters' names
(`FakeExporters`), and it is said.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from observe.rules import Group, Rule
from observe.runbooks import Runbook
from observe.stack import Stack

from acceptance.during import during
from acceptance.observability.world import Pod, World
from canary.runtime.prometheus import QueryError
from canary.runtime.waiting import wait_until

WATCHDOG = "Watchdog"
FACTOR = 60.0
FIRE_TIMEOUT_S = 150.0
END_TIMEOUT_S = 90.0
HEALTHY_TIMEOUT_S = 90.0
TOLD_TIMEOUT_S = 60.0
SEEN_TIMEOUT_S = 30.0
HOUR_TIMEOUT_S = 90.0


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
        add = self.world.exporters.add
        add("container_cpu_cfs_periods_total", labels, 10 * since)
        add("container_cpu_cfs_throttled_periods_total", labels, 10 * since * share)

    throttled: bool = False
    _throttled_at: float = field(default_factory=time.time)


@dataclass(frozen=True)
class Scenario:
    """A fault, the alerts it brings about, and those that end with it while one can wait."""

    name: str
    alerts: tuple[str, ...]
    inject: Callable[[Stage], AbstractContextManager[object]]
    real: bool = True
    ending: tuple[str, ...] | None = None

    @property
    def ends(self) -> tuple[str, ...]:
        """All of them, unless said otherwise."""
        return self.alerts if self.ending is None else self.ending


@dataclass(frozen=True)
class Drilled:
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
    def problems_found(self) -> Iterator[str]:
        """What is not as it should be."""
        if self.fired_after_s is None:
            yield f"{self.alert}: did not fire"
            return
        yield from (f"{self.alert}: {problem}" for problem in self.problems)
        if not self.told:
            yield f"{self.alert}: nobody was told"
        if self.must_end and self.over_after_s is None:
            yield f"{self.alert}: was not over in time"

    def __str__(self) -> str:
        over = _seconds(self.over_after_s) if self.must_end else "stays"
        kind = "" if self.real else ", by the series of fake exporters"
        return f"fired {_seconds(self.fired_after_s)}, told {self.told}, over {over}{kind}"


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"after {value:.0f} s"


@contextmanager
def staged(folder: Path) -> Iterator[Stage]:
    """A live stack, on a clock that is quick.

    Raises:
        MachineError: if it does not come up.
    """
    with World(folder / "world") as world:
        stack = Stack(folder / "stack", world.jobs(), FACTOR)
        with stack:
            stage = Stage(world, stack)
            _set_the_scene(stage)
            yield stage


def drill(stage: Stage, scenario: Scenario, pages: Mapping[str, Runbook]) -> list[Drilled]:
    """Injects the fault, and tells what became of each of its alerts."""
    awaited = [alert for alert in scenario.alerts if alert != WATCHDOG]
    if not stage.wait(lambda: not any(map(stage.stack.fires, awaited)), HEALTHY_TIMEOUT_S):
        print("the alerts fire before the fault; drilled all the same", flush=True)
    began = time.monotonic()
    fired: dict[str, float] = {}
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    with scenario.inject(stage):

        def all_fire() -> bool:
            for alert in scenario.alerts:
                if alert not in fired and stage.stack.fires(alert):
                    fired[alert] = time.monotonic() - began
            return len(fired) == len(scenario.alerts)

        stage.wait(all_fire, FIRE_TIMEOUT_S)
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
        Drilled(
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


# ------------------------------------------------------------------------------------- faults


def _pods(faults: str) -> Callable[[Stage], AbstractContextManager[None]]:
    """Every pod with these faults."""

    def inject(stage: Stage) -> AbstractContextManager[None]:
        start = partial(stage.world.start, stage.world.pods)
        # Pods that crash are never all ready at once.
        return during(partial(start, faults, patient="crash" not in faults), start)

    return inject


def _gone(stage: Stage, pods: Sequence[Pod]) -> AbstractContextManager[None]:
    """Pods that are stopped."""

    def stop() -> None:
        for pod in pods:
            stage.world.stop(pod)

    return during(stop, partial(stage.world.start, pods))


def _other_rules(stage: Stage, **how: Any) -> AbstractContextManager[None]:
    """The rules loaded otherwise."""
    return during(partial(stage.stack.load, **how), stage.stack.load)


# A join of many with many, which only an evaluation finds.
_BROKEN = Group("broken", Path(), 1.0, (Rule("broken:up:product", "up * on () up"),))


@contextmanager
def _on_a_cluster(stage: Stage) -> Iterator[None]:
    """What only a cluster or Azure can get wrong, as its exporters would say it."""
    exporters = stage.world.exporters
    _rollout(stage, "gridos", "Abort")
    _rollout(stage, "gridos-two", "Progressing")
    _rollout(stage, "gridos-three", "Paused")
    run = {"namespace": "gridos", "name": "gridos-abc-2-2", "phase": "Inconclusive"}
    exporters.set("analysis_run_info", run, 1)
    _application(stage, "OutOfSync")
    _autoscaler(stage, desired=20)
    _certificate(stage, days=5)
    _probe(stage, succeeds=False)
    waiting = {"namespace": "gridos", "pod": "gridos-abc-1", "container": "gridos"}
    reason = waiting | {"reason": "CrashLoopBackOff"}
    exporters.set("kube_pod_container_status_waiting_reason", reason, 1)
    stage.throttled = True
    try:
        yield
    finally:
        exporters.remove("analysis_run_info")
        exporters.remove("kube_pod_container_status_waiting_reason")
        stage.throttled = False
        _set_the_scene(stage)


def _exporters_gone(stage: Stage) -> AbstractContextManager[None]:
    """A Probe, two controllers and a monitor that select nothing any more."""

    def remove() -> None:
        # An hour of the quick clock: only then is a job missed.
        stage.wait(partial(_answers, stage, 'up{job="node-exporter"} offset 1h'), HOUR_TIMEOUT_S)
        for name in ("probe_success", "rollout_info", "argocd_app_info", "up"):
            stage.world.exporters.remove(name)

    return during(remove, partial(_set_the_scene, stage))


def _set_the_scene(stage: Stage) -> None:
    """A cluster on a good day."""
    # As another job's target, which can go as a whole.
    stage.world.exporters.set("up", {"job": "node-exporter", "instance": "node"}, 1)
    stage.world.exporters.remove("rollout_info")
    _rollout(stage, "gridos", "Completed")
    _application(stage, "Synced")
    _autoscaler(stage, desired=4)
    _certificate(stage, days=60)
    _probe(stage, succeeds=True)


def _rollout(stage: Stage, name: str, phase: str) -> None:
    exporters = stage.world.exporters
    labels = {"namespace": "gridos", "name": name, "strategy": "canary", "traffic_router": ""}
    if name == "gridos":
        exporters.remove("rollout_info")
    exporters.set("rollout_info", labels | {"phase": phase}, 1)


def _application(stage: Stage, status: str) -> None:
    labels = {"namespace": "argocd", "name": "gridos", "dest_namespace": "gridos"}
    stage.world.exporters.remove("argocd_app_info")
    stage.world.exporters.set("argocd_app_info", labels | {"sync_status": status}, 1)


def _autoscaler(stage: Stage, desired: int) -> None:
    labels = {"namespace": "gridos", "horizontalpodautoscaler": "gridos"}
    name = "kube_horizontalpodautoscaler"
    stage.world.exporters.set(f"{name}_status_desired_replicas", labels, desired)
    stage.world.exporters.set(f"{name}_spec_max_replicas", labels, 20)


def _certificate(stage: Stage, days: int) -> None:
    labels = {"instance": "https://gridos.example"}
    expiry = time.time() + days * 86400
    stage.world.exporters.set("probe_ssl_earliest_cert_expiry", labels, expiry)


def _probe(stage: Stage, *, succeeds: bool) -> None:
    labels = {"namespace": "gridos", "job": "probe/gridos/gridos"}
    stage.world.exporters.set("probe_success", labels, int(succeeds))


SCENARIOS = (
    Scenario("nothing is wrong", (WATCHDOG,), lambda _: nullcontext(), ending=()),
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
    Scenario(
        "the database's socket is taken away",
        ("GridosDatabaseDown",),
        lambda s: s.world.database_away(),
    ),
    Scenario(
        "every table is locked", ("GridosDatabasePoolExhausted",), lambda s: s.world.tables_locked()
    ),
    Scenario(
        "readings of an unknown bus",
        ("GridosIngestRefused",),
        lambda s: patch.object(s, "every", lambda: s.world.post_unknown_buses(8)),
    ),
    Scenario(
        "the mounted secrets are gone", ("GridosSecretStale",), lambda s: s.world.secrets_away()
    ),
    Scenario("the API keys are emptied", ("GridosApiKeysStale",), lambda s: s.world.keys_emptied()),
    Scenario("one pod of three is stopped", ("TargetDown",), lambda s: _gone(s, s.world.pods[:1])),
    Scenario("every pod is stopped", ("GridosMetricsAbsent",), lambda s: _gone(s, s.world.pods)),
    Scenario(
        "the kubelet's exporter is silent",
        ("GridosKubeMetricsAbsent",),
        lambda s: patch.object(s.world, "kubelet_answers", False),
    ),
    Scenario(
        "a Probe, two controllers and a job have no target",
        ("ExporterAbsent", "JobAbsent"),
        _exporters_gone,
        real=False,
    ),
    Scenario(
        "the thresholds are not loaded",
        ("GateThresholdAbsent",),
        lambda s: _other_rules(s, without=frozenset({"gates.generated.yaml"})),
    ),
    Scenario(
        "a rule that cannot be evaluated",
        ("PrometheusRuleFailures",),
        lambda s: _other_rules(s, more=[_BROKEN]),
    ),
    Scenario(
        "Alertmanager is stopped",
        ("AlertmanagerDown",),
        lambda s: during(s.stack.alertmanager.stop, s.stack.alertmanager.start),
    ),
    Scenario(
        "the receivers answer 500",
        ("AlertmanagerNotificationsFailing",),
        lambda s: patch.object(s.stack.receiver, "refusing", True),
    ),
)
