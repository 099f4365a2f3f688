"""Settings: one frozen type, one table, read once from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields

from gridos.faults import FaultError, Faults
from gridos.faults import parse as parse_faults


class ConfigurationError(Exception):
    """The environment does not make sense; the message names the variable and the remedy."""


@dataclass(frozen=True)
class Setting:
    """A variable of the environment, its default, and why it is there."""

    variable: str
    default: str | None
    why: str


TABLE: Mapping[str, Setting] = {
    "database_url": Setting("GRIDOS_DATABASE_URL", None, "libpq URL of the PostgreSQL to use"),
    "host": Setting("GRIDOS_HOST", "127.0.0.1", "address to listen on; 0.0.0.0 in a container"),
    "port": Setting("PORT", "8000", "port to listen on"),
    "api_keys": Setting("GRIDOS_API_KEYS", "", "comma-joined keys that may write; none: no writes"),
    "faults": Setting("GRIDOS_FAULTS", "", "comma-joined faults that make a bad release"),
    "pod": Setting("GRIDOS_POD", "", "pod name, for log lines"),
    "version": Setting("GRIDOS_VERSION", "dev", "release, for /version, metrics and log lines"),
    "cpu_limit_millicores": Setting(
        "GRIDOS_CPU_LIMIT_MILLICORES", "1000", "the container's CPU limit, what a cpu fault fills"
    ),
    "log_level": Setting("GRIDOS_LOG_LEVEL", "info", "debug, info, warning or error"),
    "max_body_bytes": Setting("GRIDOS_MAX_BODY_BYTES", "1048576", "larger bodies are refused: 413"),
}


@dataclass(frozen=True)
class Settings:
    """What a process was started with."""

    database_url: str
    host: str = "127.0.0.1"
    port: int = 8000
    api_keys: tuple[str, ...] = ()
    faults: Faults = Faults()
    pod: str = ""
    version: str = "dev"
    cpu_limit_millicores: int = 1000
    log_level: str = "info"
    max_body_bytes: int = 1_048_576


def read(environment: Mapping[str, str] | None = None) -> Settings:
    """Reads the settings.

    Raises:
        ConfigurationError: if a variable is missing or does not make sense.
    """
    environment = os.environ if environment is None else environment
    texts = {field.name: _text(field.name, environment) for field in fields(Settings)}
    return Settings(
        database_url=texts["database_url"],
        host=texts["host"],
        port=_whole("port", texts, 1, 65535),
        api_keys=tuple(key for key in texts["api_keys"].split(",") if key),
        faults=_faults(texts["faults"]),
        pod=texts["pod"],
        version=texts["version"],
        cpu_limit_millicores=_whole("cpu_limit_millicores", texts, 1, 1_000_000),
        log_level=_level(texts["log_level"]),
        max_body_bytes=_whole("max_body_bytes", texts, 1, 1 << 30),
    )


def _text(name: str, environment: Mapping[str, str]) -> str:
    setting = TABLE[name]
    text = environment.get(setting.variable, setting.default)
    if text is None:
        raise ConfigurationError(f"{setting.variable} is not set — it is the {setting.why}")
    return text


def _whole(name: str, texts: Mapping[str, str], least: int, most: int) -> int:
    text = texts[name]
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        variable = TABLE[name].variable
        raise ConfigurationError(
            f"{variable} is {text!r} — give a whole number from {least} to {most}"
        )
    return int(text)


def _level(text: str) -> str:
    if text not in ("debug", "info", "warning", "error"):
        raise ConfigurationError(
            f"GRIDOS_LOG_LEVEL is {text!r} — give debug, info, warning or error"
        )
    return text


def _faults(text: str) -> Faults:
    try:
        return parse_faults(text)
    except FaultError as wrong:
        raise ConfigurationError(f"GRIDOS_FAULTS: {wrong}") from None
