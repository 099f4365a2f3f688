"""/metrics: prometheus-flask-exporter's endpoint, with the request metrics written fast.

The stock renderer builds and escapes every label of every line anew with each scrape. Ours keeps
each line's beginning and joins numbers to it; the text is the same, byte for byte (a test compares
them). Whatever else is in the registry is rendered by prometheus_client as ever.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Any

import prometheus_client.utils
from flask import Flask
from prometheus_client import CollectorRegistry, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_flask_exporter import PrometheusMetrics

from gridos.tally import BOUNDS_S, DURATIONS, IN_FLIGHT, REQUESTS, Cell, RouteKey, Tally, Totals

_END = "# EOF\n"
_number: Callable[[float], str] = prometheus_client.utils.floatToGoString
_BOUNDS = (*(_number(bound) for bound in BOUNDS_S), "+Inf")


class Exposition(PrometheusMetrics):  # type: ignore[misc]
    """The exporter's registry, endpoint and extra metrics; only the writing differs."""

    def __init__(self, app: Flask, tally: Tally) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._tally = _Hideable(tally)
        self._renderer = Renderer(tally)
        registry = CollectorRegistry(auto_describe=True)
        super().__init__(app, path="/metrics", export_defaults=False, registry=registry)
        registry.register(self._tally)

    def generate_metrics(
        self, accept_header: str | None = None, names: list[str] | None = None
    ) -> tuple[str, str]:
        """(text, content type) of a scrape; `names` as the exporter has it."""
        if names:
            text, content_type = super().generate_metrics(accept_header, names)
            return text, content_type
        encode, content_type = choose_encoder(accept_header or "")
        with self._tally.hidden():
            others = encode(self.registry).decode()
        open_metrics = others.endswith(_END)
        ours = self._renderer.render(open_metrics=open_metrics)
        return others.removesuffix(_END) + ours + _END * open_metrics, content_type


class _Hideable(Collector):
    """The tally as a collector, which yields nothing while it is written by hand."""

    def __init__(self, tally: Tally) -> None:
        self._inner = tally
        self._thread = threading.local()

    def collect(self) -> Iterator[Any]:
        """As prometheus_client asks for it."""
        if not getattr(self._thread, "hides", False):
            yield from self._inner.collect()

    def hidden(self) -> _Hidden:
        """A block in which this thread's scrape leaves the tally out."""
        return _Hidden(self._thread)


class _Hidden:
    def __init__(self, thread: threading.local) -> None:
        self._thread = thread

    def __enter__(self) -> None:
        self._thread.hides = True

    def __exit__(self, *_: object) -> None:
        self._thread.hides = False


class Renderer:
    """Writes a tally's sums as Prometheus text or OpenMetrics."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._counts: dict[tuple[str, str, str], str] = {}
        self._cells: dict[RouteKey, str] = {}

    def render(self, *, open_metrics: bool) -> str:
        """The three families, in the order of the tally's own `collect`."""
        totals = self._tally.sum()
        lines = _head(*REQUESTS, "counter", suffix="" if open_metrics else "_total")
        lines += [self._count_start(key) + f"{count}.0\n" for key, count in totals.counts.items()]
        lines += _head(*DURATIONS, "histogram")
        lines += [
            self._cell(key, cell, open_metrics=open_metrics) for key, cell in totals.cells.items()
        ]
        lines += _in_flight(totals)
        return "".join(lines)

    def _count_start(self, key: tuple[str, str, str]) -> str:
        start = self._counts.get(key)
        if start is None:
            labels = _labels(zip(("method", "route", "status"), key, strict=True))
            start = self._counts[key] = f"{REQUESTS[0]}_total{{{labels}}} "
        return start

    def _cell(self, key: RouteKey, cell: Cell, *, open_metrics: bool) -> str:
        form = self._cells.get(key) or self._cells.setdefault(key, _form(key))
        cumulated = tuple(accumulate(cell.buckets))
        text = form % (*cumulated, cumulated[-1], _number(cell.total_s))
        return _add_exemplars(text, cell) if open_metrics and cell.exemplars else text


def _form(key: RouteKey) -> str:
    """The lines of a route's histogram, with places for their numbers."""
    name = DURATIONS[0]
    plain = _labels(zip(("method", "route"), key, strict=True)).replace("%", "%%")
    buckets = [f'{name}_bucket{{le="{bound}",{plain}}} %d.0\n' for bound in _BOUNDS]
    return "".join([*buckets, f"{name}_count{{{plain}}} %d.0\n", f"{name}_sum{{{plain}}} %s\n"])


def _add_exemplars(text: str, cell: Cell) -> str:
    lines = text.splitlines(keepends=True)
    for index, exemplar in cell.exemplars.items():
        lines[index] = f"{lines[index][:-1]}{_exemplar(*exemplar)}\n"
    return "".join(lines)


def _head(name: str, text: str, kind: str, suffix: str = "") -> list[str]:
    return [f"# HELP {name}{suffix} {text}\n# TYPE {name}{suffix} {kind}\n"]


def _in_flight(totals: Totals) -> list[str]:
    return [*_head(*IN_FLIGHT, "gauge"), f"{IN_FLIGHT[0]} {totals.in_flight}.0\n"]


def _labels(pairs: Any) -> str:
    return ",".join(f'{name}="{_escape(value)}"' for name, value in pairs)


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _exemplar(trace_id: str, seconds: float, at: float) -> str:
    return f' # {{trace_id="{trace_id}"}} {_number(seconds)} {at:.6f}'
