"""The domain: what a reading must satisfy, and what loads add up to."""

import math

import pytest
from gridos.domain.grid import read_batch, sum_loads

GOOD = {"bus_id": "b", "measured_at": "2026-11-24T09:30:00Z", "kw": 1.5, "kvar": -2}


def test_a_good_row_becomes_a_reading():
    readings, bad = read_batch([GOOD])
    assert not bad
    assert (readings[0].kw, readings[0].measured_at.isoformat()) == (
        1.5,
        "2026-11-24T09:30:00+00:00",
    )


@pytest.mark.parametrize(
    ("row", "cause"),
    [
        ("text", "is not an object"),
        ({**GOOD, "extra": 1}, "extra differs"),
        ({"bus_id": "b"}, "kvar, kw, measured_at differs"),
        ({**GOOD, "bus_id": 7}, "bus_id must be a text"),
        ({**GOOD, "bus_id": "a\x00b"}, "bus_id must be a text"),
        ({**GOOD, "kw": "1"}, "kw must be a finite number"),
        ({**GOOD, "kw": True}, "kw must be a finite number"),
        ({**GOOD, "kw": math.nan}, "kw must be a finite number"),
        ({**GOOD, "kvar": math.inf}, "kvar must be a finite number"),
        ({**GOOD, "kvar": 10**400}, "kvar must be a finite number"),
        ({**GOOD, "measured_at": 5}, "must be an RFC 3339 text"),
        ({**GOOD, "measured_at": "yesterday"}, "must be RFC 3339"),
        ({**GOOD, "measured_at": "2026-11-24T09:30:00"}, "must carry a zone"),
        ({**GOOD, "measured_at": "9999-12-31T23:59:59-12:00"}, "between the years 2000 and 2100"),
        ({**GOOD, "measured_at": "1999-12-31T23:59:59Z"}, "between the years 2000 and 2100"),
    ],
)
def test_a_bad_row_is_named_with_its_cause(row, cause):
    readings, bad = read_batch([GOOD, row])
    assert list(readings) == [0]
    assert (bad[0].row, cause in bad[0].cause) == (1, True), bad


def test_loads_add_up_as_vectors_and_a_silent_bus_adds_nothing():
    rows = [{"kw": 3.0, "kvar": 0.0}, {"kw": 0.0, "kvar": 4.0}, {"kw": None, "kvar": None}]
    load = sum_loads(rows, rated_kva=10)
    assert (load.kva, load.share_of_rating, load.reporting_buses) == (5.0, 0.5, 2)
