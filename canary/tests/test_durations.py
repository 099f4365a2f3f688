import pytest

from canary import durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("250ms", 0.25), ("1m30s", 90), ("1.5h", 5400), ("2d", 172800), ("10us", 1e-5)],
)
def test_go_and_promql_durations_are_read_as_seconds(text, seconds):
    assert durations.parse(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "1x", "m", "1m 30s", "-5s", "1m30"])
def test_what_is_no_duration_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="not a duration such as"):
        durations.parse(text)


@pytest.mark.parametrize("seconds", [0, 0.001, 0.8333, 10, 90, 3661.5])
def test_what_is_rendered_reads_back_to_the_millisecond(seconds):
    assert durations.parse(durations.render(seconds)) == pytest.approx(seconds, abs=0.0005)


@pytest.mark.parametrize(
    ("query", "scaled"),
    [
        ("rate(x[1m])", "rate(x[10s])"),
        ("sum(increase(x[3m] offset 1m))", "sum(increase(x[30s] offset 10s))"),
        ("max_over_time(rate(x[1m])[1h:6m])", "max_over_time(rate(x[10s])[10m:1m])"),
        ("max_over_time(x[1h:])", "max_over_time(x[10m:])"),
        ('x{path="[5m]", pod=~"a-[0-9]+"}[1m]', 'x{path="[5m]", pod=~"a-[0-9]+"}[10s]'),
        ("x - x offset -6m", "x - x offset -1m"),
    ],
)
def test_a_query_is_scaled_in_its_ranges_and_offsets_and_nowhere_else(query, scaled):
    assert durations.scale_query(query, 6) == scaled


def test_the_windows_of_a_query_are_its_ranges():
    assert durations.ranges_s('x{a="[9m]"}[1m] / y[2m:30s]') == (60, 120)
