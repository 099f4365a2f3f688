"""One rehearsal from start to verdict: follow a target, record, decide, write, tear down."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from canary.errors import RehearsalError, ReleaseError
from canary.rehearse import verdict
from canary.rehearse.evidence import Evidence
from canary.rehearse.target import Event, Observation, Target
from canary.rehearse.timeline import Timeline
from canary.rehearse.verdict import Conditions, Outcome, Verdict
from canary.runtime import processes, program
from canary.runtime.machine import MachineWatch

# What ends a rehearsal before its verdict, by the exit code of the error.
_OUTCOMES = {
    outcome.exit_code: outcome
    for outcome in (Outcome.UNUSABLE, Outcome.NOT_MEASURED, Outcome.FAULT)
}

Watcher = Callable[[Timeline, Observation, Sequence[Event]], None]


@dataclass
class Run:
    """What one rehearsal left: the record, the verdict, and what was torn down."""

    timeline: Timeline = field(default_factory=Timeline)
    watch: MachineWatch = field(default_factory=lambda: MachineWatch(expected_s=0.3))
    conditions: Conditions = field(default_factory=Conditions)
    cpu_seconds: Mapping[str, float] = field(default_factory=dict)
    verdict: Verdict = Verdict(Outcome.FAULT, "Nothing was rehearsed")
    torn_down: tuple[str, ...] = ()
    evidence: Evidence = field(default_factory=Evidence)
    warmed_up: int = 0  # of the timeline's seconds, those before the release
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    released_at: datetime | None = None
    ended_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def honest(self) -> bool:
        """Whether the machine stood in nobody's way."""
        return self.conditions.fair and self.verdict.outcome is not Outcome.FAULT

    @property
    def timed(self) -> bool:
        """Whether times tell canary and stable apart: on a busy machine only where a gate did."""
        decision = self.verdict.decision
        told = decision is not None and verdict.may_time(decision.metric.name)
        return self.honest or (told and self.verdict.outcome is Outcome.ROLLED_BACK)


def rehearse(target: Target, watcher: Watcher) -> Run:
    """Runs a rehearsal on a target; whatever happens, the target is torn down.

    Args:
        target: Where it happens.
        watcher: Called after each observation, to show it.
    """
    run = Run()
    try:
        _follow(run, target.prepare(), watcher)
        run.timeline.rebase()
        run.released_at = datetime.now(UTC)
        # What comes before the release waits for servers to start, and is late by nature.
        run.watch = MachineWatch(target.observe_s)
        run.warmed_up = len(run.timeline.seconds)
        _follow(run, target.rehearse(), watcher)
        run.verdict = _decide(run, target)
    except KeyboardInterrupt:
        early = Verdict(Outcome.INTERRUPTED, "Interrupted before there was a verdict")
        run.verdict = _decided(run, target) or early
    except ReleaseError as failed:
        run.verdict = Verdict(Outcome.NOT_RELEASED, f"Not released: {failed}")
    except RehearsalError as failed:
        run.verdict = _decided(run, target) or Verdict(_OUTCOMES[failed.exit_code], str(failed))
    finally:
        with program.undisturbed():
            run.torn_down = target.tear_down()
            run.evidence = target.evidence(run.timeline.decided_at_s, timed=run.timed)
        run.cpu_seconds = processes.cpu_spent()
        run.ended_at = datetime.now(UTC)
    return run


def _follow(run: Run, observations: Iterator[Observation], watcher: Watcher) -> None:
    for observation in observations:
        run.watch.tick()
        fresh = run.timeline.take(observation)
        watcher(run.timeline, observation, fresh)


def _decided(run: Run, target: Target) -> Verdict | None:
    """The verdict on a release that was decided and is only draining, if it was."""
    last = run.timeline.last
    return _decide(run, target) if last is not None and last.decided else None


def _decide(run: Run, target: Target) -> Verdict:
    last = run.timeline.last
    if last is None:
        return Verdict(Outcome.FAULT, "The target ended without an observation")
    run.conditions = verdict.conditions(
        last,
        target.hashes,
        target.rollout,
        seconds=run.timeline.seconds[run.warmed_up :],
        events=run.timeline.events,
        late_s=run.watch.latest_s,
        busy_share=run.watch.busy_share,
    )
    place = run.timeline.decided(verdict.deciding_window_s(last))
    return verdict.decide(last, run.conditions, place)
