"""Which route a request came to."""

import json

import pytest

from canary.errors import UsageError
from canary.rehearse import routes
from canary.rehearse.routes import Routes


def test_a_literal_route_comes_before_one_with_a_parameter_and_a_list_before_the_next():
    named = Routes(["GET /b/{id}", "GET /b/all"], ["GET /b/7", "GET /c/{int:1:9}"])
    assert named.name("GET", "/b/all") == "GET /b/all"
    assert named.name("GET", "/b/7") == "GET /b/{id}"
    assert named.name("GET", "/c/4") == "GET /c/{int:1:9}"
    assert named.name("PUT", "/b/7") == "PUT /b/7"


def test_the_routes_of_the_metrics_are_written_as_openapi_has_them():
    labels = [
        ("GET", "/f/<path:name>"),
        ("HEAD", "/f"),
        ("GET", "<unmatched>"),
        ("POST", "/r/<id>"),
    ]
    assert list(routes.measured(labels)) == ["GET /f/{name}", "POST /r/{id}"]


def test_an_openapi_document_names_its_routes(tmp_path):
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps({"paths": {"/a/{id}": {"get": {}, "parameters": []}}}))
    assert routes.documented(file) == ("GET /a/{id}",)


@pytest.mark.parametrize("text", [None, "{", "[]", '{"paths": 3}'])
def test_what_is_no_openapi_document_is_refused_by_name(tmp_path, text):
    file = tmp_path / "openapi.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UsageError, match="is not an OpenAPI document"):
        routes.documented(file)
