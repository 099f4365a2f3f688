"""Settings: one frozen type, which is the table of them too, read once from the environment.

A variable is called as its field. Its default, why it is there and what it may be stand in one
place, the field; the reference's table is compared with it by a test.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any

from gridos.faults import WORLD, FaultError, Faults
from gridos.faults import parse as parse_faults


class ConfigurationError(Exception):
    """The environment does not make sense; the message names the variable and the remedy."""


@dataclass(frozen=True)
class Setting:
    """A variable of the environment, its default as it is written there, and why it is there.

    A number has bounds, and of some texts only a few words are known.
    """

    variable: str
    default: str
    why: str
    bounds: tuple[int, int] | None = None
    words: tuple[str, ...] = ()


def _setting(default: Any, why: str, *, written: str | None = None, **limits: Any) -> Any:
    """A field of `Settings`; `written`: its default, where that is no text or number."""
    limits["default"] = str(default) if written is None else written
    return field(default=default, metadata={"why": why, **limits})


@dataclass(frozen=True)
class Settings:
    """What a process was started with; secrets only as the environment has them."""

    database_url: str = _setting(
        "", "libpq URL of the PostgreSQL to use, unless a secret source has it"
    )
    database_auth: str = _setting(
        "password",
        "password, or entra: a fresh Entra token for each login",
        words=("password", "entra"),
    )
    secrets_dir: str = _setting(
        "", "directory with the files database-url and api-keys; comes first"
    )
    key_vault_url: str = _setting("", "Azure Key Vault with the secrets database-url and api-keys")
    secrets_refresh_seconds: int = _setting(
        30, "how often a directory or vault is read again", bounds=(1, 86_400)
    )
    host: str = _setting("127.0.0.1", "address to listen on; 0.0.0.0 in a container")
    port: int = _setting(8000, "port to listen on", bounds=(1, 65_535))
    management_port: int = _setting(
        0, "port of probes and metrics by themselves; 0: none", bounds=(0, 65_535)
    )
    api_keys: str = _setting("", "comma-joined keys and what each may do (`gridos key` makes one)")
    key_requests_per_second: int = _setting(
        100, "writes a second that a pod takes from one key", bounds=(1, 1_000_000)
    )
    reads: str = _setting(
        "public",
        "public, or keyed: reading needs a key with the scope read",
        words=("public", "keyed"),
    )
    trusted_proxies: int = _setting(
        0,
        "proxies in front that append to X-Forwarded-For; 0: callers cannot be told apart",
        bounds=(0, 10),
    )
    client_requests_per_second: int = _setting(
        50,
        "reads a second that a pod takes from one address without a key, behind trusted proxies",
        bounds=(1, 1_000_000),
    )
    faults: Faults = _setting(
        Faults(), "comma-joined faults that make a faulty release", written=""
    )
    pod: str = _setting("", "pod name, for log lines")
    version: str = _setting("dev", "release, for /version, metrics and log lines")
    cpu_limit_millicores: int = _setting(
        1000, "the container's CPU limit, what a cpu fault fills", bounds=(1, 1_000_000)
    )
    log_level: str = _setting(
        "info", "debug, info, warning or error", words=("debug", "info", "warning", "error")
    )
    max_body_bytes: int = _setting(1_048_576, "larger bodies are refused: 413", bounds=(1, 1 << 30))
    max_ahead_seconds: int = _setting(
        3600,
        "how far a reading's time may lie ahead of this clock; a later one hides all before it",
        bounds=(0, 31_536_000),
    )
    drain_seconds: int = _setting(
        0, "unready but still serving after SIGTERM; 0 behind a preStop", bounds=(0, 600)
    )
    retention_days: int = _setting(400, "readings older than this may go", bounds=(1, 36_500))
    server: str = _setting(
        "gunicorn",
        "gunicorn, or granian: faster, fewer hooks, not in the image",
        words=("gunicorn", "granian"),
    )
    traces: str = _setting(
        "off", "off, or otlp: spans to OTEL_EXPORTER_OTLP_ENDPOINT", words=("off", "otlp")
    )


def _of(made: Field[Any]) -> Setting:
    # Whoever runs a service sets PORT, whatever it is called.
    variable = "PORT" if made.name == "port" else f"GRIDOS_{made.name.upper()}"
    return Setting(variable, **made.metadata)


TABLE: Mapping[str, Setting] = {each.name: _of(each) for each in fields(Settings)}


def read(environment: Mapping[str, str] | None = None) -> Settings:
    """Reads the settings.

    Raises:
        ConfigurationError: if a variable does not make sense.
    """
    environment = os.environ if environment is None else environment
    values = {
        name: _value(setting, environment.get(setting.variable, setting.default))
        for name, setting in TABLE.items()
    }
    return Settings(**{**values, "faults": _faults(values["faults"])})


def _value(setting: Setting, text: str) -> Any:
    if setting.bounds is not None:
        return _whole(setting.variable, text, *setting.bounds)
    if setting.words and text not in setting.words:
        *others, last = setting.words
        raise ConfigurationError(
            f"{setting.variable} is {text!r} — give {', '.join(others)} or {last}"
        )
    return text


def _whole(variable: str, text: str, least: int, most: int) -> int:
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise ConfigurationError(
            f"{variable} is {text!r} — give a whole number from {least} to {most}"
        )
    return int(text)


def _faults(text: str) -> Faults:
    try:
        faults = parse_faults(text)
    except FaultError as wrong:
        raise ConfigurationError(f"GRIDOS_FAULTS: {wrong}") from None
    for fault in faults.named(*WORLD):
        raise ConfigurationError(
            f"GRIDOS_FAULTS: no pod makes {fault.name} — give it to canary rehearse"
        )
    return faults
