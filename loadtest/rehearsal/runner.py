"""One rehearsal from start to verdict: follow a ground, record, decide, write, tear down."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from rehearsal import verdict
from rehearsal.errors import RehearsalError, ReleaseError
from rehearsal.ground import Event, Ground, Observation
from rehearsal.machine import MachineWatch
from rehearsal.recording import Recording
from rehearsal.verdict import Outcome, Verdict

# The load is met if no more than this share of the seconds fell short by a tenth.
SHORT_SECONDS = 0.1

# What ends a rehearsal before its verdict, by the exit code of the error.
_OUTCOMES = {
    outcome.exit_code: outcome
    for outcome in (Outcome.UNUSABLE, Outcome.NOT_MEASURED, Outcome.FAULT)
}

Watcher = Callable[[Recording, Observation, Sequence[Event]], None]


@dataclass
class Run:
    """What one rehearsal left: the record, the verdict, and what was torn down."""

    record: Recording = field(default_factory=Recording)
    watch: MachineWatch = field(default_factory=lambda: MachineWatch(expected_s=0.3))
    verdict: Verdict = Verdict(Outcome.FAULT, "Nothing was rehearsed")
    torn_down: tuple[str, ...] = ()
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    released_at: datetime | None = None
    ended_at: datetime = field(default_factory=lambda: datetime.now(UTC))


def rehearse(ground: Ground, rate: float, watcher: Watcher) -> Run:
    """Runs a rehearsal on a ground; whatever happens, the ground is torn down.

    Args:
        ground: Where it happens.
        rate: The requests a second that the users are to send; 0 where none are.
        watcher: Called after each observation, to show it.
    """
    run = Run()
    try:
        _follow(run, ground.prepare(), watcher)
        run.record.rebase()
        run.released_at = datetime.now(UTC)
        _follow(run, ground.rehearse(), watcher)
        run.verdict = _decide(run, rate)
    except KeyboardInterrupt:
        run.verdict = Verdict(Outcome.INTERRUPTED, "Interrupted before there was a verdict")
    except ReleaseError as failed:
        run.verdict = Verdict(Outcome.NOT_RELEASED, f"Not released: {failed}")
    except RehearsalError as failed:
        run.verdict = Verdict(_OUTCOMES[failed.exit_code], str(failed))
    finally:
        run.torn_down = ground.tear_down()
        run.ended_at = datetime.now(UTC)
    return run


def _follow(run: Run, observations: Iterator[Observation], watcher: Watcher) -> None:
    for observation in observations:
        run.watch.tick()
        fresh = run.record.take(observation)
        watcher(run.record, observation, fresh)


def _decide(run: Run, rate: float) -> Verdict:
    last = run.record.last
    if last is None:
        return Verdict(Outcome.FAULT, "The ground ended without an observation")
    seconds = run.record.seconds
    short = sum(second.requests < 0.9 * rate for second in seconds)
    return verdict.decide(last, load_met=short <= SHORT_SECONDS * max(1, len(seconds)))
