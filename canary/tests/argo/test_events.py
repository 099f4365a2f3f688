"""What happens during a release: how it is written, and what the controller makes of it.

Expected counts, steps and names are those seen on the real controller v1.9.1 with 10 replicas.
"""

import re
from math import inf

import pytest

from canary.argo import events, virtual_rollout
from canary.argo.events import Event, Kind
from canary.argo.model import (
    Analysis,
    Hashes,
    Metric,
    Pause,
    Phase,
    Rollout,
    SetWeight,
)

GATE = Metric("gate", "x", success_condition="result[0] < 1")
GUARD = Metric("guard", "x", success_condition="result[0] < 1", interval_s=5)
INLINE = Analysis(("gates",), (GATE,), {})
STEPS = tuple(
    step
    for weight, s in ((10, 60), (25, 120), (50, 180))
    for step in (SetWeight(weight), Pause(s), INLINE)
)
ROLLOUT = Rollout("gridos", "n", 10, STEPS, Analysis(("gates",), (GUARD,), {}, starting_step=6))


def roll_out(*words, measure=virtual_rollout.always_passing):
    happening = [events.parse(text) for text in words]
    hashes = Hashes("new", "old")
    return virtual_rollout.roll_out(ROLLOUT, hashes, measure, lambda: 2.0, happening=happening)


def runs(rolled_out):
    return [(run.name.removeprefix("gridos-new-"), run.phase) for run in rolled_out.runs]


HEALTHY = roll_out()
PASSED = [(f"2-{i}", Phase.SUCCESSFUL) for i in (2, 5, 8)]


@pytest.mark.parametrize(
    ("text", "event"),
    [
        ("traffic=0@step=4+5s", Event(Kind.TRAFFIC, "0", 4, 5.0)),
        ("traffic=2@1m", Event(Kind.TRAFFIC, "2", None, 60.0)),
        ("prometheus=stop@step=1", Event(Kind.PROMETHEUS, "stop", 1, 0.0)),
        ("replicas=20@90s", Event(Kind.REPLICAS, "20", None, 90.0)),
        ("alert=GridosDatabaseDown@step=7", Event(Kind.ALERT, "GridosDatabaseDown", 7, 0.0)),
        ("alert=GridosDatabaseDown@before", Event(Kind.ALERT, "GridosDatabaseDown", None, -inf)),
        ("lose-canary=all@step=4", Event(Kind.LOSE, "all", 4, 0.0)),
        ("promote-full@step=1", Event(Kind.PROMOTE_FULL, "", 1, 0.0)),
    ],
)
def test_an_event_is_what_happens_and_when(text, event):
    assert events.parse(text) == event
    assert events.parse(str(event)) == event


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sleep@5s", "'sleep' is not an event: there are traffic=…"),
        ("abort", "when is such as 30s, step=4 or step=4+5s"),
        ("abort@step=x", "when is such as"),
        ("abort@soon", "when is such as"),
        ("abort=1@5s", "abort takes no value"),
        ("alert@before", "alert takes the name of an alert"),
        ("traffic=0@before", "when is such as 30s"),
        ("traffic=11@5s", "a factor of the rate, 0 to 10"),
        ("traffic=nan@5s", "a factor of the rate"),
        ("replicas=0@5s", "a number of pods, 1 to 100"),
        ("replicas=1.5@5s", "a number of pods"),
        ("prometheus=gone@5s", "stop or start"),
        ("lose-canary@5s", "a number of pods, or all"),
    ],
)
def test_what_is_no_event_is_refused_with_the_known_words(text, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        events.parse(text)


def test_a_promotion_passes_the_pause_it_falls_into_and_no_other():
    rolled_out = roll_out("promote@step=4+10s")
    assert runs(rolled_out)[:2] == PASSED[:2]
    assert rolled_out.outcome == virtual_rollout.PROMOTED
    assert HEALTHY.ended_s - rolled_out.ended_s == pytest.approx(110, abs=3)


def test_a_pause_by_hand_holds_until_a_promotion_and_the_timed_pause_begins_anew():
    rolled_out = roll_out("pause@step=4+10s", "promote@step=4+200s")
    assert rolled_out.outcome == virtual_rollout.PROMOTED
    assert rolled_out.ended_s - HEALTHY.ended_s == pytest.approx(200, abs=3)


def test_a_pause_by_hand_that_nobody_ends_holds_the_release():
    assert roll_out("pause@step=4+10s").outcome == virtual_rollout.STUCK


def test_a_promotion_where_no_pause_is_passes_the_analysis_that_is_under_way():
    rolled_out = roll_out(
        "prometheus=stop@step=1", "promote@step=2+5s", "prometheus=start@step=2+6s"
    )
    assert rolled_out.outcome == virtual_rollout.PROMOTED
    assert runs(rolled_out)[0] == ("2-2", Phase.SUCCESSFUL)  # terminated, with nothing bad measured
    assert rolled_out.runs[0].terminate


def test_a_full_promotion_asks_no_gate_any_more():
    rolled_out = roll_out("promote-full@step=4+10s")
    assert (rolled_out.outcome, runs(rolled_out)) == (virtual_rollout.PROMOTED, PASSED[:1])
    assert HEALTHY.ended_s - rolled_out.ended_s > 280


def test_an_abort_by_hand_goes_back_without_a_reason():
    rolled_out = roll_out("abort@step=4+10s")
    assert rolled_out.outcome == virtual_rollout.ROLLED_BACK
    assert runs(rolled_out) == PASSED[:1]


def test_a_retry_walks_from_the_first_step_with_runs_of_their_own():
    rolled_out = roll_out("abort@step=4+10s", "retry@step=4+30s")
    assert rolled_out.outcome == virtual_rollout.PROMOTED
    names = [name for name, _ in runs(rolled_out)]
    assert names == ["2-2", "2-2.1", "2-5", "2-8", "2"]


def test_an_undo_is_back_on_stable_without_a_step_or_a_gate():
    rolled_out = roll_out("undo@step=7+10s")
    assert rolled_out.outcome == virtual_rollout.UNDONE
    alive = [pod for pod in rolled_out.pods if pod.gone_s is None]
    assert len(alive) == 10
    assert not any(pod.canary for pod in alive)
    assert runs(rolled_out) == [*PASSED[:2], ("2", Phase.SUCCESSFUL)]


@pytest.mark.parametrize(
    ("replicas", "counts"), [(20, [(5, 15), (10, 10), (20, 0)]), (5, [(1, 4), (3, 3), (5, 0)])]
)
def test_a_change_of_replicas_is_rounded_at_once(replicas, counts):
    rolled_out = roll_out(f"replicas={replicas}@step=4+10s")
    assert rolled_out.outcome == virtual_rollout.PROMOTED
    for (at_s, _), wanted in zip(rolled_out.weights[1:], counts, strict=True):
        assert alive_at(rolled_out, at_s + 100) == wanted


def alive_at(rolled_out, at_s):
    alive = [
        p for p in rolled_out.pods if p.created_s <= at_s and (p.gone_s is None or p.gone_s > at_s)
    ]
    canary = sum(pod.canary for pod in alive)
    return canary, len(alive) - canary


@pytest.mark.parametrize("lost", ["1", "all"])
def test_lost_canary_pods_are_replaced_and_abort_nothing(lost):
    rolled_out = roll_out(f"lose-canary={lost}@step=4+10s")
    assert rolled_out.outcome == virtual_rollout.PROMOTED
    assert rolled_out.ended_s == pytest.approx(HEALTHY.ended_s, abs=3)
    assert len(rolled_out.pods) - len(HEALTHY.pods) == (3 if lost == "all" else 1)


def test_a_second_release_walks_from_the_first_step_once_the_first_ones_pods_are_gone():
    rolled_out = roll_out("release@step=7+10s")
    assert rolled_out.outcome == virtual_rollout.PROMOTED
    assert [run.name for run in rolled_out.runs] == [
        *(f"gridos-new-again-3-{i}" for i in (2, 5, 8)),
        "gridos-new-again-3",
    ]
    assert [weight for _, weight in rolled_out.weights] == [10, 25, 50, 10, 25, 50, 100]


def test_a_prometheus_that_is_back_before_the_fifth_error_costs_nothing_but_time():
    rolled_out = roll_out("prometheus=stop@step=1", "prometheus=start@step=2+35s")
    assert rolled_out.outcome == virtual_rollout.PROMOTED
    first = rolled_out.runs[0].results["gate"].measurements
    assert [m.phase for m in first] == [Phase.ERROR] * 4 + [Phase.SUCCESSFUL]


def test_a_prometheus_that_stays_away_aborts():
    rolled_out = roll_out("prometheus=stop@step=1")
    assert (rolled_out.outcome, rolled_out.step) == (virtual_rollout.ROLLED_BACK, 2)


SAME = [(1, 9), (3, 8), (5, 5)]


@pytest.mark.parametrize(
    ("words", "counts"),
    [
        (("promote@step=1+20s",), SAME),
        (("pause@step=4+10s", "promote@step=4+200s"), SAME),
        (("lose-canary=1@step=4+10s",), SAME),
        (("abort@step=4+10s", "retry@step=4+40s"), [(1, 9), (3, 8), *SAME]),
        (("replicas=20@step=1+10s",), [(2, 18), (5, 15), (10, 10)]),
        (("release@step=7+10s",), [*SAME, *SAME]),
    ],
    ids=str,
)
def test_the_pods_at_the_end_of_each_step_are_those_of_the_real_controller(words, counts):
    """Canary and stable, of traces of v1.9.1 on a real API server with the same ten replicas."""
    rolled_out = roll_out(*words)
    following = zip(rolled_out.weights, rolled_out.weights[1:], strict=False)
    seen = [alive_at(rolled_out, next_s - 1.5) for (_, weight), (next_s, _) in following if weight]
    assert seen == counts
