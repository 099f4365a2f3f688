"""A batch: what a reading must satisfy, and how what is wrong is said."""

import json
import tracemalloc
from datetime import UTC, datetime

import pytest
from gridos.domain import batch
from gridos.domain.batch import MalformedBatch, RefusedBatch

LATEST = datetime(2027, 1, 1, tzinfo=UTC)
GOOD = {"bus_id": "b", "measured_at": "2026-11-24T09:30:00Z", "kw": 1.5, "kvar": -2}


def at(instant):
    return {**GOOD, "measured_at": instant}


def read(*rows):
    return batch.read(json.dumps({"readings": list(rows)}).encode(), lines=False, latest=LATEST)


def test_a_good_row_becomes_a_reading():
    (reading,) = read(GOOD)
    assert (reading.kw, reading.kvar) == (1.5, -2.0)
    assert reading.measured_at.isoformat() == "2026-11-24T09:30:00+00:00"


def test_lines_are_read_as_an_array_is():
    lines = (json.dumps(GOOD) + "\n\n") * 3
    assert batch.read(lines.encode(), lines=True, latest=LATEST) == read(GOOD, GOOD, GOOD)


@pytest.mark.parametrize(
    ("row", "cause"),
    [
        ("text", "Expected `object`, got `str`"),
        ({**GOOD, "extra": 1}, "unknown field `extra`"),
        ({"bus_id": "b"}, "missing required field `measured_at`"),
        ({**GOOD, "bus_id": 7}, "`$.bus_id`"),
        ({**GOOD, "bus_id": ""}, "`$.bus_id`"),
        ({**GOOD, "kw": "1"}, "Expected `float`, got `str` - at `$.kw`"),
        ({**GOOD, "kw": True}, "`$.kw`"),
        ({**GOOD, "kw": None}, "`$.kw`"),
        ({**GOOD, "kw": 1e7}, "<= 1000000.0 - at `$.kw`"),
        ({**GOOD, "kvar": 10**400}, "`$.kvar`"),
        (at(5), "`$.measured_at`"),
        (at("yesterday"), "Invalid RFC3339"),
        (at("2026-11-24T09:30:00"), "timezone"),
        (at("9999-12-31T23:59:59-12:00"), "measured_at"),
        (at("9999-12-31T23:59:59Z"), "between the year 2000 and 2027-01-01T00:00:00Z"),
        (at("2027-01-01T01:00:00.000001+01:00"), "between the year 2000 and 2027"),
        (at("1999-12-31T23:59:59Z"), "between the year 2000 and 2027"),
    ],
)
@pytest.mark.parametrize("lines", [False, True])
def test_every_bad_row_is_named_with_its_cause(row, cause, lines):
    rows = [GOOD, row, GOOD, row]
    body = "\n".join(map(json.dumps, rows)) if lines else json.dumps({"readings": rows})
    with pytest.raises(RefusedBatch) as caught:
        batch.read(body.encode(), lines=lines, latest=LATEST)
    refused = caught.value
    named = [(bad.row, cause in bad.cause) for bad in refused.rows]
    assert (named, refused.size) == ([(1, True), (3, True)], 4), refused.rows


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_json_does_not_have_is_no_reading(number):
    text = json.dumps(GOOD).replace("1.5", number)
    for body, lines in ((f'{{"readings": [{text}]}}', False), (text, True)):
        with pytest.raises((RefusedBatch, MalformedBatch)):
            batch.read(body.encode(), lines=lines, latest=LATEST)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"{", MalformedBatch),
        (b"\xff", MalformedBatch),
        (b'{"readings": [' + b"[" * 100_000, MalformedBatch),
        (b"[]", RefusedBatch),
        (b"{}", RefusedBatch),
        (b'{"readings": []}', RefusedBatch),
        (b'{"readings": 7}', RefusedBatch),
        (b'{"readings": [], "more": 1}', RefusedBatch),
    ],
)
def test_what_is_no_batch_is_told_from_what_is_no_json(body, error):
    with pytest.raises(error):
        batch.read(body, lines=False, latest=LATEST)


def test_a_batch_has_an_end():
    with pytest.raises(RefusedBatch, match="at most 10000"):
        read(*[GOOD] * 10_001)


def test_an_empty_body_of_lines_is_no_batch():
    with pytest.raises(RefusedBatch, match="at least one"):
        batch.read(b"\n\n", lines=True, latest=LATEST)


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        (b'{"readings": [' + b"1," * 4_000_000 + b"1]}", False),
        (b'{"readings": [' + b"{}," * 2_000_000 + b"{}]}", False),
        (b"1\n" * 4_000_000, True),
        (b"{}\n" * 2_000_000, True),
    ],
)
def test_rows_beyond_a_batchs_bound_are_not_even_made(body, lines):
    tracemalloc.start()
    try:
        with pytest.raises(RefusedBatch, match="at most 10000"):
            batch.read(body, lines=lines, latest=LATEST)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_rows_with_the_same_bus_and_time_are_named_with_the_row_that_was_first():
    other = {**at("2026-11-24T10:30:00+01:00"), "kw": 9}
    repeats = batch.find_repeats(dict(enumerate(read(GOOD, {**GOOD, "bus_id": "c"}, other, GOOD))))
    assert [(row.row, row.cause) for row in repeats] == [
        (2, "row 0 has the same bus and time"),
        (3, "row 0 has the same bus and time"),
    ]
