"""The metric contract, on a live server: every response counts, once, under its template."""

import json
import re
from collections import Counter
from datetime import datetime

import pytest

from canary.runtime.waiting import wait_until

KEY = {"X-API-Key": "a-key", "Content-Type": "application/json"}


def counted(server):
    """How often each (method, route, status) was counted."""
    text = server.ask("/metrics")[1]
    pattern = r'^http_requests_total\{method="(.*?)",route="(.*?)",status="(\d{3})"\} (\S+)$'
    return Counter({tuple(key): float(n) for *key, n in re.findall(pattern, text, re.MULTILINE)})


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("GET", "/v1/feeders", None, ("GET", "/v1/feeders", "200")),
        ("GET", "/v1/feeders/ieee33", None, ("GET", "/v1/feeders/<feeder_id>", "200")),
        ("GET", "/v1/feeders/nope", None, ("GET", "/v1/feeders/<feeder_id>", "404")),
        ("GET", "/random/8731", None, ("GET", "<unmatched>", "404")),
        ("POST", "/v1/feeders", b"{}", ("POST", "<unmatched>", "405")),
        ("OPTIONS", "/v1/feeders", None, ("OPTIONS", "/v1/feeders", "200")),
        ("BREW", "/v1/feeders", None, ("other", "<unmatched>", "405")),
        ("POST", "/v1/readings", b"{}", ("POST", "/v1/readings", "422")),
        ("GET", "/version", None, ("GET", "/version", "200")),
    ],
)
def test_a_response_is_counted_once_under_its_template(server, method, path, body, expected):
    before = counted(server)
    server.ask(path, method, body, KEY if body else None)
    # A response is counted when it has been handed over, which its receiver may know first.
    assert wait_until(lambda: counted(server) != before, timeout_s=60)
    assert counted(server) - before == {expected: 1}


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
def test_probes_and_scrapes_are_not_counted(server, path):
    before = counted(server)
    assert server.ask(path)[0] == 200
    assert counted(server) == before


def test_failures_are_counted_where_the_fault_strikes_and_probes_are_spared(serve):
    with serve(GRIDOS_FAULTS="errors=100%") as server:
        assert server.ask("/v1/feeders")[0] == 500
        assert server.ask("/version")[0] == 200
        failed = ("GET", "/v1/feeders", "500")
        assert wait_until(lambda: counted(server)[failed] == 1, timeout_s=60)
        assert {server.ask(p)[0] for p in ("/livez", "/readyz", "/metrics")} == {200}


def test_series_at_zero_and_no_created_ones_stand_from_the_first_scrape(serve):
    with serve() as server:
        text = server.ask("/metrics")[1]
        for status in ("500", "502", "503", "504"):
            assert f'{{method="POST",route="/v1/readings",status="{status}"}} 0.0' in text
        bucket = 'request_duration_seconds_bucket{le="0.25",method="GET",route="/v1/feeders"}'
        assert f"{bucket} 0.0" in text
        assert "_created" not in text


def test_added_latency_is_seen_in_the_histogram(serve):
    with serve(GRIDOS_FAULTS="latency=300ms") as server:
        server.ask("/v1/feeders")
        bucket = 'request_duration_seconds_bucket{{le="{}",method="GET",route="/v1/feeders"}} {}'
        counts_it = bucket.format("10.0", "1.0")
        assert wait_until(lambda: counts_it in server.ask("/metrics")[1], timeout_s=60)
        assert bucket.format("0.25", "0.0") in server.ask("/metrics")[1]


def test_the_build_is_a_metric(server):
    assert 'gridos_build_info{version="1.2.3"} 1.0' in server.ask("/metrics")[1]


def test_each_request_leaves_one_json_line_with_its_id(server):
    _, _, headers = server.ask("/v1/feeders/ieee33", headers={"X-Request-ID": "my-id.7"})
    assert headers["X-Request-ID"] == "my-id.7"
    assert wait_until(lambda: "my-id.7" in server.log.read_text(), timeout_s=60)
    lines = [line for line in server.log.read_text().splitlines() if "my-id.7" in line]
    assert len(lines) == 1
    line = json.loads(lines[0])
    assert line["route"] == "/v1/feeders/<feeder_id>"
    assert (line["status"], line["pod"], line["version"]) == (200, "pod-1", "1.2.3")
    assert line["duration_ms"] > 0


@pytest.mark.parametrize("given", ["", 'a"b', "x" * 200, "a b"])
def test_an_id_that_could_spoil_a_log_line_is_replaced(server, given):
    _, _, headers = server.ask("/version", headers={"X-Request-ID": given})
    assert re.fullmatch(r"[0-9a-f]{16}", headers["X-Request-ID"])


def test_every_log_line_is_json_and_an_access_line_has_the_fields_of_the_others(serve):
    with serve(GRIDOS_FAULTS="errors=100%") as server:
        server.ask("/v1/feeders")
        assert wait_until(lambda: '"status":500' in server.log.read_text(), timeout_s=60)
        lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    failure = next(line for line in lines if line["message"] == "unhandled exception")
    access = next(line for line in lines if line["logger"] == "gridos.access")
    assert failure["level"] == "ERROR"
    assert failure.keys() - {"exc_info"} <= access.keys()
    assert failure["trace_id"] == access["trace_id"]
    for line in lines:
        assert datetime.fromisoformat(line["timestamp"]).utcoffset() is not None
