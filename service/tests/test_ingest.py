"""Batches over HTTP: every form they may come in, and every way they may not."""

import gzip
import hashlib
import json
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from gridos import deadlines, schema, seed
from gridos.domain.batch import OnConflict, Reading
from gridos.storage import pool
from gridos.storage.readings import Stored, store
from psycopg import sql

from acceptance.service import wire
from canary.runtime.waiting import wait_until

KEY = {"X-API-Key": "a-key"}
JSON = {**KEY, "Content-Type": "application/json"}
LINES = {**KEY, "Content-Type": "application/x-ndjson"}
KW = 1.23456789012345


def reading(number, at, kw=0):
    return {"bus_id": f"ieee33-{number}", "measured_at": at, "kw": kw, "kvar": 0}


def readings(minute, count=3):
    return [reading(n + 2, f"2024-01-01T00:{minute:02}:00Z", n) for n in range(count)]


def many(year, count):
    """Of one bus, a second apart."""
    begins = datetime(2000 + year, 2, 1, tzinfo=UTC)
    return [reading(2, (begins + timedelta(seconds=n)).isoformat()) for n in range(count)]


def test_lines_and_gzip_are_taken(client):
    lines = "\n".join(map(json.dumps, readings(1))).encode()
    assert client.post("/v1/readings", data=lines, headers=LINES).get_json()["stored"] == 3
    packed = gzip.compress(json.dumps({"readings": readings(2)}).encode())
    headers = {**JSON, "Content-Encoding": "gzip"}
    assert client.post("/v1/readings", data=packed, headers=headers).get_json()["stored"] == 3


def test_a_large_batch_is_stored_once_as_a_small_one_is(client):
    answers = [post(client, many(23, 1500)).get_json() for _ in range(2)]
    assert answers == [told(stored=1500), told(duplicates=1500)]


def post(client, batch, **query):
    body = json.dumps({"readings": batch})
    return client.post("/v1/readings", data=body, headers=JSON, query_string=query)


def told(**counts):
    return {"stored": 0, "duplicates": 0, "differing": 0, "replaced": 0, **counts}


def stored_kw(seeded, batch):
    with psycopg.connect(seeded) as connection:
        return [
            connection.execute(
                "SELECT kw FROM reading WHERE bus_id = %s AND measured_at = %s",
                (row["bus_id"], row["measured_at"]),
            ).fetchone()[0]
            for row in batch
        ]


def test_of_a_batch_that_overlaps_others_each_reading_is_stored_once(client):
    first, second = readings(10, 3), readings(11, 3)
    assert post(client, first).get_json() == told(stored=3)
    assert post(client, [*second, *first]).get_json() == told(stored=3, duplicates=3)


@pytest.mark.parametrize("size", [2, 1500])
def test_rows_of_one_batch_with_the_same_bus_and_time_are_refused_by_row(client, size, rows):
    before = rows()
    batch = many(20, size)
    # The same instant in another zone, and with another value: nobody knows which is meant.
    batch.append(
        {**batch[1], "measured_at": batch[1]["measured_at"].replace("+00:00", "Z"), "kw": 7}
    )
    answer = post(client, batch)
    assert answer.status_code == 422
    assert answer.get_json()["rows"] == [{"row": size, "cause": "row 1 has the same bus and time"}]
    assert rows() == before
    batch.append({**batch[0], "bus_id": "nowhere"})
    assert [row["row"] for row in post(client, batch).get_json()["rows"]] == [size, size + 1]


@pytest.mark.parametrize(("year", "size"), [(10, 3), (11, 1500)])
def test_a_correction_is_ignored_by_default_and_said_to_be(client, seeded, year, size):
    batch = many(year, size)
    assert post(client, batch[1:]).get_json() == told(stored=size - 1)
    corrected = [{**row, "kw": row["kw"] + 5} for row in batch[:2]] + batch[2:]
    expected = told(stored=1, duplicates=size - 1, differing=1)
    assert post(client, corrected).get_json() == expected
    assert stored_kw(seeded, batch[:2]) == [5, 0]


@pytest.mark.parametrize(("year", "size"), [(12, 3), (13, 1500)])
def test_a_correction_that_is_asked_for_replaces_and_both_values_are_kept(
    client, seeded, year, size
):
    batch = many(year, size)
    assert post(client, batch[1:]).get_json() == told(stored=size - 1)
    corrected = [{**row, "kw": row["kw"] + 5} for row in batch[:2]] + batch[2:]
    answer = post(client, corrected, on_conflict="replace")
    assert answer.get_json() == told(stored=1, duplicates=size - 2, replaced=1)
    assert stored_kw(seeded, batch[:2]) == [5, 5]
    again = post(client, corrected, on_conflict="replace")
    assert again.get_json() == told(duplicates=size)
    with psycopg.connect(seeded) as connection:
        (correction,) = connection.execute(
            "SELECT kw_before, kw_after, kvar_before, kvar_after, key, request_id"
            " FROM reading_correction WHERE bus_id = %s AND measured_at = %s",
            (batch[1]["bus_id"], batch[1]["measured_at"]),
        ).fetchall()
    key = hashlib.sha256(b"a-key").hexdigest()[:12]
    assert correction == (0, 5, 0, 0, key, answer.headers["X-Request-ID"])


@pytest.mark.parametrize(("year", "size"), [(14, 3), (15, 1500)])
def test_a_correction_that_is_to_be_rejected_stores_nothing_and_names_the_rows(
    client, seeded, rows, year, size
):
    batch = many(year, size)
    post(client, batch[1:])
    before = rows()
    corrected = [{**row, "kw": row["kw"] + 5} for row in batch[:2]] + batch[2:]
    answer = post(client, corrected, on_conflict="reject")
    assert (answer.status_code, answer.get_json()["bad_rows"]) == (409, 1)
    assert answer.get_json()["rows"] == [{"row": 1, "cause": "stored with kw 0.0 and kvar 0.0"}]
    assert rows() == before
    stored = post(client, batch, on_conflict="reject").get_json()
    assert stored == told(stored=1, duplicates=size - 1)


def test_corrections_at_the_same_time_are_each_written_down_with_what_they_found(
    client, seeded, app
):
    batch = many(16, 30)
    post(client, batch)

    def correct(kw):
        rows = [{**row, "kw": kw} for row in (batch if kw % 2 else batch[::-1])]
        return post(app.test_client(), rows, on_conflict="replace").get_json()

    with ThreadPoolExecutor(4) as callers:
        told_of = list(callers.map(correct, range(1, 9)))
    assert sum(each["replaced"] for each in told_of) == 8 * 30
    with psycopg.connect(seeded) as connection:
        steps = connection.execute(
            "SELECT kw_before, kw_after FROM reading_correction WHERE measured_at = %s",
            (batch[0]["measured_at"],),
        ).fetchall()
    # A chain: what each found is what another left, and the last one's stands.
    found, left = zip(*steps, strict=True)
    assert Counter([*found, *stored_kw(seeded, batch[:1])]) == Counter([0.0, *left])


def test_batches_that_share_rows_wait_in_one_order_and_never_for_each_other(seeded):
    at = datetime(2024, 1, 1, 0, 50, tzinfo=UTC)
    shared = [Reading(f"ieee33-{number}", at, 1.0, 0.0) for number in (2, 3)]
    with waiting_for_another(seeded, shared[:1], shared[::-1]) as (another, stored):
        another.execute(INSERT, (shared[1].bus_id, at))
        another.commit()
        assert stored.result(60) == Stored(0, duplicates=2)


@pytest.mark.parametrize(
    ("hour", "on_conflict", "expected"),
    [
        (1, OnConflict.IGNORE, Stored(1, duplicates=2, differing=1)),
        (2, OnConflict.REPLACE, Stored(1, duplicates=1, replaced=1)),
    ],
)
def test_a_row_that_somebody_else_stores_while_a_batch_is_sorted_out_is_compared_too(
    seeded, hour, on_conflict, expected
):
    at = datetime(2024, 1, 1, hour, 50, tzinfo=UTC)
    batch = [Reading(f"ieee33-{number}", at, 1.0, 0.0) for number in (2, 3, 4)]
    with psycopg.connect(seeded, autocommit=True) as connection:
        store(connection, batch[:1])
    changed = [*batch[:1], Reading(batch[1].bus_id, at, 2.0, 0.0), batch[2]]
    with waiting_for_another(seeded, batch[1:2], changed, on_conflict) as (another, stored):
        another.commit()
        assert stored.result(60) == expected


INSERT = "INSERT INTO reading (bus_id, measured_at, kw, kvar) VALUES (%s, %s, 1, 0)"


@contextmanager
def waiting_for_another(seeded, held, batch, *how):
    """(a connection that has stored `held` and not committed, the storing of `batch`, waiting)."""
    with (
        psycopg.connect(seeded) as another,
        psycopg.connect(seeded, autocommit=True) as own,
        psycopg.connect(seeded, autocommit=True) as watching,
        ThreadPoolExecutor(1) as caller,
    ):

        def is_waiting():
            asked = "SELECT FROM pg_locks WHERE pid = %s AND NOT granted"
            return bool(watching.execute(asked, (own.info.backend_pid,)).fetchall())

        for reading in held:
            another.execute(INSERT, (reading.bus_id, reading.measured_at))
        stored = caller.submit(store, own, batch, *how)
        assert wait_until(is_waiting, timeout_s=60)
        yield another, stored


def test_what_to_do_with_corrections_is_one_of_three_words(client):
    answer = post(client, readings(30), on_conflict="overwrite")
    assert (answer.status_code, answer.get_json()["faults"][0]["at"]) == (422, "on_conflict")
    assert post(client, readings(30), on_conflct="replace").status_code == 422


def test_a_time_ahead_of_the_clock_is_refused_by_row_and_one_within_an_hour_is_not(client, rows):
    before = rows()
    now = datetime.now(UTC)
    batch = [
        reading(7, (now + ahead).isoformat(), 1)
        for ahead in (timedelta(minutes=59), timedelta(minutes=61), timedelta(days=365 * 70))
    ]
    answer = post(client, batch)
    assert answer.status_code == 422
    assert [row["row"] for row in answer.get_json()["rows"]] == [1, 2]
    assert "measured_at must lie between the year 2000 and 20" in answer.text
    assert rows() == before
    assert post(client, batch[:1]).status_code == 201


def test_a_batch_of_bad_rows_is_answered_within_bounds(client):
    bad = [{"bus_id": "nowhere" * 5, "measured_at": "x"} for _ in range(9_999)]
    lines = "\n".join(map(json.dumps, bad))
    for answer in (
        post(client, bad),
        client.post("/v1/readings", data=lines, headers=LINES),
        post(client, [{"x" * 1_000_000: 1}]),
    ):
        assert answer.status_code == 422
        assert len(answer.data) < 30_000
    answer = post(client, [{**row, "bus_id": "nowhere"} for row in many(17, 9_999)])
    assert (len(answer.get_json()["rows"]), answer.get_json()["bad_rows"]) == (100, 9_999)
    assert answer.get_json()["rows"][99]["row"] == 99


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{}", KEY, 415),
        (b"{}", {**KEY, "Content-Type": "text/plain"}, 415),
        (b"{}", {**JSON, "Content-Encoding": "br"}, 415),
        (b"{}", {**JSON, "Content-Encoding": "gzip"}, 400),
        (gzip.compress(b"{}", mtime=0)[:-4], {**JSON, "Content-Encoding": "gzip"}, 400),
        (gzip.compress(b" " * 9_000_000), {**JSON, "Content-Encoding": "gzip"}, 413),
    ],
)
def test_a_body_in_no_form_that_is_taken_is_a_clear_4xx(client, body, headers, status):
    answer = client.post("/v1/readings", data=body, headers=headers)
    assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")


def test_a_network_is_imported_once_and_never_overwritten(client):
    network = {
        "feeder": {"id": "south", "name": "South", "nominal_kv": 10, "rated_kva": 100},
        "buses": [{"number": 1, "kw": 0, "kvar": 0}, {"number": 2, "kw": 9, "kvar": 1, "rated_kva": 5}],
        "lines": [{"from": 1, "to": 2, "r_ohm": 0.1, "x_ohm": 0.1}],
    }  # fmt: skip
    counts = {"feeder_id": "south", "buses": 2, "lines": 1}

    def post(content):
        return client.post("/v1/networks", data=json.dumps(content), headers=JSON)

    assert (post(network).status_code, post(network).status_code) == (201, 200)
    assert post(network).get_json() == {**counts, "created": False}
    other = {**network, "feeder": {**network["feeder"], "rated_kva": 7}}
    assert post(other).status_code == 409
    assert post({**network, "lines": []}).status_code == 422
    assert client.get("/v1/feeders/south/buses").get_json()["buses"][1]["rated_kva"] == 5
    assert client.get("/v1/feeders/south/lines").get_json()["lines"][0]["to_bus"] == "south-2"

    reading = {"bus_id": "south-2", "measured_at": "2024-01-01T00:00:00Z", "kw": 9, "kvar": 1}
    client.post("/v1/readings", data=json.dumps({"readings": [reading]}), headers=JSON)
    overloads = client.get("/v1/overloads").get_json()["overloads"]
    assert "south-2" in [overload["bus_id"] for overload in overloads]
    state = client.get("/v1/feeders/south/state").get_json()
    assert (state["lowest"]["bus_id"], state["silent_buses"]) == ("south-2", 1)


def test_the_document_names_every_route_under_v1(app, client):
    document = client.get("/v1/openapi.json").get_json()
    assert document["openapi"].startswith("3.1")
    served = {
        rule.rule.replace("<", "{").replace(">", "}")
        for rule in app.url_map.iter_rules()
        if rule.endpoint.partition(".")[0] != "documents"
    }
    assert {path for path in served if path.startswith("/v1")} == set(document["paths"])
    assert client.get("/v1/docs", follow_redirects=True).status_code == 200


def promise(connection, length):
    """Sends a head that promises a body."""
    head = wire.head("POST", "/v1/readings", {**JSON, "Content-Length": str(length)})
    connection.sendall(head)


def drip(port, length, stop):
    """Promises a body, then sends a byte of it now and then; returns the answer."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        promise(connection, length)
        connection.settimeout(0.3)
        while not stop():
            try:
                connection.sendall(b" ")
                return connection.recv(100)
            except TimeoutError:
                continue
            except OSError:
                return b""
    return b""


def test_slow_bodies_are_408_and_hold_no_thread_for_long(serve, hurried):
    with serve(PYTHONPATH=hurried) as server, ThreadPoolExecutor(6) as callers:
        end = time.monotonic() + 60
        slow = [
            callers.submit(drip, server.port, 500, lambda: time.monotonic() > end) for _ in "123456"
        ]
        answers = [caller.result() for caller in slow]
        assert sum(b"408" in answer.partition(b"\r\n")[0] for answer in answers) >= 4, answers
        assert server.ask("/v1/feeders")[0] == 200
        assert deadlines.MAX_ARRIVAL_S == 10


def test_a_hundred_megabytes_are_refused_before_they_are_sent(server):
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        promise(connection, 100_000_000)
        assert b" 413 " in connection.recv(200)


def test_what_ingest_stored_and_refused_is_counted(client, metric):
    post(client, [*readings(5, 2), {"bus_id": "nowhere"}])
    post(client, readings(6, 2))
    refused = "gridos_ingest_rows_refused_total"
    assert metric(client, "gridos_ingest_rows_stored_total") == 2
    assert metric(client, refused + '{reason="invalid"}') == 1
    assert metric(client, refused + '{reason="batch-refused"}') == 2
    assert wait_until(lambda: metric(client, "gridos_db_up") == 1, timeout_s=60)


def test_what_a_database_sets_for_its_sessions_does_not_matter(fresh, opened):
    with fresh() as url:
        schema.migrate(url)
        seed.seed(url)
        with psycopg.connect(url, autocommit=True) as connection:
            name = sql.Identifier(connection.info.dbname)
            for setting, value in {
                "DateStyle": "SQL, DMY",
                "TimeZone": "Asia/Kathmandu",
                "default_transaction_isolation": "serializable",
                "extra_float_digits": "-15",
                "idle_session_timeout": "1",
                "exit_on_error": "on",
            }.items():
                connection.execute(
                    sql.SQL("ALTER DATABASE {} SET {} = {}").format(name, sql.SQL(setting), value)
                )
        with opened(url, api_keys="a-key") as app:
            client = app.test_client()
            at = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=1)
            row = {"bus_id": "ieee33-2", "measured_at": at.isoformat(), "kw": KW, "kvar": 0}
            stored = client.post(
                "/v1/readings", json={"readings": [row]}, headers={"X-API-Key": "a-key"}
            )
            loads = client.get("/v1/feeders/ieee33/load").get_json()["buses"]
            series = client.get("/v1/buses/ieee33-2/readings").get_json()["rows"]
            with app.app_context(), pool.connection() as connection:
                isolation = connection.execute("SHOW transaction_isolation").fetchone()
    assert stored.status_code == 201
    assert series == [["ieee33-2", f"{at:%Y-%m-%dT%H:%M:%S.%fZ}", KW, 0]]
    (load,) = [load for load in loads if load["bus_id"] == "ieee33-2"]
    assert (datetime.fromisoformat(load["measured_at"]), load["kw"]) == (at, KW)
    assert isolation == {"transaction_isolation": "read committed"}
