"""Metrics of the service's own matters, beside those of requests: pool, ingest, secrets, worker.

All are read when they are scraped; only the ingest counters are written as things happen.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flask import Flask
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gridos import exits
from gridos.access import Keys
from gridos.secretsource import API_KEYS, Secrets
from gridos.storage.availability import Availability
from gridos.storage.pool import Pool
from gridos.storage.readings import Stored

# Why a row was not stored: wrong itself, of an unknown bus, stored with other values where a sender
# wants that refused, or good in a batch that was refused.
REASONS = ("invalid", "unknown-bus", "conflict", "batch-refused")


class Meters:
    """What ingest counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._stored = Counter(
            "gridos_ingest_rows_stored_total", "Readings stored anew", registry=registry
        )
        self._replaced = Counter(
            "gridos_ingest_rows_replaced_total",
            "Readings that took another's place",
            registry=registry,
        )
        self._differing = Counter(
            "gridos_ingest_rows_differing_total",
            "Readings left out because they are stored with other values",
            registry=registry,
        )
        self._refused = Counter(
            "gridos_ingest_rows_refused_total",
            "Readings refused, by reason",
            ["reason"],
            registry=registry,
        )
        for reason in REASONS:
            self._refused.labels(reason)

    def stored(self, done: Stored) -> None:
        """What became of a batch."""
        self._stored.inc(done.stored)
        self._replaced.inc(done.replaced)
        self._differing.inc(done.differing)

    def refused(self, reason: str, rows: int) -> None:
        """So many rows were not stored, for one of `REASONS`."""
        self._refused.labels(reason).inc(rows)


class StateCollector(Collector):
    """The state of pool, secrets and worker at the time of a scrape."""

    def __init__(self, app: Flask) -> None:
        self._availability: Availability = app.extensions["availability"]
        self._pool: Pool = app.extensions["pool"]
        self._secrets: Secrets = app.extensions["secrets"]
        self._keys: Keys = app.extensions["keys"]
        self._settings = app.extensions["settings"]

    def collect(self) -> Iterator[Metric]:
        """As prometheus_client asks for it."""
        yield _gauge(
            "gridos_db_up",
            "Whether the database answered, and took writes, when it was last asked (every second)",
            self._availability.fault is None,
        )
        yield from _pool_metrics(self._pool)
        yield _counter(
            "gridos_worker_exits",
            "Workers of this pod that ended unasked",
            exits.count(self._settings),
        )
        yield _gauge(
            "gridos_secrets_refreshed_timestamp_seconds",
            "Unix time of the last successful read of the secret source",
            self._secrets.refreshed_at,
        )
        self._keys.read(self._secrets.get(API_KEYS))
        yield _gauge("gridos_api_keys", "API keys in force", self._keys.count)
        yield _gauge(
            "gridos_api_keys_stale",
            "Whether the source has no valid key, so that those before it stay in force",
            self._keys.is_stale,
        )


def init_app(app: Flask, registry: CollectorRegistry) -> None:
    """Registers them all."""
    build = Gauge("gridos_build_info", "The release", ["version"], registry=registry)
    build.labels(app.extensions["settings"].version).set(1)
    app.extensions["meters"] = Meters(registry)
    registry.register(StateCollector(app))


def _pool_metrics(pool: Pool) -> Iterator[Metric]:
    stats = pool.get_stats()
    connections = GaugeMetricFamily(
        "gridos_db_pool_connections", "Connections of the pool, by state", labels=["state"]
    )
    connections.add_metric(["idle"], stats.get("pool_available", 0))
    connections.add_metric(["busy"], pool.busy)
    yield connections
    yield _gauge(
        "gridos_db_pool_connections_max", "Most connections the pool may have", pool.max_size
    )
    waiting = stats.get("requests_waiting", 0)
    yield _gauge("gridos_db_pool_waiting", "Requests that wait for a connection", waiting)
    errors = stats.get("requests_errors", 0)
    yield _counter("gridos_db_pool_timeouts", "Requests that got no connection in time", errors)


def _gauge(name: str, text: str, value: Any) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=float(value))


def _counter(name: str, text: str, value: int) -> CounterMetricFamily:
    return CounterMetricFamily(name, text, value=value)
