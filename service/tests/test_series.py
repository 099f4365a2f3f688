"""Time series: ranges, buckets and pages."""

import gzip
from datetime import UTC, datetime, timedelta
from itertools import chain

import psycopg
import pytest
from gridos.domain.series import BadRange, Bucket, Cursor, decode, window

NOW = datetime(2026, 11, 24, tzinfo=UTC)
START = datetime(2031, 1, 1, tzinfo=UTC)


def test_a_day_that_ends_now_is_meant_if_nothing_is_said():
    asked = window(None, None, Bucket.RAW, 10, None, NOW)
    assert (asked.start, asked.end) == (NOW - timedelta(days=1), NOW)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (NOW, NOW),
        (NOW, NOW - timedelta(days=1)),
        (NOW.replace(tzinfo=None), None),
        (datetime.max.replace(tzinfo=UTC), None),
        (None, datetime.min.replace(tzinfo=UTC)),
    ],
)
def test_a_range_that_makes_no_sense_is_refused(start, end):
    with pytest.raises(BadRange):
        window(start, end, Bucket.RAW, 10, None, NOW)


def test_a_cursor_survives_its_url():
    cursor = Cursor("ieee33-9", NOW + timedelta(microseconds=7))
    assert decode(cursor.encode()) == cursor


@pytest.mark.parametrize("text", ["x", "!!!!", "AAAA", "MjAyNi0xMS0yNA"])
def test_what_is_no_cursor_is_refused(text):
    with pytest.raises(BadRange):
        decode(text)


@pytest.fixture(scope="module")
def hour(seeded):
    """Two buses, a reading a minute for an hour: kw counts up from 0 to 59."""
    with psycopg.connect(seeded) as connection:
        connection.cursor().executemany(
            "INSERT INTO reading VALUES (%s, %s, %s, 0) ON CONFLICT DO NOTHING",
            [
                (bus, START + timedelta(minutes=minute), float(minute))
                for bus in ("ieee33-4", "ieee33-30")
                for minute in range(60)
            ],
        )


def get(client, path="/v1/buses/ieee33-4/readings", headers=None, **query):
    query = {"start": START.isoformat(), **query}
    return client.get(path, query_string=query, headers=headers)


def test_raw_readings_come_in_order_of_time(client, hour):
    answer = get(client).get_json()
    assert answer["columns"] == ["bus_id", "at", "kw", "kvar"]
    assert [row[2] for row in answer["rows"]] == list(range(60))
    assert answer["rows"][1] == ["ieee33-4", "2031-01-01T00:01:00.000000Z", 1.0, 0.0]
    assert answer["next"] is None


def test_buckets_have_their_mean_and_their_greatest(client, hour):
    rows = get(client, bucket="15m").get_json()["rows"]
    assert [row[1:] for row in rows] == [
        [f"2031-01-01T00:{15 * i:02}:00Z", 15 * i + 7.0, 15 * i + 14.0, 0.0, 0.0, 15]
        for i in range(4)
    ]
    assert len(get(client, bucket="1m").get_json()["rows"]) == 60
    ((*_, most, _, _, readings),) = get(client, bucket="1h").get_json()["rows"]
    assert (most, readings) == (59.0, 60)


@pytest.mark.parametrize("bucket", ["raw", "1m", "15m"])
@pytest.mark.parametrize("limit", [1, 7, 60])
def test_pages_together_are_the_whole(client, hour, bucket, limit):
    path = "/v1/feeders/ieee33/readings"
    whole = get(client, path, bucket=bucket).get_json()["rows"]
    assert len({tuple(row[:2]) for row in whole}) == len(whole) > 7
    page = get(client, path, bucket=bucket, limit=limit).get_json()
    pages = [page["rows"]]
    while page["next"] is not None:
        page = get(client, path, bucket=bucket, limit=limit, after=page["next"]).get_json()
        pages.append(page["rows"])
    assert max(map(len, pages)) <= limit
    assert list(chain(*pages)) == whole


def test_an_answer_that_is_known_already_is_not_sent_again(client, hour):
    first = get(client)
    again = get(client, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_a_long_answer_is_packed_for_those_who_take_it(client, hour):
    plain = get(client)
    packed = get(client, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == plain.data
    assert len(packed.data) * 4 < len(plain.data)
    assert packed.headers["ETag"] == plain.headers["ETag"]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"bucket": "2m"}, "bucket"),
        ({"limit": 0}, "limit"),
        ({"limit": 100_001}, "limit"),
        ({"start": "yesterday"}, "start"),
        ({"start": "2031-01-01T00:00:00"}, "start"),
        ({"start": "0"}, "start"),
        ({"start": "2031-01-01T00:00:00Z", "end": "2030-01-01T00:00:00Z"}, "after start"),
        ({"after": "nonsense"}, "after"),
        ({"more": "1"}, "more"),
        ({"end": "9999-12-31T23:59:59-12:00"}, "9999"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_named(client, query, named):
    answer = client.get("/v1/feeders/ieee33/readings", query_string=query)
    assert answer.status_code == 422
    problem = answer.get_json()
    assert problem["type"] == "urn:gridos:problem:invalid-parameters"
    assert named in problem["detail"]


@pytest.mark.parametrize("path", ["/v1/feeders/none/readings", "/v1/buses/none/readings"])
def test_what_there_is_not_has_no_series(client, path):
    assert client.get(path).status_code == 404


def test_a_year_at_the_edge_of_what_there_is_is_answered(client):
    answer = get(client, start="0001-01-01T00:00:00Z", end="9999-12-31T23:59:59Z", bucket="1h")
    assert answer.status_code == 200
