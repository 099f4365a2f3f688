"""A web service, asked as the Argo controller asks it: a GET, and a path to a value of its JSON.

Source: metricproviders/webmetric/webmetric.go @9f8d111. Of the JSON paths of Kubernetes those are
read that lead to one place: names and indexes.
"""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from typing import Any

_PATH = re.compile(r"\{\s*\$?(?P<parts>(?:\.[\w-]+|\[\d+\]|\['[^']+'\])*)\s*\}")
_PART = re.compile(r"\.([\w-]+)|\[(\d+)\]|\['([^']+)'\]")


class WebError(Exception):
    """There is no value; Argo makes a measurement in Error of it."""


def is_understood(json_path: str) -> bool:
    """Whether a JSON path is one of those that are read here."""
    return _PATH.fullmatch(json_path) is not None


def get(url: str, json_path: str, timeout_s: float) -> Any:
    """The value that the path leads to; its lists are tuples, as in a condition's result.

    Raises:
        WebError: if nobody answers, what is answered is no JSON, or it has no such place.
    """
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as answer:
            body = json.load(answer)
    except urllib.error.HTTPError as refused:
        raise WebError(f"received non 2xx response code: {refused.code}") from None
    except OSError as gone:
        raise WebError(f"{url} does not answer: {gone}") from None
    except ValueError as other:
        raise WebError(f"{url} answers no JSON, an error on a cluster too: {other}") from None
    return _frozen(_follow(body, json_path))


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
