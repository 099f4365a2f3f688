"""A web service, asked for one value of its JSON."""

import pytest

from canary.runtime import web
from canary.tests.machine import answering

FILES = {
    "/a.json": b'{"alerts": [{"name": "x", "value": 3}], "text": "yes"}',
    "/list": b"[]",
    "/page": b"<html>",
}


@pytest.fixture
def served():
    with answering(
        lambda asked: (200 if asked.path in FILES else 404, FILES.get(asked.path, b""))
    ) as port:
        yield f"http://127.0.0.1:{port}"


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
    assert web.ask(f"{served}/{file}", path, 5) == value


def test_a_text_is_no_value(served):
    with pytest.raises(web.NoJsonError, match="<html>"):
        web.ask(f"{served}/page", "{$}", 5)


@pytest.mark.parametrize(
    ("file", "path", "said"),
    [
        ("gone", "{$}", "non 2xx response code: 404"),
        ("a.json", "{$.none}", "Could not find JSONPath"),
        ("a.json", "{range $.alerts[*]}", "is not understood"),
    ],
)
def test_without_a_value_it_is_an_error_that_says_why(served, file, path, said):
    with pytest.raises(web.WebError, match=said):
        web.ask(f"{served}/{file}", path, 5)
