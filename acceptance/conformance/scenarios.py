"""The scenarios that the rehearsal and the real controller must agree on.

Each is a release of the shipped Rollout and gates (deploy/base), its pauses cut short, against a
scripted Prometheus: what the gates read is given, and everything that follows from it is compared.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

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


def _scenario(
    name: str,
    *,
    reads: Mapping[str, Sequence[Any]] | None = None,
    reads_all: Sequence[Any] = (),
    turns_at_pause: int | None = None,
    then: Mapping[str, Sequence[Any]] | None = None,
    acts: Sequence[Mapping[str, Any]] = (),
    **more: Any,
) -> Scenario:
    answers = {"*": _answers(reads_all)} if reads_all else _reading(reads or {})
    turn = LAST_MEASUREMENT if turns_at_pause is None else None
    script = Script(answers, turn, _reading(then)) if then else Script(answers)
    given = {"turns_at_pause": turns_at_pause, **more}
    return Scenario(name, script, acts=tuple(Act(**act) for act in acts), **given)


def _reading(gates: Mapping[str, Sequence[Any]]) -> Mapping[str, Sequence[Answer]]:
    return {**GOOD, **{gate: _answers(given) for gate, given in gates.items()}}


def _answers(given: Sequence[Any]) -> Sequence[Answer]:
    return [(each,) if isinstance(each, float) else each for each in given]


FILE = Path(__file__).with_name("scenarios.yaml")
SCENARIOS = tuple(_scenario(**given) for given in yaml.safe_load(FILE.read_text("utf-8")))
