"""Who may write: API keys with scopes, and how often.

A key's entry is `KEY` or `KEY:SCOPE+SCOPE`, or in place of the key `sha256=HEX`, so that the secret
itself need not lie anywhere but with its holder. Entries are joined by commas or line ends. Without
scopes a key may send readings.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import math
import secrets as randomness
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass

from flask import Flask, current_app, request

from gridos.errors import Forbidden, TooManyWrites, Unauthorised
from gridos.secretsource import API_KEYS

log = logging.getLogger(__name__)

READINGS, NETWORKS = "readings", "networks"
SCOPES = frozenset({READINGS, NETWORKS})
_HASHED = "sha256="
# Bursts of so many seconds' worth pass; a meter concentrator sends in bursts.
BURST_S = 2.0


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
    """The keys of a secret's text, read anew only when the text has changed."""

    def __init__(self) -> None:
        self._text: str | None = None
        self._keys: tuple[Key, ...] = ()

    def find(self, given: str, text: str) -> Key | None:
        """The key that was given, compared with every one in constant time.

        No key at all is none of them, even where an entry is the hash of an empty secret.
        """
        if text != self._text:
            self._keys, self._text = parse(text), text
        digest = hashlib.sha256(given.encode()).digest()
        matches = [key for key in self._keys if hmac.compare_digest(key.digest, digest)]
        return matches[0] if given and matches else None


class Limiter:
    """A token bucket for each key, in this process."""

    def __init__(self, per_second: float) -> None:
        self._rate = per_second
        self._most = max(1.0, per_second * BURST_S)
        self._lock = threading.Lock()
        # (tokens, time of the last take); keys are few, and only known ones get this far.
        self._buckets: dict[bytes, tuple[float, float]] = {}

    def take(self, key: bytes, now: float) -> float:
        """Takes one token; 0 if there was one, else the seconds until there is."""
        with self._lock:
            tokens, at = self._buckets.get(key, (self._most, now))
            tokens = min(self._most, tokens + (now - at) * self._rate)
            taken = tokens >= 1
            self._buckets[key] = (tokens - taken, now)
        return 0.0 if taken else (1 - tokens) / self._rate


def init_app(app: Flask) -> None:
    """Keeps keys and buckets with the application."""
    app.extensions["keys"] = Keys()
    app.extensions["limiter"] = Limiter(app.extensions["settings"].key_requests_per_second)


def require(scope: str) -> Key:
    """The current request's key, if it may do what it asks for.

    Raises:
        Unauthorised, Forbidden, TooManyWrites: if it may not, or not now.
    """
    extensions = current_app.extensions
    given = request.headers.get("X-API-Key", "")
    key = extensions["keys"].find(given, extensions["secrets"].get(API_KEYS))
    if key is None:
        raise Unauthorised("No valid X-API-Key header came with the request.")
    if scope not in key.scopes:
        raise Forbidden(f"This key lacks the scope {scope}.")
    wait_s = extensions["limiter"].take(key.digest, time.monotonic())
    if wait_s:
        raise TooManyWrites("This key has sent too many requests.", retry_after_s=math.ceil(wait_s))
    assert isinstance(key, Key)  # noqa: S101 — extensions are Any
    return key


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
    if not secret:
        raise BadKey("the key is empty")
    scopes = frozenset(words.split("+")) if words else frozenset({READINGS})
    if not scopes <= SCOPES:
        raise BadKey(f"scopes are {' and '.join(sorted(SCOPES))}")
    if not secret.startswith(_HASHED):
        return Key(hashlib.sha256(secret.encode()).digest(), scopes)
    try:
        digest = bytes.fromhex(secret.removeprefix(_HASHED))
    except ValueError:
        digest = b""
    if len(digest) != hashlib.sha256().digest_size:
        raise BadKey("after sha256= stand 64 hexadecimal digits")
    return Key(digest, scopes)
