"""Our application finds what Flask finds, the first time that a host is met and each time after."""

import pytest
from flask import Flask
from gridos import application
from gridos.application import Application


def answered(kind, requests):
    """(status, body, Location) of each request, sent to one application of a kind."""
    app = kind("x", static_folder=None)
    app.add_url_rule("/", view_func=lambda: "root", endpoint="root")
    app.add_url_rule("/a/<b>", view_func=lambda b: b, endpoint="a")
    app.add_url_rule("/folder/", view_func=lambda: "folder", endpoint="folder")
    client = app.test_client()
    found = []
    for path, environ in requests:
        response = client.get(path, environ_overrides=environ)
        found.append((response.status_code, response.text, response.headers.get("Location")))
    return found


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"HTTP_HOST": "Example.org:8080"},
        {"HTTP_HOST": "a..b"},
        {"HTTP_HOST": "a" * 70 + ".b"},
        {"HTTP_HOST": "b\xfccher.example"},
        {"HTTP_CONNECTION": "Upgrade", "HTTP_UPGRADE": "websocket"},
        {"SCRIPT_NAME": "/below"},
        {"wsgi.url_scheme": "https"},
    ],
)
def test_the_same_rule_is_found_each_time(environ):
    paths = ["/", "/a/1", "/a/%C3%A4?q=%C3%A4", "/folder", "//a//2", "/nowhere", "/a/1?x=1"]
    requests = [(path, {}) for path in paths]
    for given in (environ, {}):
        requests += [(path, given) for path in (*paths, *paths)]
    assert answered(Application, requests) == answered(Flask, requests)


def test_hosts_that_somebody_makes_up_take_bounded_room(monkeypatch):
    monkeypatch.setattr(application, "MAX_HOSTS", 3)
    app = Application("x", static_folder=None)
    app.add_url_rule("/", view_func=lambda: "root")
    for number in range(20):
        assert app.test_client().get("/", headers={"Host": f"h{number}"}).status_code == 200
        assert len(app.bound) <= 3
