"""The map of the grid: static, from this service alone, and fed by its own API."""

import re

import pytest


def test_who_opens_the_address_is_led_to_the_map(client):
    answer = client.get("/", follow_redirects=True)
    assert (answer.status_code, answer.request.path) == (200, "/v1/map")
    assert "text/html" in answer.content_type


def test_the_page_runs_only_scripts_of_this_service_and_none_of_its_own(client):
    answer = client.get("/v1/map")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.findall(
        r"<script>|<style|\sstyle=|\son\w+=|(?:src|href)=\"(?:https?:)?//", answer.text
    )


@pytest.mark.parametrize("part", ["map.mjs", "map.css", "cytoscape.mjs"])
def test_every_part_of_the_page_is_served_and_may_be_kept_by_the_browser(client, part):
    page, answer = client.get("/v1/map").text, client.get(f"/v1/map/{part}")
    assert answer.status_code == 200
    assert part in page + client.get("/v1/map/map.mjs").text
    kept = client.get(f"/v1/map/{part}", headers={"If-None-Match": answer.headers["ETag"]})
    assert kept.status_code == 304


@pytest.mark.parametrize("path", ["map", "map/map.mjs", "swagger"])
def test_a_range_of_an_unknown_unit_is_ignored(client, path):
    whole = client.get(f"/v1/{path}")
    for asked in ("rows=0-9", "rows=9-0", "rows"):
        answer = client.get(f"/v1/{path}", headers={"Range": asked})
        assert (answer.status_code, answer.data) == (200, whole.data)


@pytest.mark.parametrize(
    ("asked", "status", "length"), [("Bytes=0-9", 206, 10), ("bytes=99999999-", 416, None)]
)
def test_a_range_of_bytes_is_served_or_refused(client, asked, status, length):
    answer = client.get("/v1/map/map.mjs", headers={"Range": asked})
    assert (answer.status_code, length in (None, len(answer.data))) == (status, True)


@pytest.mark.parametrize("part", ["nothing.js", "..%2f__init__.py", "../config.py"])
def test_nothing_else_is_served_with_it(client, part):
    assert client.get(f"/v1/map/{part}").status_code == 404


def test_every_route_that_the_map_asks_exists(client):
    script = client.get("/v1/map/map.mjs").text
    assert set(re.findall(r"ask\([`\"](\w+)[`\"/]", script)) == {"feeders", "overloads"}
    parts = [f"feeders/ieee33/{part}" for part in ("buses", "lines", "load", "state")]
    for path in ("feeders", *parts, "overloads"):
        assert client.get(f"/v1/{path}").status_code == 200
