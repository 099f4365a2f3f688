"""The scenarios that the rehearsal and the real controller must agree on.

Each is a release of the shipped Rollout and gates (deploy/base), its pauses cut short, against a
scripted Prometheus: what the gates read is given, and everything that follows from it is compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from acceptance.conformance.scripted import Answer, Script
from canary.argo import events
from canary.argo.events import Event

# What each gate reads of a release with nothing wrong.
GOOD: Mapping[str, Sequence[Answer]] = {
    "canary-requests": [(500.0,)],
    "errors-against-stable": [(0.1,)],
    "route-errors": [(0.5,)],
    "error-ratio": [(0.0,)],
    "p95-against-stable": [(1.0,)],
    "requests-against-stable": [(1.0,)],
    "client-errors-against-stable": [(0.0,)],
    "p95-latency-seconds": [(0.05,)],
    "cpu-saturation-ratio": [(0.2,)],
    "container-restarts": [(0.0,)],
}
HEALTHY = Script(GOOD)
# The index of the second step's pause.
SECOND_PAUSE = 4
# What is asked at the end of the last step with a pause: a gate, and its window cut to a fifteenth
# (outcomes.FACTOR).
LAST_MEASUREMENT = ("p95-latency-seconds", "[11s333ms]")


@dataclass(frozen=True)
class Act:
    """What is done to the Rollout, or a person does, when it has reached a phase or a pause.

    `do` is an event of `canary.argo.events` without its moment.
    """

    do: str
    at_step: int | None = None
    at_phase: str = ""

    @property
    def event(self) -> Event:
        """The same as the rehearsal knows it."""
        return events.parse(f"{self.do}@0s")


@dataclass(frozen=True)
class Scenario:
    """One release.

    `pods` is how the candidate's behave: ready, never-ready or crashing. `canary` takes the place
    of the shipped strategy, behind a router and without gates (routed.py), and so does `blue_green`
    with gates of its own (blue_green.py). `spec` is more of the Rollout's. At the pause
    `turns_at_pause` its script turns: how often the guard measures before is the machine's matter.
    """

    name: str
    script: Script = HEALTHY
    replicas: int = 10
    pods: str = "ready"
    turns_at_pause: int | None = None
    acts: tuple[Act, ...] = ()
    dry_run: str = ""
    manual_pause: bool = False
    canary: Mapping[str, Any] = field(default_factory=dict)
    blue_green: Mapping[str, Any] = field(default_factory=dict)
    spec: Mapping[str, Any] = field(default_factory=dict)

    @property
    def strategy(self) -> dict[str, Any]:
        """What takes the place of the shipped one; nothing if it stays."""
        given = {"canary": self.canary, "blueGreen": self.blue_green}
        return {name: dict(fields) for name, fields in given.items() if fields}


def _reading(**gates: Sequence[Answer]) -> Script:
    return Script({**GOOD, **{name.replace("_", "-"): given for name, given in gates.items()}})


SCENARIOS = (
    Scenario("healthy"),
    Scenario("healthy-of-four", replicas=4),
    Scenario("errors", _reading(errors_against_stable=[(0.1,), (140.0,)])),
    Scenario("a-route", _reading(route_errors=[(), (10000.0,)])),
    Scenario(
        "errors-at-the-second-step",
        Script(GOOD, then={**GOOD, "errors-against-stable": [(140.0,)]}),
        turns_at_pause=SECOND_PAUSE,
    ),
    Scenario(
        "refusals-at-the-second-step",
        _reading(client_errors_against_stable=[(0.0,), (0.2,)]),
    ),
    # One more good answer, so that all gates of the last step have theirs.
    Scenario(
        "errors-after-the-last-look",
        Script(
            GOOD,
            turn=LAST_MEASUREMENT,
            then={**GOOD, "errors-against-stable": [(0.1,), (140.0,)]},
        ),
    ),
    Scenario(
        "latency-at-a-hundred-per-cent",
        Script(GOOD, turn=LAST_MEASUREMENT, then={**GOOD, "p95-latency-seconds": [(0.4,)]}),
    ),
    Scenario("latency", _reading(p95_latency_seconds=[(0.4,)])),
    Scenario("cpu", _reading(cpu_saturation_ratio=[(0.9,)])),
    Scenario("restarts", _reading(container_restarts=[(1.0,)])),
    Scenario(
        "just-below-every-limit",
        _reading(
            error_ratio=[(0.00999,)],
            errors_against_stable=[(99.9,)],
            route_errors=[(4999.0,)],
            p95_latency_seconds=[(0.2499,)],
            cpu_saturation_ratio=[(0.699,)],
        ),
    ),
    Scenario("exactly-at-a-limit", _reading(p95_latency_seconds=[(0.25,)])),
    Scenario(
        "idle",
        _reading(canary_requests=[(0.0,)], error_ratio=[()], p95_latency_seconds=[(float("nan"),)]),
    ),
    Scenario("prometheus-gone-and-back", _reading(error_ratio=[None, None, (0.0,)])),
    Scenario("prometheus-gone", Script({"*": [None]})),
    Scenario("too-few-requests-at-first", _reading(canary_requests=[(10.0,), (500.0,)])),
    Scenario(
        "inconclusive-then-resumed",
        _reading(canary_requests=[*[(10.0,)] * 30, (500.0,)]),
        acts=(Act("promote", at_phase="Paused-Inconclusive"),),
    ),
    Scenario(
        "inconclusive-then-aborted",
        _reading(canary_requests=[(10.0,)]),
        acts=(Act("abort", at_phase="Paused-Inconclusive"),),
    ),
    Scenario("crash-loop", pods="crashing"),
    Scenario("never-ready", pods="never-ready"),
    Scenario("replicas-changed", acts=(Act("replicas=12", at_step=4),)),
    Scenario("dry-run", _reading(error_ratio=[(0.03,)]), dry_run="error-ratio"),
    Scenario(
        "dry-run-of-a-step",
        _reading(p95_latency_seconds=[(0.4,)]),
        dry_run="p95-latency-seconds",
    ),
    Scenario("event-second-release", acts=(Act("release", at_step=7),)),
    Scenario("event-undone", acts=(Act("undo", at_step=4),)),
    Scenario(
        "event-manual-pause-promoted",
        manual_pause=True,
        acts=(Act("promote", at_step=1),),
    ),
    Scenario("event-timed-pause-promoted", acts=(Act("promote", at_step=4),)),
    Scenario(
        "event-paused-by-hand-then-promoted",
        acts=(Act("pause", at_step=4), Act("promote", at_step=4)),
    ),
    Scenario("event-promoted-in-full", acts=(Act("promote-full", at_step=4),)),
    Scenario(
        "event-aborted-then-retried",
        acts=(Act("abort", at_step=4), Act("retry", at_phase="Degraded")),
    ),
    Scenario("event-replicas-doubled", acts=(Act("replicas=20", at_step=1),)),
    Scenario("event-replicas-halved", acts=(Act("replicas=5", at_step=4),)),
    Scenario("event-canary-pod-lost", acts=(Act("lose-canary=1", at_step=4),)),
    Scenario("event-every-canary-pod-lost", acts=(Act("lose-canary=all", at_step=4),)),
)
