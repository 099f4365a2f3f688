"""What one request, one caller and one import may cost, and that nobody's excess is our failure."""

import gzip
import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import psycopg
import pytest
from gridos import schema, seed, turns
from gridos.access import MAX_CALLERS, Limiter, find_address
from gridos.domain import series
from gridos.domain.batch import Reading
from gridos.domain.network import MAX_BUSES, MAX_LINES
from gridos.domain.series import Bucket, window
from gridos.storage import pool
from gridos.storage import readings as stored
from gridos.storage.networks import MAX_UNKNOWN, UNKNOWN_FOR_S, KnownBuses

from canary.runtime.waiting import wait_until

NOW = datetime(2026, 11, 24, tzinfo=UTC)
POD_BYTES = 256 << 20
KEY = {"X-API-Key": "a-key", "Content-Type": "application/json"}


def price(days, bucket, limit, buses, now=NOW):
    asked = window(now - timedelta(days=days), now, Bucket(bucket), limit, None, now)
    return series.price(asked, buses, now - timedelta(days=400), now)


@pytest.mark.parametrize(
    ("asked", "readings"),
    [
        ((1, "raw", 1000, 33), 1033),
        ((900, "raw", 100_000, 1), 100_001),
        ((1, "15m", 100, 33), 1440 + 1500),
        ((1, "1h", 1000, 33), 33 * 1440),
        ((30, "1h", 100_000, 33), 33 * 30 * 1440),
        ((400, "1h", 100_000, 1), 400 * 1440),
        ((4000, "1h", 100_000, 1), 400 * 1440),
    ],
)
def test_the_price_of_a_page_follows_from_limit_bucket_and_range(asked, readings):
    assert price(*asked) == readings


def test_a_range_where_nothing_can_lie_costs_nothing():
    asked = window(NOW + timedelta(days=1), NOW + timedelta(days=9), Bucket.HOUR, 9, None, NOW)
    assert series.price(asked, 33, NOW - timedelta(days=400), NOW) == 0


@pytest.mark.parametrize("buses", [1, 33, 8500, 10_000])
def test_the_range_that_is_named_as_the_longest_can_be_had(buses):
    days = series.longest(buses) / timedelta(days=1)
    assert price(min(days, 400), "1h", 100_000, buses) <= series.MAX_READ


def test_a_month_of_a_feeder_whose_meters_report_less_often_than_may_be_is_answered(client):
    end = datetime.now(UTC)
    query = {"bucket": "1h", "limit": 100_000, "end": end.isoformat()}
    month = {**query, "start": (end - timedelta(days=31)).isoformat()}
    assert price(31, "1h", 100_000, 33) > series.MAX_READ
    assert client.get("/v1/feeders/ieee33/readings", query_string=month).status_code == 200


def test_a_read_that_costs_too_much_is_refused_before_it_runs_with_how_to_ask_for_less(
    client, seeded, monkeypatch
):
    monkeypatch.setattr(series, "MAX_READ", 120)
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(days=300)
    rows = [Reading("ieee33-9", start + timedelta(minutes=15) * n, 1.0, 1.0) for n in range(121)]
    with psycopg.connect(seeded, autocommit=True) as connection:
        assert stored.store(connection, rows).stored == 121
    query = {"bucket": "1h", "limit": 100, "start": start.isoformat()}

    def ask(last):
        end = {"end": rows[last].measured_at.isoformat()}
        return client.get("/v1/buses/ieee33-9/readings", query_string={**query, **end})

    # The range's end is not part of it.
    assert sum(row[-1] for row in ask(120).get_json()["rows"]) == 120
    query["start"] = (start - timedelta(minutes=1)).isoformat()
    with psycopg.connect(seeded, autocommit=True) as connection:
        before = Reading("ieee33-9", start - timedelta(minutes=1), 1.0, 1.0)
        assert stored.store(connection, [before]).stored == 1
    answer = ask(120)
    problem = answer.get_json()
    assert (answer.status_code, problem["type"]) == (422, "urn:gridos:problem:too-expensive")
    assert "more than 120 readings" in problem["detail"]
    assert "of 1 bus a range of 2 hours never holds more" in problem["detail"]


@pytest.fixture
def hasty(seeded, opened, monkeypatch):
    """An application whose statements time out soon, and whose locks do not."""
    monkeypatch.setattr(pool, "OPTIONS", "-c statement_timeout=300")
    with opened(seeded) as app:
        yield app.test_client()


def locked(url, table):
    """Who reads the table waits while the connection is open."""
    connection = psycopg.connect(url)
    connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
    return connection


def test_a_statement_that_times_out_is_the_callers_excess_where_it_asked_for_much(hasty, seeded):
    with locked(seeded, "reading"):
        answer = hasty.get("/v1/feeders/ieee33/readings?bucket=1h&limit=100000")
    assert answer.status_code == 422
    assert answer.get_json()["type"] == "urn:gridos:problem:too-expensive"
    assert "shorter range" in answer.get_json()["remedy"]


def test_a_statement_that_times_out_is_our_failure_where_it_asked_for_little(hasty, seeded):
    with locked(seeded, "reading"):
        for path in ("load", "readings?bucket=15m&limit=100"):
            answer = hasty.get(f"/v1/feeders/ieee33/{path}")
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


def test_expensive_requests_take_turns_and_who_finds_no_place_is_told_when_to_come_back(app):
    path = "/v1/feeders/ieee33/readings?bucket=1h&limit=100000"

    def get(path):
        return app.test_client().get(path)

    held = app.extensions["turns"]
    with ThreadPoolExecutor(1) as one:
        with held.take():
            waiting = one.submit(get, path)
            assert wait_until(lambda: held.places == 0, timeout_s=60)
            refused = get(path)
            assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
            for cheap in ("readings?bucket=15m&limit=100", "state", "load"):
                assert get(f"/v1/feeders/ieee33/{cheap}").status_code == 200
            assert get("/v1/overloads").status_code == 200
            assert waiting.result().status_code == 429, "it does not wait for long"
        with held.take():
            waiting = one.submit(get, path)
            assert wait_until(lambda: held.places == 0, timeout_s=60)
        assert waiting.result().status_code == 200


def test_a_turn_is_given_back_whatever_happens():
    taken = turns.Turns()
    for _ in range(5):
        with pytest.raises(RuntimeError), taken.take():
            raise RuntimeError
    with taken.take():
        pass


@pytest.mark.parametrize(
    ("forwarded", "trusted", "address"),
    [
        ("1.1.1.1", 1, "1.1.1.1"),
        ("9.9.9.9, 1.1.1.1", 1, "1.1.1.1"),
        ("9.9.9.9, 1.1.1.1, 2.2.2.2", 2, "1.1.1.1"),
        ("1.1.1.1:4711", 1, "1.1.1.1"),
        ("[2001:db8:1:2:3::4]:4711", 1, "2001:db8:1:2::/64"),
        ("2001:db8:1:2:9::9", 1, "2001:db8:1:2::/64"),
        ("::ffff:1.1.1.1", 1, "1.1.1.1"),
        ("", 1, "10.0.0.7"),
        ("1.1.1.1", 2, "10.0.0.7"),
        ("unknown", 1, ""),
    ],
)
def test_a_caller_is_whom_the_outermost_trusted_proxy_saw(forwarded, trusted, address):
    environ = {"REMOTE_ADDR": "10.0.0.7"}
    if forwarded:
        environ["HTTP_X_FORWARDED_FOR"] = forwarded
    assert find_address(environ, trusted) == address


@pytest.fixture
def connected(seeded, opened):
    """Makes connected applications; `connected(reads="keyed")`."""
    with ExitStack() as stack:

        def make(**settings):
            app = opened(seeded, api_keys="r:read,w:readings", **settings)
            return stack.enter_context(app).test_client()

        yield make


def ask(client, address=None, key=None, path="/v1/feeders"):
    headers = {"X-API-Key": key} if key else {}
    if address:
        headers["X-Forwarded-For"] = address
    return client.get(path, headers=headers)


def test_a_caller_without_a_key_is_limited_by_its_address_and_by_nothing_it_makes_up(connected):
    client = connected(trusted_proxies=1, client_requests_per_second=1)
    assert [ask(client, "1.1.1.1").status_code for _ in range(3)] == [200, 200, 429]
    refused = ask(client, "8.8.8.8, 1.1.1.1")
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
    assert ask(client, "1.1.1.2").status_code == 200
    assert ask(client, "1.1.1.1", key="r").status_code == 200, "who has a key needs no address"
    assert ask(client, "1.1.1.1", key="unknown").status_code == 429
    assert client.get("/livez").status_code == client.get("/version").status_code == 200


def test_where_no_proxy_is_trusted_nobody_is_told_apart_and_nobody_limited(connected):
    client = connected(client_requests_per_second=1)
    assert {ask(client, "1.1.1.1").status_code for _ in range(9)} == {200}


def test_every_read_is_public_or_needs_a_key_with_its_scope_as_the_setting_says(connected):
    public, keyed = connected(), connected(reads="keyed")
    document = public.get("/v1/openapi.json").get_json()
    reads = [path for path, operations in document["paths"].items() if "get" in operations]
    assert len(reads) == 9
    for path in (read.format(feeder_id="ieee33", bus_id="ieee33-2") for read in reads):
        assert ask(public, path=path).status_code == 200
        statuses = [ask(keyed, key=key, path=path).status_code for key in (None, "x", "w", "r")]
        assert statuses == [401, 401, 403, 200], path
    for path in ("/v1/openapi.json", "/livez", "/metrics", "/version"):
        assert ask(keyed, path=path).status_code == 200


def test_what_is_read_with_a_key_takes_nothing_from_what_it_may_write(connected):
    client = connected(reads="keyed", key_requests_per_second=1)
    assert {ask(client, key="r").status_code for _ in range(9)} == {200}
    writes = [client.post("/v1/readings", headers={"X-API-Key": "w"}) for _ in range(3)]
    assert [each.status_code for each in writes] == [415, 415, 429]


def test_callers_beyond_those_that_are_remembered_are_forgotten():
    limiter = Limiter(per_second=1)
    assert [limiter.take(b"first", 0.0) for _ in range(3)][-1] > 0
    for number in range(MAX_CALLERS - 1):
        limiter.take(b"%d" % number, 0.0)
    assert limiter.take(b"first", 0.0) > 0
    for number in range(MAX_CALLERS):
        limiter.take(b"%d" % number, 0.0)
    assert limiter.take(b"first", 0.0) == 0


def test_unknown_ids_are_asked_for_once_and_known_again_as_soon_as_they_are_there(
    app, seeded, monkeypatch
):
    asked, here = [], threading.get_ident()
    from gridos.storage import networks

    def fetch(*statement):
        if threading.get_ident() == here:  # and not what warms the app up
            asked.append(1)
        return pool.fetch(*statement)

    monkeypatch.setattr(networks, "fetch", fetch)
    monkeypatch.setattr(networks, "UNKNOWN_FOR_S", 3600.0)  # so that no slow machine forgets first
    known = KnownBuses()
    with app.app_context():
        for _ in range(3):
            assert known.find_unknown(["ieee33-2", "later-1", "nowhere"]) == {"later-1", "nowhere"}
        assert len(asked) == 1
        assert known.find_unknown(["ieee33-2", "ieee33-3"]) == set()
        assert known.find_unknown(["ieee33-3"]) == set()
        assert len(asked) == 2
        known.forget_unknown()
        assert known.find_unknown(["nowhere"]) == {"nowhere"}
        assert len(asked) == 3
        # Full, it begins anew, and what is more than it holds is not kept at all.
        for name, count in (("x", MAX_UNKNOWN), ("y", MAX_UNKNOWN + 1)):
            assert len(known.find_unknown([f"{name}-{n}" for n in range(count)])) == count
        asked.clear()
        assert known.find_unknown(["nowhere"]) == {"nowhere"}
        assert known.find_unknown(["y-0"]) == {"y-0"}
        assert len(asked) == 2
    assert UNKNOWN_FOR_S <= 5


def largest(name):
    """A network of the most buses and lines that are taken: a comb with a doubled back."""
    buses = [
        {"number": n + 1, "kw": 0.01, "kvar": 0.01, "rated_kva": 0.001} for n in range(MAX_BUSES)
    ]
    chain = [(n, n + 1) for n in range(1, MAX_BUSES)]
    rungs = [(n, n + 2) for n in range(1, MAX_BUSES - 1)]
    lines = [
        {"from": a, "to": b, "r_ohm": 0.0001, "x_ohm": 0.0001, "rated_a": 100}
        for a, b in (chain + rungs)[:MAX_LINES]
    ]
    feeder = {"id": name, "name": name, "nominal_kv": 20, "rated_kva": 1}
    return json.dumps({"feeder": feeder, "buses": buses, "lines": lines}).encode()


HOSTILE_NETWORKS = {
    "millions of numbers": b'{"buses": [' + b"1," * 4_000_000 + b"1]}",
    "as many parts as may be counted": b'{"buses": [' + b"{}," * 9_990 + b'{}], "lines": [' + b"{}," * 19_990 + b"{}]}",
    "nested lists": b'{"buses": ' + b"[" * 1_000_000,
    "a long name": b'{"feeder": {"' + b"x" * 1_000_000 + b'": 1}}',
}  # fmt: skip


@pytest.mark.acceptance
def test_a_pods_memory_holds_whatever_is_imported_and_asked_for(serve, fresh):
    with fresh() as url:
        schema.migrate(url)
        seed.seed(url)
        variables = {"GRIDOS_DATABASE_URL": url, "GRIDOS_API_KEYS": "a-key:readings+networks"}
        with serve(**variables) as server:
            gzipped = {**KEY, "Content-Encoding": "gzip"}
            for name in ("a", "b", "c"):
                body = gzip.compress(largest(name))
                assert server.ask("/v1/networks", "POST", body, gzipped)[0] == 201
            sent = [*HOSTILE_NETWORKS.values(), largest("a"), largest("a")]
            asked = [("/v1/networks", gzip.compress(body, 1)) for body in sent]
            for what in ("state", "load", "buses"):
                asked += [(f"/v1/feeders/{name}/{what}", None) for name in "abc"]
                asked.append(("/v1/overloads", None))

            def call(what):
                path, body = what
                return server.ask(path, "POST" if body else "GET", body, gzipped if body else {})[0]

            # Each alone, so that none is spared by having to wait; then all at once.
            assert {call(each) for each in asked} <= {200, 422}
            with ThreadPoolExecutor(8) as callers:
                met = Counter(callers.map(call, asked * 3))
            process = psutil.Process(server.process.pid)
            peaks = [peak(p.pid) for p in (process, *process.children())]
        assert set(met) <= {200, 422, 429}, met
        assert met[200] > 20
        # The server's process shares with its worker what both have loaded.
        assert peaks[-1] < 0.8 * POD_BYTES, [peak >> 20 for peak in peaks]


def test_overloads_of_sixty_thousand_buses_are_answered(fresh, opened):
    with fresh() as url:
        schema.migrate(url)
        with psycopg.connect(url) as connection:
            connection.execute(
                "INSERT INTO feeder SELECT 'f' || f, 'F', 20, 1e9 FROM generate_series(1, 12) f"
            )
            connection.execute(
                "INSERT INTO bus SELECT 'f' || f || '-' || b, 'f' || f, b, 1, 1, 1"
                " FROM generate_series(1, 12) f, generate_series(1, 5000) b"
            )
            # Half of them have been silent for long, and a tenth of each half is overloaded.
            connection.execute(
                "INSERT INTO reading SELECT id, CASE WHEN number % 2 = 0 THEN now()"
                " ELSE now() - interval '1 year' END, CASE WHEN number % 10 < 1 OR number % 10 > 8"
                " THEN 2 ELSE 0.5 END, 0 FROM bus"
            )
            connection.execute("ANALYZE")
        with opened(url) as app:
            found = app.test_client().get("/v1/overloads")
    assert found.status_code == 200
    assert len(found.get_json()["overloads"]) == 12_000
    assert {each["kva"] for each in found.get_json()["overloads"]} == {2.0}


def peak(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(dict(line.split(":", 1) for line in lines)["VmHWM"].split()[0]) << 10
