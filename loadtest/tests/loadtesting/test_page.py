"""The report's plots."""

import re

import pytest
from loadtesting import page

from canary.plot import RIGHT


def piece(index):
    return {"index": index, "requests": 50, "dropped": 0, "finished": 50}


def test_what_a_stopped_run_still_wanted_is_not_drawn_beyond_the_frame():
    document = {"slice_s": 1.0, "slices": [piece(0), piece(1)], "shape": "50 for 20s"}
    drawn = str(page.arrivals_plot(document))
    (path,) = re.findall(r'class="line wanted" d="([^"]+)"', drawn)
    rightmost = max(float(x) for x in re.findall(r"[ML]([\d.]+),", path))
    width = float(re.search(r'viewBox="0 0 ([\d.]+)', drawn)[1])
    assert rightmost <= width - RIGHT


def heights(drawn, style):
    """The heights on the page of a line's points, and of the limit; downwards is more."""
    path = re.search(rf'class="line {style}" d="M([^"]+)"', drawn)[1]
    limit = re.search(r'class="limit"><line [^>]*y1="([\d.]+)"', drawn)[1]
    return [float(point.split(",")[1]) for point in path.split("L")], float(limit)


@pytest.mark.parametrize(("scale", "above"), [(1, False), (30, True)])
def test_latency_is_drawn_on_its_side_of_the_limit(run, scale, above):
    drawn = str(page.latency_plot(run(1, scale=scale)))
    points, limit = heights(drawn, "p95")
    assert {y < limit for y in points} == {above}
    assert "p95 &lt; 250 ms" in drawn


def test_the_report_is_one_file_with_all_its_plots(run):
    document = run(1, failing=0.02) | {
        "host": "http://grid",
        "started_at": "2026-01-01T00:00:00+00:00",
        "seed": 1,
        "users": 20,
        "generator_cpu_percent": 10.0,
        "service": None,
    }
    text = page.render(document)
    assert re.findall(r'aria-label="([^"]+)"', text) == [
        "latency over time",
        "arrivals against completions",
        "failed, lost and dropped requests",
        "latency by percentile",
    ]
    assert not re.search(r"<(?:link|script|img)|\b(?:src|href)=|url\(|@import", text)
