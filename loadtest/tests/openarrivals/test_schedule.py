"""The schedule: seeded, shared without overlap, and really Poisson."""

import statistics

import pytest
from openarrivals import schedule, shapes
from openarrivals.schedule import Plan

PLAN = Plan(shapes.constant(200, 60), seed=7)


def test_the_same_seed_gives_the_same_arrivals():
    assert list(PLAN.due()) == list(Plan(shapes.constant(200, 60), seed=7).due())


def test_another_seed_gives_others():
    assert list(PLAN.due()) != list(Plan(shapes.constant(200, 60), seed=8).due())


@pytest.mark.parametrize("workers", [1, 2, 3, 8])
def test_workers_share_the_schedule_without_overlap_or_gap(workers):
    weights = {"Reader": 3, "Writer": 1}
    shares = [list(schedule.slots(PLAN, weights, index, workers)) for index in range(workers)]
    together = sorted((slot for share in shares for slot in share), key=lambda slot: slot.number)
    assert together == list(schedule.slots(PLAN, weights))


def test_classes_get_arrivals_by_their_weights():
    kinds = [slot.kind for slot in schedule.slots(PLAN, {"Reader": 3, "Writer": 1})]
    assert kinds.count("Reader") / len(kinds) == pytest.approx(0.75, abs=0.02)


def test_poisson_counts_vary_as_much_as_they_are_large():
    seconds = [0] * 60
    for due_s in PLAN.due():
        seconds[int(due_s)] += 1
    assert statistics.mean(seconds) == pytest.approx(200, rel=0.03)
    assert 0.6 < statistics.variance(seconds) / statistics.mean(seconds) < 1.6


def test_constant_spacing_is_a_metronome():
    times = list(Plan(shapes.constant(10, 3), "constant").due())
    assert times == pytest.approx([index / 10 for index in range(30)])


def test_a_plan_survives_the_way_to_a_worker():
    plan = Plan(shapes.parse("1 for 2s, 1..5 for 3s"), "constant", 9, 0.5)
    assert schedule.from_message(plan.to_message()) == plan


def test_an_arrivals_draws_belong_to_its_number_alone():
    first = schedule.draws(PLAN, 12).random()
    assert first == schedule.draws(PLAN, 12).random()
    assert first != schedule.draws(PLAN, 13).random()
