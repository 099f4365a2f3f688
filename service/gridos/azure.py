"""Azure's part: secrets from Key Vault and logins by Entra token, both with workload identity.

Needs the `azure` extra. The credential is named and not found out by trial: a chain of them costs
seconds at start and logs in as whoever happens to be there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg

from gridos.config import ConfigurationError
from gridos.secretsource import NAMES, SecretsUnavailable

try:
    from azure.core.exceptions import AzureError, ResourceNotFoundError
    from azure.identity import CredentialUnavailableError, WorkloadIdentityCredential
    from azure.keyvault.secrets import SecretClient
except ModuleNotFoundError as missing:  # pragma: no cover — the extra is in the lock for tests
    raise ConfigurationError(
        f"{missing.name} is not installed — install gridos[azure]"
    ) from missing

# A secret's `timeout` includes its retries, so that reading all of them ends before the next read.
TIMEOUTS: Mapping[str, Any] = {
    "timeout": 12,
    "connection_timeout": 3,
    "read_timeout": 5,
    "retry_total": 2,
    "retry_backoff_factor": 0.4,
    "retry_backoff_max": 4,
}
DATABASE_SCOPE = "https://ossrdbms-aad.database.windows.net/.default"


class KeyVault:
    """Secrets of a vault, by their names, in their newest versions."""

    def __init__(self, vault_url: str, credential: Any = None, **options: Any) -> None:
        self._url = vault_url
        self._client = SecretClient(vault_url, credential or _identity(), **{**TIMEOUTS, **options})

    def read(self) -> Mapping[str, str]:
        """Those of the names that the vault holds; see `Source.read`."""
        found = {name: self._value(name) for name in NAMES}
        return {name: value for name, value in found.items() if value is not None}

    def _value(self, name: str) -> str | None:
        try:
            return self._client.get_secret(name).value
        except ResourceNotFoundError:
            return None
        except (AzureError, CredentialUnavailableError) as failed:
            cause = " ".join(str(failed).split())
            raise SecretsUnavailable(f"{self._url} does not give {name}: {cause}") from None


class DatabaseToken:
    """A fresh Entra token for each new connection; the SDK keeps one until it is nearly spent."""

    def __init__(self, credential: Any = None) -> None:
        self._credential = credential or _identity()

    def __call__(self) -> str:
        """The token, as the password of the database user that the identity is.

        Raises:
            psycopg.OperationalError: if there is none, so that callers see a database out of reach.
        """
        try:
            token: str = self._credential.get_token(DATABASE_SCOPE).token
        except (AzureError, CredentialUnavailableError) as failed:
            cause = " ".join(str(failed).split())
            raise psycopg.OperationalError(f"no Entra token: {cause}") from None
        return token


def _identity() -> WorkloadIdentityCredential:
    try:
        return WorkloadIdentityCredential(retry_total=2)
    except ValueError as missing:
        raise ConfigurationError(
            f"workload identity is not set up: {missing} — is the pod's service account labelled"
            " azure.workload.identity/use?"
        ) from None
