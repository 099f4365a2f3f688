"""The report's plots."""

import re

from loadtesting import page
from rehearsal.plot import RIGHT


def piece(index):
    return {"index": index, "requests": 50, "dropped": 0, "finished": 50}


def test_what_a_stopped_run_still_wanted_is_not_drawn_beyond_the_frame():
    document = {"slice_s": 1.0, "slices": [piece(0), piece(1)], "shape": "50 for 20s"}
    drawn = str(page.arrivals_plot(document))
    (path,) = re.findall(r'class="line wanted" d="([^"]+)"', drawn)
    rightmost = max(float(x) for x in re.findall(r"[ML]([\d.]+),", path))
    width = float(re.search(r'viewBox="0 0 ([\d.]+)', drawn)[1])
    assert rightmost <= width - RIGHT
