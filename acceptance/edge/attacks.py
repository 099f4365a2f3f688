"""Attacks, from `attacks.yaml`, made into requests."""

import gzip
import json
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from acceptance.edge.wire import Request, post

FILE = Path(__file__).with_name("attacks.yaml")
MIN_ATTACKS = 100
INSTANT = "2026-01-01T00:00:00Z"


@dataclass(frozen=True)
class Attack:
    """One attack, its class as `kind`, and the row of the OWASP Top 10 (2021) that it belongs to.

    An `unread` one is hidden from the firewall by an exception of ours, so the service must refuse
    it.
    """

    kind: str
    owasp: str
    payload: str
    unread: bool
    request: Request


def read(api_key: str) -> Iterator[Attack]:
    """Reads the attacks; the key may write, so that nothing is refused for the lack of one."""
    for group in yaml.safe_load(FILE.read_text()):
        for payload in group["payloads"]:
            yield Attack(
                kind=group["class"],
                owasp=group["owasp"],
                payload=payload,
                unread=group.get("unread", False),
                request=_carried(group["carrier"], payload, api_key),
            )


def _carried(carrier: str, payload: str, api_key: str) -> Request:
    """A request with the payload in a place of it, or, if it is a `request`, that as it stands."""
    match carrier.split():
        case ["query"]:
            return Request(target="/v1/feeders?" + urllib.parse.urlencode({"after": payload}))
        case ["path"]:
            return Request(target=f"/v1/feeders/{payload}")
        case ["header", "Content-Type" as name]:
            return Request("POST", "/v1/readings", {name: payload}, b"{}")
        case ["header", name]:
            return Request(target="/v1/feeders", headers={name: payload})
        case ["cookie"]:
            return Request(target="/v1/feeders", headers={"Cookie": payload})
        case ["request"]:
            return Request(raw=payload.encode())
    return _in_body(carrier, payload, api_key)


def _in_body(carrier: str, payload: str, api_key: str) -> Request:
    reading = {"bus_id": payload, "measured_at": INSTANT, "kw": 1.0, "kvar": 0.5}
    match carrier.split():
        case ["form"]:
            name, _, value = payload.partition("=")
            body = urllib.parse.urlencode({name: value}).encode()
            return post(api_key, body, "application/x-www-form-urlencoded")
        case ["json"]:
            return post(api_key, json.dumps({"readings": [reading]}).encode(), "application/json")
        case ["ndjson"]:
            return post(api_key, json.dumps(reading).encode(), "application/x-ndjson")
        case ["ndjson", "gzip"]:
            body = gzip.compress(json.dumps(reading).encode(), mtime=0)
            return post(api_key, body, "application/x-ndjson", {"Content-Encoding": "gzip"})
        case ["broken", "json"]:
            return post(api_key, payload.encode(), "application/json")
    raise ValueError(f"{FILE.name} has a carrier {carrier!r} that is none")
