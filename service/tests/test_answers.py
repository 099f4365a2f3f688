"""A response that is there whole goes to the server whole; what it says is what Flask's says."""

import io

import flask
import pytest
from flask import Flask
from gridos.api.answers import Response
from gridos.recorder import Recorder
from gridos.tally import Tally


def environ(method="GET"):
    host = {"SERVER_NAME": "x", "SERVER_PORT": "80", "wsgi.url_scheme": "http"}
    return {"REQUEST_METHOD": method, "PATH_INFO": "/", "wsgi.input": io.BytesIO(), **host}


def served(kind, method, arguments, headers):
    """Status, headers and body, as the server gets them; whether the body is a list."""
    started = []
    response = kind(*arguments, headers=headers)
    body = response(environ(method), lambda *start: started.append(start))
    return started, b"".join(body), isinstance(body, list)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("arguments", "headers", "is_whole"),
    [
        (("héllo", 200), {}, True),
        ((b"", 200), {"X-A": "1", "ETag": '"x"'}, True),
        (("gone", 410), {"content-length": "4"}, True),
        (("", 302), {"Location": "/ä"}, False),
        (("", 302), {"location": "/ä"}, False),
        (("a", 200), {"Content-Location": "/ä"}, False),
        (("a", 204), {}, False),
        (("a", 304), {}, False),
        ((["a", "b"], 200), {}, False),
        ((None, 200), {}, False),
    ],
)
def test_a_response_says_what_flasks_says(method, arguments, headers, is_whole):
    started, body, is_list = served(Response, method, arguments, headers)
    assert (started, body, is_list) == (
        *served(flask.Response, method, arguments, headers)[:2],
        is_whole,
    )


def test_what_is_to_be_done_at_its_end_is_done():
    done = []
    response = Response("a")
    response.call_on_close(lambda: done.append(True))
    body = response(environ(), lambda *_: None)
    assert (list(body), done) == ([b"a"], [])
    body.close()
    assert done == [True]


def test_a_whole_response_is_counted_when_it_is_handed_over():
    app, tally = Flask("x"), Tally()
    app.response_class = Response
    app.add_url_rule("/", view_func=lambda: "hello")
    body = Recorder(tally).around(app.wsgi_app)(environ(), lambda *_: None)
    assert body == [b"hello"]
    assert tally.sum().counts == {("GET", "/", "200"): 1}
    assert tally.sum().in_flight == 0
