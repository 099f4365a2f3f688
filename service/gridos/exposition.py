"""/metrics: prometheus-flask-exporter's endpoint, with the request metrics written fast.

The stock renderer builds and escapes every label of every line anew with each scrape. Ours keeps
each line's beginning and joins numbers to it; the text is the same, byte for byte (a test compares
them). Whatever else is in the registry is rendered by prometheus_client as ever.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import accumulate
from typing import Any

import prometheus_client.utils
from flask import Flask
from prometheus_client import CollectorRegistry, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_flask_exporter import PrometheusMetrics

from gridos.tally import (
    BOUNDS_S,
    DURATIONS,
    IN_FLIGHT,
    REQUESTS,
    Cell,
    CountKey,
    RouteKey,
    Tally,
)

_END = b"# EOF\n"
_number: Callable[[float], str] = prometheus_client.utils.floatToGoString
_BOUNDS = (*(_number(bound) for bound in BOUNDS_S), "+Inf")


class Exposition(PrometheusMetrics):  # type: ignore[misc]
    """The exporter's registry, endpoint and extra metrics; only the writing differs."""

    def __init__(self, app: Flask, tally: Tally) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._tally = _Hideable(tally)
        registry = CollectorRegistry(auto_describe=True)
        super().__init__(app, path="/metrics", export_defaults=False, registry=registry)
        registry.register(self._tally)

    def generate_metrics(
        self, accept_header: str | None = None, names: list[str] | None = None
    ) -> tuple[bytes, str]:
        """(text, content type) of a scrape; `names` as the exporter has it."""
        try:
            encode, content_type = choose_encoder(accept_header or "")
        except (TypeError, ValueError):
            # A version that is none: the library compares it with numbers.
            encode, content_type = choose_encoder("")
        if names:
            return encode(self.registry.restricted_registry(names)), content_type
        with self._tally.hidden():
            others = encode(self.registry)
        open_metrics = others.endswith(_END)
        ours = render(self._tally.inner, open_metrics=open_metrics)
        return b"".join([others.removesuffix(_END), *ours, _END * open_metrics]), content_type


class _Hideable(Collector):
    """The tally as a collector, which yields nothing while it is written by hand."""

    def __init__(self, tally: Tally) -> None:
        self.inner = tally
        self._thread = threading.local()

    def collect(self) -> Iterator[Any]:
        """As prometheus_client asks for it."""
        if not getattr(self._thread, "hides", False):
            yield from self.inner.collect()

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """A block in which this thread's scrape leaves the tally out."""
        self._thread.hides = True
        try:
            yield
        finally:
            self._thread.hides = False


def render(tally: Tally, *, open_metrics: bool) -> list[bytes]:
    """A tally's sums as Prometheus text or OpenMetrics, in pieces, in the order of its `collect`.

    As bytes: numbers are formatted into them in half the time that text takes, and the whole, which
    may be a megabyte, is put together once.
    """
    totals = tally.sum()
    lines = _head(*REQUESTS, "counter", suffix="" if open_metrics else "_total")
    lines += [_count_form(key) % count for key, count in totals.counts.items()]
    lines += _head(*DURATIONS, "histogram")
    for key, cell in totals.cells.items():
        cumulated = tuple(accumulate(cell.buckets))
        text = _cell_form(key) % (*cumulated, cumulated[-1], _number(cell.total_s).encode())
        lines.append(_add_exemplars(text, cell) if open_metrics and cell.exemplars else text)
    lines += _head(*IN_FLIGHT, "gauge")
    lines.append(f"{IN_FLIGHT[0]} {totals.in_flight}.0\n".encode())
    return lines


@cache
def _count_form(key: CountKey) -> bytes:
    """The line of a route and status, with a place for its number."""
    labels = _labels(("method", "route", "status"), key)
    return f"{REQUESTS[0]}_total{{{labels}}} %d.0\n".encode()


@cache
def _cell_form(key: RouteKey) -> bytes:
    """The lines of a route's histogram, with places for their numbers."""
    name, plain = DURATIONS[0], _labels(("method", "route"), key)
    lines = [f'{name}_bucket{{le="{bound}",{plain}}} %d.0\n' for bound in _BOUNDS]
    lines += [f"{name}_count{{{plain}}} %d.0\n", f"{name}_sum{{{plain}}} %b\n"]
    return "".join(lines).encode()


def _add_exemplars(text: bytes, cell: Cell) -> bytes:
    lines = text.splitlines(keepends=True)
    for index, exemplar in cell.exemplars.items():
        lines[index] = lines[index][:-1] + _exemplar(*exemplar).encode() + b"\n"
    return b"".join(lines)


def _head(name: str, text: str, kind: str, suffix: str = "") -> list[bytes]:
    return [f"# HELP {name}{suffix} {text}\n# TYPE {name}{suffix} {kind}\n".encode()]


def _labels(names: Sequence[str], values: Sequence[str]) -> str:
    """As they stand between braces, in a form."""
    pairs = zip(names, map(_escape, values), strict=True)
    return ",".join(f'{name}="{value}"' for name, value in pairs).replace("%", "%%")


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _exemplar(trace_id: str, seconds: float, at: float) -> str:
    return f' # {{trace_id="{trace_id}"}} {_number(seconds)} {at:.6f}'
