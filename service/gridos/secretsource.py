"""Secrets: where they come from, and how a change takes effect without a restart.

A directory that a CSI driver mounts comes first, then Azure Key Vault, then the environment; what
the first does not hold is taken from the environment. A source is read at start and then again and
again in the background; when it cannot be read, what was read last goes on being used.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from psycopg.conninfo import make_conninfo

log = logging.getLogger(__name__)

DATABASE_URL, API_KEYS = "database-url", "api-keys"
NAMES = (DATABASE_URL, API_KEYS)
# A refused password is a reason to read again, but not more often than this.
MIN_RENEWAL_S = 5.0


class SecretsUnavailable(Exception):
    """The source could not be read; the message names it and the cause."""


class Source(Protocol):
    """Anything that secrets can be read from."""

    def read(self) -> Mapping[str, str]:
        """Those of `NAMES` that it holds.

        Raises:
            SecretsUnavailable: if it cannot be read.
        """


class Directory:
    """Files named as the secrets are, as mounted by the Secrets Store CSI driver."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self) -> Mapping[str, str]:
        """The files there are; see `Source.read`."""
        if not self._folder.is_dir():
            raise SecretsUnavailable(f"{self._folder} is not a directory: is the volume mounted?")
        try:
            present = [name for name in NAMES if (self._folder / name).exists()]
            # Editors of Windows put a byte order mark before the text.
            return {name: (self._folder / name).read_text("utf-8-sig").strip() for name in present}
        except (OSError, UnicodeDecodeError) as failed:
            raise SecretsUnavailable(f"{self._folder} cannot be read: {failed}") from None


class Secrets:
    """What was read last, and the thread that reads it again.

    Args:
        source: Read at once, and then every `refresh_s` seconds once `watch` was called; None if
            there is none beside the environment.
        fallback: For what the source does not hold.
        token: Gives the password of a new connection, instead of one in the URL.

    Raises:
        SecretsUnavailable: if the source cannot be read at start.
    """

    def __init__(
        self,
        source: Source | None,
        fallback: Mapping[str, str],
        refresh_s: float,
        token: Callable[[], str] | None = None,
    ) -> None:
        self._source = source
        self._fallback = fallback
        self._refresh_s = refresh_s
        self._token = token
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._values: Mapping[str, str] = {}
        self.refreshed_at = 0.0
        self._read()

    def get(self, name: str) -> str:
        """A secret's present value, or nothing."""
        return self._values.get(name, "")

    def conninfo(self) -> str:
        """What a new database connection logs in with."""
        url = self.get(DATABASE_URL)
        return make_conninfo(url, password=self._token()) if self._token else url

    def renew(self) -> bool:
        """Reads again because a login was refused; False if that failed or was done just now."""
        with self._lock:
            if time.time() - self.refreshed_at < MIN_RENEWAL_S:
                return False
            return self._refresh()

    def watch(self) -> None:
        """Starts reading again in the background."""
        if self._thread is None and self._source is not None:
            self._thread = threading.Thread(target=self._keep_fresh, name="secrets", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Stops reading."""
        self._stopped.set()

    def _keep_fresh(self) -> None:
        while not self._stopped.wait(self._refresh_s):
            with self._lock:
                self._refresh()

    def _refresh(self) -> bool:
        try:
            self._read()
        except SecretsUnavailable as failed:
            log.warning("secrets not refreshed", extra={"cause": str(failed)})
            return False
        return True

    def _read(self) -> None:
        values = {**self._fallback, **(self._source.read() if self._source else {})}
        if not values.get(DATABASE_URL) and self.get(DATABASE_URL):
            log.error("the secret is empty; its last value stays", extra={"secret": DATABASE_URL})
            values[DATABASE_URL] = self.get(DATABASE_URL)
        self._values = values
        self.refreshed_at = time.time()
