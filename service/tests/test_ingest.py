"""Batches over HTTP: every form they may come in, and every way they may not."""

import gzip
import json
import socket
import time

import pytest
from gridos import deadlines
from rehearsal.waiting import wait_until

KEY = {"X-API-Key": "a-key"}
JSON = {**KEY, "Content-Type": "application/json"}
LINES = {**KEY, "Content-Type": "application/x-ndjson"}


def rows(minute, count=3):
    return [
        {
            "bus_id": f"ieee33-{number + 2}",
            "measured_at": f"2034-01-01T00:{minute:02}:00Z",
            "kw": number,
            "kvar": 0,
        }
        for number in range(count)
    ]


def test_lines_and_gzip_are_taken(client):
    lines = "\n".join(map(json.dumps, rows(1))).encode()
    assert client.post("/v1/readings", data=lines, headers=LINES).get_json()["stored"] == 3
    packed = gzip.compress(json.dumps({"readings": rows(2)}).encode())
    headers = {**JSON, "Content-Encoding": "gzip"}
    assert client.post("/v1/readings", data=packed, headers=headers).get_json()["stored"] == 3


def test_a_large_batch_is_stored_once_as_a_small_one_is(client):
    many = [
        {**rows(0)[0], "measured_at": f"2035-01-01T{i // 3600:02}:{i // 60 % 60:02}:{i % 60:02}Z"}
        for i in range(1500)
    ]
    body = json.dumps({"readings": many})
    answers = [client.post("/v1/readings", data=body, headers=JSON).get_json() for _ in range(2)]
    assert answers == [{"stored": 1500, "duplicates": 0}, {"stored": 0, "duplicates": 1500}]


def test_of_a_batch_that_overlaps_others_or_itself_each_reading_is_stored_once(client):
    first, second = rows(10, 3), rows(11, 3)
    for batch, answer in (
        (first, {"stored": 3, "duplicates": 0}),
        ([*second, *first], {"stored": 3, "duplicates": 3}),
        ([*rows(12, 2), *rows(12, 2)], {"stored": 2, "duplicates": 2}),
    ):
        body = json.dumps({"readings": batch})
        assert client.post("/v1/readings", data=body, headers=JSON).get_json() == answer


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

    reading = {"bus_id": "south-2", "measured_at": "2034-01-01T00:00:00Z", "kw": 9, "kvar": 1}
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


def drip(port, length, stop):
    """Sends a head that promises a body, then a byte of it now and then; returns the answer."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(
            b"POST /v1/readings HTTP/1.1\r\nHost: x\r\nX-API-Key: a-key\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % length
        )
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


def test_slow_bodies_are_408_and_hold_no_thread_for_long(serve):
    from concurrent.futures import ThreadPoolExecutor

    with serve() as server, ThreadPoolExecutor(6) as callers:
        end = time.monotonic() + 60
        slow = [
            callers.submit(drip, server.port, 500, lambda: time.monotonic() > end) for _ in "123456"
        ]
        answers = [caller.result() for caller in slow]
        assert sum(b"408" in answer.partition(b"\r\n")[0] for answer in answers) >= 4, answers
        assert server.ask("/v1/feeders")[0] == 200
        assert deadlines.LONGEST_ARRIVAL_S == 10


def test_a_hundred_megabytes_are_refused_before_they_are_sent(serve):
    with serve() as server, socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(
            b"POST /v1/readings HTTP/1.1\r\nHost: x\r\nX-API-Key: a-key\r\n"
            b"Content-Type: application/json\r\nContent-Length: 100000000\r\n\r\n"
        )
        assert b" 413 " in connection.recv(200)


def test_what_ingest_stored_and_refused_is_counted(app, client):
    def value(name):
        text = client.get("/metrics").text
        return next(float(x.split()[-1]) for x in text.splitlines() if x.startswith(name + " "))

    body = json.dumps({"readings": [*rows(5, 2), {"bus_id": "nowhere"}]})
    client.post("/v1/readings", data=body, headers=JSON)
    client.post("/v1/readings", data=json.dumps({"readings": rows(6, 2)}), headers=JSON)
    refused = "gridos_ingest_rows_refused_total"
    assert value("gridos_ingest_rows_stored_total") == 2
    assert value(refused + '{reason="invalid"}') == 1
    assert value(refused + '{reason="batch-refused"}') == 2
    assert wait_until(lambda: value("gridos_db_up") == 1, timeout_s=5)
