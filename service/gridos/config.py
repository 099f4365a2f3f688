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
    default: str
    why: str


TABLE: Mapping[str, Setting] = {
    "database_url": Setting(
        "GRIDOS_DATABASE_URL",
        "",
        "libpq URL of the PostgreSQL to use, unless a secret source has it",
    ),
    "database_auth": Setting(
        "GRIDOS_DATABASE_AUTH", "password", "password, or entra: a fresh Entra token for each login"
    ),
    "secrets_dir": Setting(
        "GRIDOS_SECRETS_DIR", "", "directory with the files database-url and api-keys; comes first"
    ),
    "key_vault_url": Setting(
        "GRIDOS_KEY_VAULT_URL", "", "Azure Key Vault with the secrets database-url and api-keys"
    ),
    "secrets_refresh_seconds": Setting(
        "GRIDOS_SECRETS_REFRESH_SECONDS", "30", "how often a directory or vault is read again"
    ),
    "host": Setting("GRIDOS_HOST", "127.0.0.1", "address to listen on; 0.0.0.0 in a container"),
    "port": Setting("PORT", "8000", "port to listen on"),
    "management_port": Setting(
        "GRIDOS_MANAGEMENT_PORT", "0", "port of probes and metrics by themselves; 0: none"
    ),
    "api_keys": Setting(
        "GRIDOS_API_KEYS", "", "comma-joined keys and what each may do (`gridos key` makes one)"
    ),
    "key_requests_per_second": Setting(
        "GRIDOS_KEY_REQUESTS_PER_SECOND",
        "100",
        "writes a second that a pod takes from one key",
    ),
    "reads": Setting(
        "GRIDOS_READS", "public", "public, or keyed: reading needs a key with the scope read"
    ),
    "trusted_proxies": Setting(
        "GRIDOS_TRUSTED_PROXIES",
        "0",
        "proxies in front that append to X-Forwarded-For; 0: callers cannot be told apart",
    ),
    "client_requests_per_second": Setting(
        "GRIDOS_CLIENT_REQUESTS_PER_SECOND",
        "50",
        "reads a second that a pod takes from one address without a key, behind trusted proxies",
    ),
    "faults": Setting("GRIDOS_FAULTS", "", "comma-joined faults that make a bad release"),
    "pod": Setting("GRIDOS_POD", "", "pod name, for log lines"),
    "version": Setting("GRIDOS_VERSION", "dev", "release, for /version, metrics and log lines"),
    "cpu_limit_millicores": Setting(
        "GRIDOS_CPU_LIMIT_MILLICORES", "1000", "the container's CPU limit, what a cpu fault fills"
    ),
    "log_level": Setting("GRIDOS_LOG_LEVEL", "info", "debug, info, warning or error"),
    "max_body_bytes": Setting("GRIDOS_MAX_BODY_BYTES", "1048576", "larger bodies are refused: 413"),
    "max_ahead_seconds": Setting(
        "GRIDOS_MAX_AHEAD_SECONDS",
        "3600",
        "how far a reading's time may lie ahead of this clock; a later one hides all before it",
    ),
    "drain_seconds": Setting(
        "GRIDOS_DRAIN_SECONDS", "0", "unready but still serving after SIGTERM; 0 behind a preStop"
    ),
    "retention_days": Setting("GRIDOS_RETENTION_DAYS", "400", "readings older than this may go"),
    "server": Setting(
        "GRIDOS_SERVER", "gunicorn", "gunicorn, or granian: faster, fewer hooks, not in the image"
    ),
    "traces": Setting("GRIDOS_TRACES", "off", "off, or otlp: spans to OTEL_EXPORTER_OTLP_ENDPOINT"),
}


@dataclass(frozen=True)
class Settings:
    """What a process was started with; secrets only as the environment has them."""

    database_url: str = ""
    database_auth: str = "password"
    secrets_dir: str = ""
    key_vault_url: str = ""
    secrets_refresh_seconds: int = 30
    host: str = "127.0.0.1"
    port: int = 8000
    management_port: int = 0
    api_keys: str = ""
    key_requests_per_second: int = 100
    reads: str = "public"
    trusted_proxies: int = 0
    client_requests_per_second: int = 50
    faults: Faults = Faults()
    pod: str = ""
    version: str = "dev"
    cpu_limit_millicores: int = 1000
    log_level: str = "info"
    max_body_bytes: int = 1_048_576
    max_ahead_seconds: int = 3600
    drain_seconds: int = 0
    retention_days: int = 400
    server: str = "gunicorn"
    traces: str = "off"


def read(environment: Mapping[str, str] | None = None) -> Settings:
    """Reads the settings.

    Raises:
        ConfigurationError: if a variable does not make sense.
    """
    environment = os.environ if environment is None else environment
    texts = {field.name: _text(field.name, environment) for field in fields(Settings)}
    wholes = {name: _whole(name, texts, *bounds) for name, bounds in _BOUNDS.items()}
    for name, words in _WORDS.items():
        _check_word(name, texts[name], words)
    return Settings(**{**texts, **wholes, "faults": _faults(texts["faults"])})  # type: ignore[arg-type]


_BOUNDS = {
    "port": (1, 65535),
    "management_port": (0, 65535),
    "cpu_limit_millicores": (1, 1_000_000),
    "max_body_bytes": (1, 1 << 30),
    "key_requests_per_second": (1, 1_000_000),
    "trusted_proxies": (0, 10),
    "client_requests_per_second": (1, 1_000_000),
    "secrets_refresh_seconds": (1, 86_400),
    "max_ahead_seconds": (0, 31_536_000),
    "drain_seconds": (0, 600),
    "retention_days": (1, 36_500),
}
_WORDS = {
    "log_level": ("debug", "info", "warning", "error"),
    "database_auth": ("password", "entra"),
    "reads": ("public", "keyed"),
    "server": ("gunicorn", "granian"),
    "traces": ("off", "otlp"),
}


def _text(name: str, environment: Mapping[str, str]) -> str:
    setting = TABLE[name]
    return environment.get(setting.variable, setting.default)


def _whole(name: str, texts: Mapping[str, str], least: int, most: int) -> int:
    text = texts[name]
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        variable = TABLE[name].variable
        raise ConfigurationError(
            f"{variable} is {text!r} — give a whole number from {least} to {most}"
        )
    return int(text)


def _check_word(name: str, text: str, words: tuple[str, ...]) -> None:
    if text not in words:
        raise ConfigurationError(
            f"{TABLE[name].variable} is {text!r} — give {', '.join(words[:-1])} or {words[-1]}"
        )


def _faults(text: str) -> Faults:
    try:
        return parse_faults(text)
    except FaultError as wrong:
        raise ConfigurationError(f"GRIDOS_FAULTS: {wrong}") from None
