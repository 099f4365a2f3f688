"""A web service, asked for one value of its JSON."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from canary.runtime import processes, web


@pytest.fixture
def served(tmp_path):
    (tmp_path / "a.json").write_text('{"alerts": [{"name": "x", "value": 3}], "text": "yes"}')
    (tmp_path / "list").write_text("[]")
    (tmp_path / "page").write_text("<html>")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    server = ThreadingHTTPServer(("127.0.0.1", processes.free_port()), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("file", "path", "value"),
    [
        ("list", "{$}", ()),
        ("a.json", "{$.alerts}", ({"name": "x", "value": 3},)),
        ("a.json", "{.alerts[0].value}", 3.0),
        ("a.json", "{$['text']}", "yes"),
    ],
)
def test_a_path_leads_to_one_value(served, file, path, value):
    assert web.get(f"{served}/{file}", path, 5) == value


@pytest.mark.parametrize(
    ("file", "path", "said"),
    [
        ("gone", "{$}", "non 2xx response code: 404"),
        ("page", "{$}", "answers no JSON"),
        ("a.json", "{$.none}", "Could not find JSONPath"),
        ("a.json", "{range $.alerts[*]}", "is not understood"),
    ],
)
def test_without_a_value_it_is_an_error_that_says_why(served, file, path, said):
    with pytest.raises(web.WebError, match=said):
        web.get(f"{served}/{file}", path, 5)
