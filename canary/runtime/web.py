"""A web service, asked as the Argo controller asks it, and a path to a value of its JSON.

Source: metricproviders/webmetric/webmetric.go of v1.9.1. Of the JSON paths of Kubernetes those are
read that lead to one place: names and indexes.
"""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterable
from typing import Any

_PATH = re.compile(r"\{\s*\$?(?P<parts>(?:\.[\w-]+|\[\d+\]|\['[^']+'\])*)\s*\}")
_PART = re.compile(r"\.([\w-]+)|\[(\d+)\]|\['([^']+)'\]")


class WebError(Exception):
    """There is no value; Argo makes a measurement in Error of it."""


class NoJsonError(Exception):
    """The response is text, which Argo takes for a success unread (`parseResponse`)."""


def is_understood(json_path: str) -> bool:
    """Whether a JSON path is one of those that are read here."""
    return _PATH.fullmatch(json_path) is not None


def ask(
    url: str,
    json_path: str,
    timeout_s: float,
    method: str = "GET",
    headers: Iterable[tuple[str, str]] = (),
    body: str = "",
) -> Any:
    """The value that the path leads to; its lists are tuples, as in a condition's result.

    Raises:
        WebError: if nobody answers, or the answer has no such place.
        NoJsonError: if it is no JSON.
    """
    try:
        request = urllib.request.Request(url, body.encode() or None, dict(headers), method=method)
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            text = answer.read()
    except urllib.error.HTTPError as refused:
        raise WebError(f"received non 2xx response code: {refused.code}") from None
    except OSError as gone:
        raise WebError(f"{url} does not answer: {gone}") from None
    try:
        value = json.loads(text)
    except ValueError:
        raise NoJsonError(text.decode(errors="replace")) from None
    return _frozen(_follow(value, json_path))


def _follow(value: Any, json_path: str) -> Any:
    found = _PATH.fullmatch(json_path)
    if found is None:
        raise WebError(f"the JSON path {json_path} is not understood")
    try:
        for name, index, quoted in _PART.findall(found["parts"]):
            value = value[int(index)] if index else value[name or quoted]
    except (KeyError, IndexError, TypeError):
        raise WebError(f"Could not find JSONPath in body: {json_path}") from None
    return value


def _frozen(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_frozen(item) for item in value)
    # Go reads every number as a float64.
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
