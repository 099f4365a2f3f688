"""Attacks, from `attacks.yaml`, made into requests."""

from __future__ import annotations

import gzip
import json
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from acceptance.edge.wire import Request, post

FILE = Path(__file__).with_name("attacks.yaml")
MIN_ATTACKS = 100
INSTANT = "2026-01-01T00:00:00Z"


@dataclass(frozen=True)
class Attack:
    """One attack.

    Attributes:
        kind: Its class, such as `SQL injection`.
        owasp: The row of the OWASP Top 10 (2021) that it belongs to.
        payload: What it tries.
        unread: Whether an exception of ours hides it from the firewall, so that the service must
            refuse it.
        request: It as a request.
    """

    kind: str
    owasp: str
    payload: str
    unread: bool
    request: Request


def read(api_key: str, path: Path = FILE) -> Iterator[Attack]:
    """Reads the attacks.

    Args:
        api_key: A key that may write, so that nothing is refused for the lack of one.
        path: The file.
    """
    for group in yaml.safe_load(path.read_text()):
        carrier, _, header = group["carrier"].partition("header ")
        for payload in group["payloads"]:
            yield Attack(
                kind=group["class"],
                owasp=group["owasp"],
                payload=payload,
                unread=group.get("unread", False),
                request=(
                    _in_header(header, payload) if header else CARRIERS[carrier](payload, api_key)
                ),
            )


def _in_query(payload: str, _: str) -> Request:
    return Request(target="/v1/feeders?" + urllib.parse.urlencode({"after": payload}))


def _in_path(payload: str, _: str) -> Request:
    return Request(target=f"/v1/feeders/{payload}")


def _in_header(name: str, payload: str) -> Request:
    if name == "Content-Type":
        return Request("POST", "/v1/readings", {name: payload}, b"{}")
    return Request(target="/v1/feeders", headers={name: payload})


def _in_cookie(payload: str, _: str) -> Request:
    return Request(target="/v1/feeders", headers={"Cookie": payload})


def _in_form(payload: str, api_key: str) -> Request:
    name, _, value = payload.partition("=")
    body = urllib.parse.urlencode({name: value}).encode()
    return post(api_key, body, "application/x-www-form-urlencoded")


def _reading(bus_id: str) -> dict[str, object]:
    return {"bus_id": bus_id, "measured_at": INSTANT, "kw": 1.0, "kvar": 0.5}


def _in_json(payload: str, api_key: str) -> Request:
    body = json.dumps({"readings": [_reading(payload)]}).encode()
    return post(api_key, body, "application/json")


def _in_ndjson(payload: str, api_key: str) -> Request:
    return post(api_key, json.dumps(_reading(payload)).encode(), "application/x-ndjson")


def _in_compressed_ndjson(payload: str, api_key: str) -> Request:
    body = gzip.compress(json.dumps(_reading(payload)).encode(), mtime=0)
    return post(api_key, body, "application/x-ndjson", {"Content-Encoding": "gzip"})


def _as_broken_json(payload: str, api_key: str) -> Request:
    return post(api_key, payload.encode(), "application/json")


def _as_it_stands(payload: str, _: str) -> Request:
    return Request(raw=payload.encode())


CARRIERS: Mapping[str, Callable[[str, str], Request]] = {
    "query": _in_query,
    "path": _in_path,
    "cookie": _in_cookie,
    "form": _in_form,
    "json": _in_json,
    "ndjson": _in_ndjson,
    "ndjson gzip": _in_compressed_ndjson,
    "broken json": _as_broken_json,
    "request": _as_it_stands,
}
