"""/metrics: what the stock renderer writes, faster, and the exporter's extras beside it."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask
from gridos import exposition
from gridos.exposition import Exposition
from gridos.tally import Tally
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


@pytest.fixture
def tally():
    tally = Tally()
    tally.start_at_zero([("GET", "/a"), ("POST", '/odd"\\\n')])
    for seconds in (0.0, 0.25, 0.2500001, 3.0, 1e-7, 99.0):
        tally.add("GET", "/a", "200", seconds, None)
    tally.add("GET", "/b", "404", 0.1, "0af7651916cd43dd8448eb211c80319c")
    return tally


def stock(tally, encode):
    registry = CollectorRegistry()
    registry.register(tally)
    return encode(registry).decode()


def render(tally, *, open_metrics):
    return b"".join(exposition.render(tally, open_metrics=open_metrics)).decode()


def test_the_text_is_the_stock_renderers_byte_for_byte(tally):
    assert render(tally, open_metrics=False) == stock(tally, generate_latest)


def test_openmetrics_too_but_for_the_exemplars_time(tally):
    ours = render(tally, open_metrics=True) + "# EOF\n"
    theirs = stock(tally, openmetrics.generate_latest)
    assert [line.split(" # ")[0] for line in ours.splitlines()] == [
        line.split(" # ")[0] for line in theirs.splitlines()
    ]
    families = {family.name: family for family in text_string_to_metric_families(ours)}
    (exemplar,) = [s.exemplar for s in families["request_duration_seconds"].samples if s.exemplar]
    assert exemplar.labels == {"trace_id": "0af7651916cd43dd8448eb211c80319c"}
    assert exemplar.value == 0.1


def test_threads_add_up(tally):
    def count():
        for _ in range(1000):
            tally.add("GET", "/c", "200", 0.01, None)

    with ThreadPoolExecutor(4) as threads:
        for _ in range(4):
            threads.submit(count)
    assert tally.sum().counts["GET", "/c", "200"] == 4000
    assert sum(tally.sum().cells["GET", "/c"].buckets) == 4000


def test_the_exporters_own_metrics_work_as_its_users_know_them(unconnected):
    app = unconnected
    metrics = app.extensions["metrics"]
    assert isinstance(metrics, Exposition)
    metrics.info("extra_info", "An extra", operator="north")
    counter = metrics.counter("extra_views", "Views", labels={"kind": "a"})
    app.add_url_rule("/extra", view_func=counter(lambda: "extra"))
    client = app.test_client()
    client.get("/extra").close()
    text = client.get("/metrics").text
    assert 'extra_info{operator="north"} 1.0' in text
    assert 'extra_views_total{kind="a"} 1.0' in text
    assert 'http_requests_total{method="GET",route="/extra",status="200"} 1.0' in text


def test_a_scrape_may_ask_for_some_metrics_only(unconnected):
    text = unconnected.test_client().get("/metrics?name[]=http_requests_in_flight").text
    assert text.splitlines()[-1] == "http_requests_in_flight 0.0"
    assert "request_duration" not in text


def test_prometheus_is_given_openmetrics_when_it_asks(unconnected):
    answer = unconnected.test_client().get("/metrics", headers={"Accept": OPENMETRICS})
    assert answer.content_type.startswith("application/openmetrics-text")
    names = {family.name for family in text_string_to_metric_families(answer.text)}
    assert {"http_requests", "request_duration_seconds", "gridos_db_up"} <= names
    assert answer.text.count("# EOF") == 1


def test_a_plain_flask_application_can_be_given_it_too():
    app = Flask("plain")
    Exposition(app, Tally())
    assert app.test_client().get("/metrics").status_code == 200
