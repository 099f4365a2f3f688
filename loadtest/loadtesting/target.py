"""The target before any load: can it be reached, and what does it offer?"""

import http.client
import socket
import ssl
import urllib.parse
from collections.abc import Iterable
from pathlib import Path

from canary.errors import UsageError

TIMEOUT_S = 10.0


class Unreachable(UsageError):
    """No request can be sent to the target: name, network, certificate."""


def reach(host: str, path: str, ca_file: Path | None = None) -> int:
    """Asks once; returns the status, whatever it is.

    Raises:
        UsageError: if `host` is not a base URL.
        Unreachable: if no answer came, with what stood in the way.
    """
    url = _base(host)
    try:
        return _ask(url, path, ca_file)
    except ssl.SSLCertVerificationError as refused:
        raise Unreachable(
            f"{host}: its certificate is not valid: {refused.verify_message}",
            "renew it, or trust its issuer with --ca-file",
        ) from None
    except ssl.SSLError as refused:
        raise Unreachable(
            f"{host} does not speak TLS: {refused.reason}", "is it http://?"
        ) from None
    except socket.gaierror:
        raise Unreachable(f"{url.hostname}: no such host name", "correct --host") from None
    except ConnectionRefusedError:
        raise Unreachable(f"{host} refuses connections", "is it running, on that port?") from None
    except TimeoutError:
        raise Unreachable(f"{host} did not answer in {TIMEOUT_S:g} s", "is it reachable?") from None
    except (OSError, http.client.HTTPException) as failed:
        raise Unreachable(f"{host}: {failed or type(failed).__name__}", "is it up?") from None


def _base(host: str) -> urllib.parse.SplitResult:
    try:
        url = urllib.parse.urlsplit(host)
        usable = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        usable = False
    if not usable or not host.isprintable():
        raise UsageError(
            f"--host {host!r} is not a base URL", "give one such as https://grid.example"
        )
    return url


def _ask(url: urllib.parse.SplitResult, path: str, ca_file: Path | None) -> int:
    host = url.hostname or ""
    if url.scheme == "https":
        context = ssl.create_default_context()
        if ca_file is not None:
            context.load_verify_locations(ca_file)
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, url.port, timeout=TIMEOUT_S, context=context
        )
    else:
        connection = http.client.HTTPConnection(host, url.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", url.path.rstrip("/") + path)
        return connection.getresponse().status
    finally:
        connection.close()


def answering(host: str, paths: Iterable[str], ca_file: Path | None = None) -> list[str]:
    """Those of the paths that the target knows."""
    return [path for path in paths if reach(host, path, ca_file) < 400]  # noqa: PLR2004 — HTTP
