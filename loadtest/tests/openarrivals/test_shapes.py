"""Shapes: what they hold, and when it is due."""

import itertools

import pytest
from openarrivals import shapes
from openarrivals.shapes import Shape, Stretch


def due(shape, spacing=1.0):
    return list(shape.due(index * spacing for index in itertools.count()))


def test_a_constant_rate_is_due_in_even_steps():
    assert due(shapes.constant(4, 1.0)) == pytest.approx([0.0, 0.25, 0.5, 0.75])


def test_a_ramp_is_due_ever_faster():
    times = due(shapes.ramp(0, 100, 10.0))
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert len(times) == 500
    assert all(later < sooner for sooner, later in itertools.pairwise(gaps))


@pytest.mark.parametrize(
    "shape",
    [
        shapes.constant(50, 20),
        shapes.ramp(10, 200, 30),
        shapes.ramp(200, 0, 30),
        shapes.steps([10, 0, 50], 5),
        shapes.spike(20, 80, 30),
        shapes.diurnal(50, 40, 60),
    ],
    ids=str,
)
def test_every_shape_holds_what_its_area_says(shape):
    times = due(shape)
    assert len(times) == pytest.approx(shape.expected, abs=1)
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] <= shape.seconds


def test_the_density_of_what_is_due_follows_the_rate():
    shape = shapes.diurnal(50, 40, 60)
    times = due(shape)
    for second in range(0, 60, 5):
        within = sum(second <= time < second + 1 for time in times)
        assert within == pytest.approx(shape.rate_at(second + 0.5), abs=1.5)


def test_a_diurnal_shape_swings_between_its_bounds():
    shape = shapes.diurnal(50, 40, 60, periods=2)
    assert shape.peak == pytest.approx(90)
    assert min(s.first for s in shape.stretches) == pytest.approx(10)
    assert shape.seconds == pytest.approx(120)


def test_a_shape_is_read_from_text_and_written_back():
    text = "100 for 30s, 100..400 for 60s, 400 for 10s"
    shape = shapes.parse("100 for 30s, 100..400/s for 1m, 400 for 10000ms")
    assert shape == Shape((Stretch(30, 100, 100), Stretch(60, 100, 400), Stretch(10, 400, 400)))
    assert str(shape) == text
    assert shapes.parse(text) == shape


@pytest.mark.parametrize("text", ["", "fast", "100", "100 for 3", "1.2.3 for 3s", "-4 for 3s"])
def test_what_is_no_shape_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match=r"write .100 for 30s."):
        shapes.parse(text)


def test_a_stretch_without_length_is_refused():
    with pytest.raises(ValueError, match="length above 0"):
        shapes.parse("100 for 0s")


def test_outside_of_a_shape_the_rate_is_nothing():
    shape = shapes.constant(5, 2)
    assert (shape.rate_at(-0.1), shape.rate_at(1), shape.rate_at(2)) == (0, 5, 0)
