"""The API on a real database, request by request."""

import json

import pytest

KEY = {"X-API-Key": "a-key"}


def reading(bus="ieee33-2", at="2026-11-24T09:30:00Z", kw=1.0, kvar=2.0):
    return {"bus_id": bus, "measured_at": at, "kw": kw, "kvar": kvar}


def post(client, *readings, headers=KEY):
    return client.post("/v1/readings", json={"readings": list(readings)}, headers=headers)


def assert_problem(response, status, slug):
    assert response.status_code == status
    assert response.mimetype == "application/problem+json"
    problem = response.get_json()
    assert problem["type"] == f"urn:gridos:problem:{slug}"
    assert problem["status"] == status
    assert problem["title"]
    assert problem["remedy"]
    assert problem["request_id"] == response.headers["X-Request-ID"]
    return problem


def test_the_seed_is_the_published_network(client):
    feeders = client.get("/v1/feeders").get_json()["feeders"]
    (feeder,) = [each for each in feeders if each["id"] == "ieee33"]
    assert (feeder["id"], feeder["buses"], feeder["nominal_kv"]) == ("ieee33", 33, 12.66)
    assert client.get("/v1/feeders/ieee33").get_json() == feeder


def test_the_nominal_load_is_the_published_total(seeded, client):
    from gridos import seed

    buses = seed.network().buses
    assert (sum(b.kw for b in buses), sum(b.kvar for b in buses)) == (3715, 2300)
    assert len([b for b in buses if b.kw]) == 32
    load = client.get("/v1/feeders/ieee33/load").get_json()
    assert load["reporting_buses"] == 33
    assert load["share_of_rating"] == pytest.approx(load["kva"] / 5000)


def test_the_load_is_the_latest_reading_and_not_the_last_sent(client):
    at = "2026-11-25T00:0{}:00Z"
    assert post(client, reading("ieee33-9", at.format(5), kw=500)).status_code == 201
    assert post(client, reading("ieee33-9", at.format(1), kw=1)).status_code == 201
    buses = client.get("/v1/feeders/ieee33/load").get_json()["buses"]
    assert next(b["kw"] for b in buses if b["bus_id"] == "ieee33-9") == 500


def test_the_same_batch_twice_is_stored_once(client, rows):
    batch = [reading(at=f"2026-11-24T10:0{i}:00Z") for i in range(3)]
    nothing = {"stored": 0, "duplicates": 0, "differing": 0, "replaced": 0}
    assert post(client, *batch).get_json() == {**nothing, "stored": 3}
    before = rows()
    assert post(client, *batch).get_json() == {**nothing, "duplicates": 3}
    assert rows() == before


def test_a_batch_with_bad_rows_stores_nothing_and_names_them_all(client, rows):
    before = rows()
    response = post(
        client, reading(at="2026-11-24T11:00:00Z"), reading("nowhere"), reading(kw="many")
    )
    problem = assert_problem(response, 422, "invalid-readings")
    assert [row["row"] for row in problem["rows"]] == [1, 2]
    assert rows() == before


def test_an_unknown_bus_alone_is_named_too(client):
    problem = assert_problem(post(client, reading("nowhere")), 422, "invalid-readings")
    assert problem["rows"] == [{"row": 0, "cause": "no bus has the id 'nowhere'"}]


@pytest.mark.parametrize("headers", [{}, {"X-API-Key": ""}, {"X-API-Key": "a-kez"}])
def test_writing_needs_a_known_key(client, rows, headers):
    before = rows()
    assert_problem(post(client, reading(), headers=headers), 401, "unauthorised")
    assert rows() == before


def test_every_key_that_is_configured_may_write(client):
    assert post(client, reading(), headers={"X-API-Key": "other-key"}).status_code == 201


@pytest.mark.parametrize(
    ("method", "path", "status", "slug"),
    [
        ("GET", "/v1/feeders/none", 404, "unknown-feeder"),
        ("GET", "/v1/feeders/none/load", 404, "unknown-feeder"),
        ("GET", "/v1/feeders/a%00b", 404, "unknown-feeder"),
        ("GET", "/nowhere", 404, "not-found"),
        ("DELETE", "/v1/feeders", 405, "method-not-allowed"),
    ],
)
def test_what_is_not_there_is_a_problem_with_a_remedy(client, method, path, status, slug):
    assert_problem(client.open(path, method=method), status, slug)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 422),
        (b"{}", 422),
        (b'{"readings": []}', 422),
        (b'{"readings": 7}', 422),
        (b"\xff", 400),
        (json.dumps({"readings": [reading()] * 10_001}).encode(), 422),
        (b" " * 1_048_577, 413),
    ],
)
def test_a_body_that_is_no_batch_is_a_clear_4xx(client, body, status):
    headers = {**KEY, "Content-Type": "application/json"}
    assert client.post("/v1/readings", data=body, headers=headers).status_code == status


def test_a_wrong_method_says_which_are_right(client):
    assert "GET" in client.delete("/v1/feeders").headers["Allow"]


def test_an_unhandled_exception_is_a_500_in_the_same_shape(app):
    @app.get("/v1/broken")
    def broken():
        raise RuntimeError("secret detail")

    response = app.test_client().get("/v1/broken")
    problem = assert_problem(response, 500, "internal-error")
    assert "secret" not in json.dumps(problem)


def test_the_version_is_the_release(client):
    assert client.get("/version").get_json() == {"version": "1.2.3", "pod": "pod-1"}
