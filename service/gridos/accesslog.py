"""The access log: one JSON line a response, of the same shape as every other line of the service.

Made by hand and written with one call, because the logging machinery would cost more than all the
counting; a test holds its fields to those of python-json-logger's lines.
"""

from __future__ import annotations

import os
import sys
import time
from json.encoder import encode_basestring_ascii as quote

from gridos.tracecontext import Ids

_THOUSANDTHS = tuple(f"{number:03d}" for number in range(1000))


class AccessLog:
    """Writes to the standard output that there is when it is made."""

    def __init__(self, pod: str, version: str) -> None:
        self._line_end = f',"pod":{quote(pod)},"version":{quote(version)}}}\n'
        self._out = sys.stdout.fileno()
        self._clock = (0, "")
        # Routes are few, and none but those of the map come here.
        self._quoted: dict[str, str] = {}

    def write(self, method: str, route: str, status: str, seconds: float, ids: Ids) -> None:
        """Writes the line of one response."""
        route = self._quoted.get(route) or self._quoted.setdefault(route, quote(route))
        # Formatting a float costs several times as much as formatting integers.
        duration_us = int(seconds * 1e6)
        line = (
            f'{{"timestamp":"{self._now()}","level":"INFO","logger":"gridos.access",'
            f'"message":"request","method":"{method}","route":{route},"status":{status},'
            f'"duration_ms":{duration_us // 1000}.{_THOUSANDTHS[duration_us % 1000]},'
            f'"request_id":"{ids.request}",'
            f'"trace_id":"{ids.trace}","span_id":"{ids.span}"{self._line_end}'
        )
        # One write: lines of several threads never mix, and no logging machinery is paid for.
        os.write(self._out, line.encode())

    def _now(self) -> str:
        """UTC with milliseconds; the part up to the second is made once a second."""
        now = time.time()
        second, text = self._clock
        if second != int(now):
            second = int(now)
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._clock = second, text
        return f"{text}.{_THOUSANDTHS[int((now - second) * 1000)]}+00:00"
