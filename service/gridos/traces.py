"""OpenTelemetry spans, if they are wanted: an extra that costs nothing when off.

With GRIDOS_TRACES=otlp each request that is counted becomes a server span, sent as OTLP over HTTP
in the background; the SDK's own OTEL_* variables say where to and how many. The span goes on from
the same `traceparent` that log lines and exemplars carry.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from flask import Flask

from gridos.config import ConfigurationError
from gridos.tracecontext import IDS


def init_app(app: Flask) -> None:
    """Wraps the application in OpenTelemetry's WSGI middleware, if the settings ask for it."""
    settings = app.extensions["settings"]
    if settings.traces == "off":
        return
    try:
        from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware  # noqa: PLC0415 — an extra
    except ModuleNotFoundError as missing:
        raise ConfigurationError(
            f"{missing.name} is not installed — install gridos[traces]"
        ) from missing
    provider = app.extensions["tracer_provider"] = _provider(settings.version, settings.pod)
    traced = OpenTelemetryMiddleware(app.wsgi_app, tracer_provider=provider)

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Lets a request that came without a trace begin one with the ids it is logged under."""
        ids = environ.get(IDS)
        if ids is not None:
            environ["HTTP_TRACEPARENT"] = ids.traceparent
        answer: Iterable[bytes] = traced(environ, start_response)
        return answer

    app.wsgi_app = application  # type: ignore[method-assign]


def close(app: Flask) -> None:
    """Sends what is left."""
    provider = app.extensions.get("tracer_provider")
    if provider is not None:
        provider.shutdown()


def _provider(version: str, pod: str) -> Any:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 — an extra
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 — same
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 — same
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 — same

    named = {"service.name": "gridos", "service.version": version, "k8s.pod.name": pod}
    provider = TracerProvider(resource=Resource.create(named))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
