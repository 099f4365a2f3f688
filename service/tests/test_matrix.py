"""Ten ways a response can come about, each counted once, with its status, route and whole time."""

import time

import pytest
from flask import Response, abort, request
from gridos.recorder import Recorder
from gridos.tally import Tally


def refuse():
    if request.args.get("abort"):
        abort(401)
    if request.args.get("raise"):
        raise RuntimeError("before the view")


def delay(response):
    if request.path == "/slow-after":
        time.sleep(0.06)
    return response


def view():
    if request.path == "/raises":
        raise RuntimeError("in the view")
    return "ok"


def stream():
    def body():
        yield b"a"
        time.sleep(0.06)
        yield b"b"

    return Response(body())


def breaks():
    def body():
        yield b"a"
        raise RuntimeError("in the middle")

    return Response(body())


@pytest.fixture
def app(unconnected):
    app = unconnected
    app.before_request(refuse)
    app.after_request(delay)
    for rule, function in {
        "/ok/<thing>": view,
        "/raises": view,
        "/slow-after": view,
        "/stream": stream,
        "/breaks": breaks,
    }.items():
        app.add_url_rule(rule, rule.strip("/").partition("/")[0], lambda f=function, **_: f())
    return app


@pytest.fixture
def ask(app):
    """Sends a request and returns what it added: {(method, route, status): (count, seconds)}."""
    tally = app.extensions["tally"]

    def snapshot():
        totals = tally.sum()
        sums = {key: cell.total_s for key, cell in totals.cells.items()}
        return {k: (n, sums[k[:2]]) for k, n in totals.counts.items()}

    def ask(path, method="GET"):
        before = snapshot()
        try:
            # Unbuffered, so that a stream breaks where a server would meet it.
            response = app.test_client().open(path, method=method, buffered=False)
            list(response.response)
        except RuntimeError:
            assert path == "/breaks"
        finally:
            response.close()
        return {
            key: (count - before.get(key, (0, 0))[0], seconds - before.get(key, (0, 0))[1])
            for key, (count, seconds) in snapshot().items()
            if count != before.get(key, (0, 0))[0]
        }

    return ask


@pytest.mark.parametrize(
    ("case", "path", "method", "expected"),
    [
        ("an exception in the view", "/raises", "GET", ("GET", "/raises", "500")),
        ("404", "/nowhere", "GET", ("GET", "<unmatched>", "404")),
        ("405", "/ok/1", "PUT", ("PUT", "<unmatched>", "405")),
        ("OPTIONS", "/ok/1", "OPTIONS", ("OPTIONS", "/ok/<thing>", "200")),
        ("abort before the view", "/ok/1?abort=1", "GET", ("GET", "/ok/<thing>", "401")),
        ("exception before it", "/ok/1?raise=1", "GET", ("GET", "/ok/<thing>", "500")),
        ("slow after_request", "/slow-after", "GET", ("GET", "/slow-after", "200")),
        ("a stream", "/stream", "GET", ("GET", "/stream", "200")),
        ("a stream that breaks", "/breaks", "GET", ("GET", "/breaks", "500")),
        ("HEAD", "/ok/1", "HEAD", ("HEAD", "/ok/<thing>", "200")),
    ],
)
def test_a_response_is_counted_once_with_its_own_status(ask, case, path, method, expected):
    counted = ask(path, method)
    assert {key: count for key, (count, _) in counted.items()} == {expected: 1}, case
    if path in ("/slow-after", "/stream"):
        assert counted[expected][1] >= 0.06


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
def test_probes_and_scrapes_are_not_counted(ask, path):
    assert ask(path) == {}


def test_routes_added_after_the_application_was_built_are_counted(app, ask):
    app.add_url_rule("/late", view_func=lambda: "late")
    assert {key: count for key, (count, _) in ask("/late").items()} == {("GET", "/late", "200"): 1}


def test_a_caller_that_goes_away_early_is_counted_with_the_status_it_was_sent(app):
    tally = app.extensions["tally"]
    response = app.test_client().get("/breaks", buffered=False)
    next(iter(response.response))
    response.close()
    assert tally.sum().counts["GET", "/breaks", "200"] == 1
    assert tally.sum().in_flight == 0


def test_a_response_is_closed_once_and_after_its_last_byte():
    seen = []

    class Body:
        def __iter__(self):
            yield b"a"
            seen.append("last byte")

        def close(self):
            seen.append("closed")

    def application(_, start_response):
        start_response("200 OK", [])
        return Body()

    tally = Tally()
    recorded = Recorder(tally).around(application)
    answer = recorded({"PATH_INFO": "/", "REQUEST_METHOD": "GET"}, lambda *_: None)
    assert (list(answer), answer.close()) == ([b"a"], None)
    assert seen == ["last byte", "closed"]
    assert tally.sum().counts == {("GET", "<unmatched>", "200"): 1}


def test_a_request_is_in_flight_until_its_last_byte(app):
    tally = app.extensions["tally"]
    response = app.test_client().get("/stream", buffered=False)
    parts = iter(response.response)
    next(parts)
    assert tally.sum().in_flight == 1
    list(parts)
    response.close()
    assert tally.sum().in_flight == 0
