"""Who may write, who may read, and how often: API keys with scopes, and addresses without one.

A key's entry is `KEY` or `KEY:SCOPE+SCOPE`, or in place of the key `sha256=HEX`, so that the secret
itself need not lie anywhere but with its holder. Entries are joined by commas or line ends. Without
scopes a key may send readings.

Without a key a caller is told from others by its address, as the trusted proxies in front have it:
each appends whom it was called by to X-Forwarded-For, so counted from the right the entries are
theirs, and whatever a caller makes up stands further left. Where no proxy is trusted, nobody is
told apart and nobody limited: all callers of a gateway would else share one allowance.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import math
import re
import secrets as randomness
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

from flask import Flask, current_app, request

from gridos.errors import Forbidden, TooManyRequests, Unauthorised
from gridos.secretsource import API_KEYS

log = logging.getLogger(__name__)

READINGS, NETWORKS, READ = "readings", "networks", "read"
SCOPES = frozenset({READINGS, NETWORKS, READ})
_HASHED = "sha256="
# What no header can carry would be nobody's key, and yet take the place of those before it.
MAX_KEY = 4096
_SECRET = re.compile(rf"[ -~]{{1,{MAX_KEY}}}")
# Bursts of so many seconds' worth pass; a meter concentrator sends in bursts.
BURST_S = 2.0
# So many callers are remembered; the one that was heard of longest ago is forgotten.
MAX_CALLERS = 10_000
# An IPv6 customer has a network of this size, and any address in it.
_IPV6_PREFIX = 64


@dataclass(frozen=True)
class Key:
    """A key's SHA-256 and what it may do."""

    digest: bytes
    scopes: frozenset[str]

    @property
    def name(self) -> str:
        """Tells it from others where something is written down, and gives nothing of it away."""
        return self.digest.hex()[:12]


class BadKey(ValueError):
    """An entry that is no key; the message never holds the entry."""


class Keys:
    """The keys of a secret's text, read anew only when the text has changed.

    A text without a valid key is taken for a mistake, not for the wish to revoke every key: those
    before it stay in force, which the log and a metric say. Who wants to revoke them all puts in
    another.
    """

    def __init__(self) -> None:
        # A text and the keys of it, together: they change while other threads read.
        self._known: tuple[str | None, tuple[Key, ...]] = (None, ())
        self.is_stale = False

    @property
    def count(self) -> int:
        """Keys in force."""
        return len(self._known[1])

    def read(self, text: str) -> tuple[Key, ...]:
        """Takes over the keys of a text, if it has any; those that are in force by it."""
        known, before = self._known
        if text == known:
            return before
        keys = parse(text)
        self.is_stale = not keys and bool(before)
        if self.is_stale:
            log.error(
                "no valid API key in the source; the keys before it stay in force",
                extra={"keys": len(before)},
            )
        keys = keys or before
        self._known = text, keys
        return keys

    def find(self, given: str, text: str) -> Key | None:
        """The key that was given, compared with every one in constant time.

        No key at all is none of them, even where an entry is the hash of an empty secret.
        """
        keys = self.read(text)
        digest = hashlib.sha256(given.encode()).digest()
        matches = [key for key in keys if hmac.compare_digest(key.digest, digest)]
        return matches[0] if given and matches else None


class Limiter:
    """A token bucket for each caller, in this process."""

    def __init__(self, per_second: float) -> None:
        self._rate = per_second
        self._most = max(1.0, per_second * BURST_S)
        self._lock = threading.Lock()
        # (tokens, time of the last take), the latest last.
        self._buckets: OrderedDict[bytes, tuple[float, float]] = OrderedDict()

    def take(self, caller: bytes, now: float) -> float:
        """Takes one token; 0 if there was one, else the seconds until there is."""
        with self._lock:
            tokens, at = self._buckets.pop(caller, (self._most, now))
            tokens = min(self._most, tokens + (now - at) * self._rate)
            taken = tokens >= 1
            self._buckets[caller] = (tokens - taken, now)
            if len(self._buckets) > MAX_CALLERS:
                self._buckets.popitem(last=False)
        return 0.0 if taken else (1 - tokens) / self._rate


def init_app(app: Flask) -> None:
    """Keeps keys and buckets with the application."""
    settings = app.extensions["settings"]
    app.extensions["keys"] = Keys()
    # At once, so that what the source holds at start is what a mistake later is measured by.
    app.extensions["keys"].read(app.extensions["secrets"].get(API_KEYS))
    app.extensions["limiter"] = Limiter(settings.key_requests_per_second)
    app.extensions["client_limiter"] = Limiter(settings.client_requests_per_second)


def require(scope: str) -> Key:
    """The current request's key, if it may do what it asks for.

    Raises:
        Unauthorised, Forbidden, TooManyRequests: if it may not, or not now.
    """
    key = _given()
    if key is None:
        raise Unauthorised("No valid X-API-Key header came with the request.")
    if scope not in key.scopes:
        raise Forbidden(f"This key lacks the scope {scope}.")
    # Reads with a key have no limit: who holds it is known, and a dashboard's key has many users.
    if scope != READ:
        _limit("limiter", key.digest, "This key")
    return key


def admit() -> None:
    """Lets the current request read, or refuses it.

    Raises:
        Unauthorised, Forbidden, TooManyRequests: if it may not, or not now.
    """
    settings = current_app.extensions["settings"]
    if settings.reads == "keyed":
        require(READ)
    elif settings.trusted_proxies:
        key = _given()
        if key is not None and READ in key.scopes:
            require(READ)
        else:
            address = find_address(request.environ, settings.trusted_proxies)
            _limit("client_limiter", address.encode(), "This address")


def find_address(environ: Mapping[str, Any], trusted: int) -> str:
    """Whom the outermost of so many trusted proxies was called by; of IPv6 the network."""
    hops = [hop for hop in environ.get("HTTP_X_FORWARDED_FOR", "").split(",") if hop.strip()]
    hop = hops[-trusted].strip() if len(hops) >= trusted else environ.get("REMOTE_ADDR", "")
    try:
        address = ip_address(_without_port(hop))
    except ValueError:
        return ""
    # A proxy that listens for both kinds at once writes an IPv4 caller as ::ffff:192.0.2.1.
    address = getattr(address, "ipv4_mapped", None) or address
    if address.version == 4:  # noqa: PLR2004 — IPv4
        return str(address)
    return str(ip_network((address, _IPV6_PREFIX), strict=False))


def _without_port(hop: str) -> str:
    """Application Gateway writes the port too."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


def _given() -> Key | None:
    extensions = current_app.extensions
    given = request.headers.get("X-API-Key", "")
    if not given:
        return None
    key: Key | None = extensions["keys"].find(given, extensions["secrets"].get(API_KEYS))
    return key


def _limit(limiter: str, caller: bytes, who: str) -> None:
    wait_s = current_app.extensions[limiter].take(caller, time.monotonic())
    if wait_s:
        raise TooManyRequests(f"{who} has sent too many requests.", retry_after_s=math.ceil(wait_s))


def parse(text: str) -> tuple[Key, ...]:
    """Reads entries; one that is no key is left out, with a warning that does not show it."""
    entries = [entry.strip() for entry in text.replace("\n", ",").split(",")]
    keys = []
    for number, entry in enumerate(filter(None, entries), start=1):
        try:
            keys.append(_parse(entry))
        except BadKey as wrong:
            log.warning("API key left out", extra={"entry": number, "cause": str(wrong)})
    return tuple(keys)


def make(scopes: Iterable[str]) -> tuple[str, str]:
    """A new key, and the entry by which the service knows it without holding it."""
    key = randomness.token_urlsafe(32)
    digest = hashlib.sha256(key.encode()).hexdigest()
    return key, f"{_HASHED}{digest}:{'+'.join(sorted(scopes))}"


def _parse(entry: str) -> Key:
    secret, _, words = entry.partition(":")
    if not _SECRET.fullmatch(secret):
        raise BadKey(f"a key is 1 to {MAX_KEY} printable ASCII characters, as a header carries it")
    scopes = frozenset(words.split("+")) if words else frozenset({READINGS})
    if not scopes <= SCOPES:
        raise BadKey(f"scopes are {', '.join(sorted(SCOPES))}")
    if not secret.startswith(_HASHED):
        return Key(hashlib.sha256(secret.encode()).digest(), scopes)
    try:
        digest = bytes.fromhex(secret.removeprefix(_HASHED))
    except ValueError:
        digest = b""
    if len(digest) != hashlib.sha256().digest_size:
        raise BadKey("after sha256= stand 64 hexadecimal digits")
    return Key(digest, scopes)
