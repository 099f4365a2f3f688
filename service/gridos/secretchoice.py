"""Which secret source the settings name, and how a connection logs in."""

from __future__ import annotations

from pathlib import Path

from gridos.config import ConfigurationError, Settings
from gridos.secretsource import API_KEYS, DATABASE_URL, Directory, Secrets, Source


def open_secrets(settings: Settings) -> Secrets:
    """The secrets that the settings name.

    Raises:
        SecretsUnavailable: if they cannot be read.
        ConfigurationError: if there is no database among them, or a package is missing.
    """
    fallback = {DATABASE_URL: settings.database_url, API_KEYS: settings.api_keys}
    source, token = _source(settings), None
    if settings.database_auth == "entra":
        from gridos import azure  # noqa: PLC0415 — an extra

        token = azure.DatabaseToken()
    secrets = Secrets(source, fallback, settings.secrets_refresh_seconds, token)
    if not secrets.get(DATABASE_URL):
        raise ConfigurationError(
            f"no database is named — set GRIDOS_DATABASE_URL, or put {DATABASE_URL} into"
            " GRIDOS_SECRETS_DIR or GRIDOS_KEY_VAULT_URL"
        )
    return secrets


def _source(settings: Settings) -> Source | None:
    if settings.secrets_dir:
        return Directory(Path(settings.secrets_dir))
    if settings.key_vault_url:
        from gridos import azure  # noqa: PLC0415 — an extra

        return azure.KeyVault(settings.key_vault_url)
    return None
