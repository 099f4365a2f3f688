"""JSON log lines on standard output, one shape for the application, gunicorn and libraries."""

from __future__ import annotations

import logging
from typing import Any

from flask import has_request_context, request
from pythonjsonlogger.json import JsonFormatter

from gridos.config import Settings
from gridos.tracecontext import IDS


class IdsFilter(logging.Filter):
    """Adds the ids of the request a line was written for, if it was written for one."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Never drops a line."""
        ids = request.environ.get(IDS) if has_request_context() else None
        if ids is not None:
            record.request_id, record.trace_id, record.span_id = ids.request, ids.trace, ids.span
        return True


def configuration(settings: Settings) -> dict[str, Any]:
    """A `logging.config.dictConfig` configuration, for gunicorn as well."""
    formatter = {
        "()": JsonFormatter,
        "fmt": "{asctime}{levelname}{name}{message}",
        "style": "{",
        "rename_fields": {"asctime": "timestamp", "levelname": "level", "name": "logger"},
        "static_fields": {"pod": settings.pod, "version": settings.version},
        "datefmt": "%Y-%m-%dT%H:%M:%S%z",
    }
    handler = {
        "class": "logging.StreamHandler",
        "stream": "ext://sys.stdout",
        "formatter": "json",
        "filters": ["ids"],
    }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": formatter},
        "filters": {"ids": {"()": IdsFilter}},
        "handlers": {"stdout": handler},
        "root": {"handlers": ["stdout"], "level": settings.log_level.upper()},
        "loggers": {
            # gunicorn's own handlers would write these a second time, and not as JSON.
            "gunicorn.error": {"handlers": [], "propagate": True, "level": "WARNING"},
            "gunicorn.access": {"handlers": [], "propagate": False},
        },
    }
