"""One HTTP request, for tests: a refusal is a response as good as any, and so is none."""

import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping
from email.message import Message
from typing import NamedTuple

NO_ANSWER = 0


class Response(NamedTuple):
    """What came back; status 0 where nothing did."""

    status: int
    text: str = ""
    headers: Message = Message()


def ask(
    url: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    method: str | None = None,
    timeout_s: float = 10,
) -> Response:
    """Sends one request, a POST if it has a body and no method is given."""
    request = urllib.request.Request(url, body, dict(headers or {}), method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            return Response(answer.status, answer.read().decode(), answer.headers)
    except urllib.error.HTTPError as refused:
        with refused:
            return Response(refused.code, refused.read().decode(), refused.headers)
    except (OSError, ValueError, http.client.HTTPException):
        return Response(NO_ANSWER)
