"""Secrets: a directory first, Key Vault, the environment; and a change without a restart."""

import contextlib
import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import urlsplit

import psycopg
import pytest
import trustme
from gridos import azure, create_app, secretchoice, secretsource
from gridos.config import ConfigurationError, Settings
from gridos.secretsource import Directory, Secrets, SecretsUnavailable

from canary.runtime.waiting import wait_until


def renew(secrets):
    """Reads again, as if the last time were long ago."""
    secrets.refreshed_at = 1.0
    return secrets.renew()


def test_a_directory_comes_first_and_the_environment_fills_what_it_lacks(tmp_path):
    (tmp_path / "api-keys").write_text("from-file\n")
    settings = Settings("postgresql://env", secrets_dir=str(tmp_path), api_keys="from-env")
    secrets = secretchoice.open_secrets(settings)
    assert (secrets.get("api-keys"), secrets.conninfo()) == ("from-file", "postgresql://env")


def test_a_byte_order_mark_is_no_part_of_a_secret(tmp_path):
    (tmp_path / "api-keys").write_text("from-file\r\n", "utf-8-sig")
    assert Directory(tmp_path).read() == {"api-keys": "from-file"}


def test_a_changed_file_takes_effect_without_a_restart(tmp_path):
    keys = tmp_path / "api-keys"
    keys.write_text("old")
    secrets = Secrets(Directory(tmp_path), {}, refresh_s=0.02)
    secrets.watch()
    first = secrets.refreshed_at
    keys.write_text("new")
    assert wait_until(lambda: secrets.get("api-keys") == "new", timeout_s=60)
    assert secrets.refreshed_at > first
    secrets.close()


def test_a_source_that_is_gone_leaves_what_was_read_last(tmp_path):
    folder = tmp_path / "mount"
    folder.mkdir()
    (folder / "api-keys").write_text("kept")
    secrets = Secrets(Directory(folder), {}, refresh_s=60)
    (folder / "api-keys").unlink()
    folder.rmdir()
    assert not renew(secrets)
    assert (secrets.get("api-keys"), secrets.refreshed_at) == ("kept", 1.0)


@pytest.mark.parametrize("emptied", ["", " \n", None])
def test_an_emptied_file_neither_revokes_every_key_nor_loses_the_database(
    seeded, tmp_path, emptied, metric
):
    files = {"api-keys": "a-key:networks", "database-url": seeded}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    app = create_app(Settings(secrets_dir=str(tmp_path)))
    client = app.test_client()

    def statuses():
        keys = ({}, {"X-API-Key": ""}, {"X-API-Key": "a-key"})
        return [client.post("/v1/networks", headers=headers).status_code for headers in keys]

    assert statuses() == [401, 401, 415]
    for name in files:
        (tmp_path / name).write_text(emptied) if emptied is not None else (tmp_path / name).unlink()
    secrets = app.extensions["secrets"]
    assert renew(secrets)
    assert statuses() == [401, 401, 415]
    assert metric(client, "gridos_api_keys") == metric(client, "gridos_api_keys_stale") == 1
    assert secrets.conninfo() == seeded
    (tmp_path / "api-keys").write_text("other:networks")
    assert renew(secrets)
    assert statuses() == [401, 401, 401]
    assert metric(client, "gridos_api_keys") == 1
    assert metric(client, "gridos_api_keys_stale") == 0


def test_a_directory_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SecretsUnavailable, match="is the volume mounted"):
        secretchoice.open_secrets(Settings(secrets_dir=str(tmp_path / "nowhere")))


def test_no_database_at_all_is_a_configuration_error():
    with pytest.raises(ConfigurationError, match="GRIDOS_DATABASE_URL"):
        secretchoice.open_secrets(Settings())


def test_a_refused_login_reads_the_password_again_once(seeded):
    """As the server says it: 28P01 comes without its code, in the text of a failed connection."""
    good = psycopg.conninfo.make_conninfo(seeded)

    class Rotated:
        reads = 0

        def read(self):
            self.reads += 1
            return {"database-url": "postgresql://old" if self.reads == 1 else good}

    source = Rotated()
    secrets = Secrets(source, {}, refresh_s=60)
    assert renew(secrets)
    assert secrets.conninfo() == good
    assert not secrets.renew(), "a second refusal just after is no reason to read again"
    assert source.reads == 2


def test_a_token_is_the_password_of_each_new_connection():
    tokens = iter(["first", "second"])
    url = {"database-url": "postgresql://user@host/db"}
    secrets = Secrets(None, url, 60, lambda: next(tokens))
    given = [psycopg.conninfo.conninfo_to_dict(secrets.conninfo())["password"] for _ in range(2)]
    assert given == ["first", "second"]


class Credential:
    """Gives a token to whoever asks, as a workload identity would."""

    def get_token(self, *scopes, **_):
        from azure.core.credentials import AccessToken

        self.scopes = scopes
        return AccessToken("a-token", int(time.time()) + 3600)


class Vault(BaseHTTPRequestHandler):
    """Key Vault's published REST protocol: a challenge first, then the newest version of a secret."""

    secrets: ClassVar[dict[str, str]] = {}
    trouble: ClassVar[list[int]] = []
    asked: ClassVar[list[str]] = []
    # Cleared, it takes its time; a caller that waits for it is let go at the end of the test.
    prompt: ClassVar[threading.Event] = threading.Event()

    def do_GET(self):
        path = urlsplit(self.path).path
        type(self).asked.append(path)
        if not self.prompt.wait(60):
            return None
        if "Authorization" not in self.headers:
            return self._answer(401, {}, challenge=True)
        if self.trouble:
            return self._answer(self.trouble.pop(0), {"error": {"code": "Trouble", "message": "x"}})
        name = path.strip("/").split("/")[1]
        if name not in self.secrets:
            return self._answer(404, {"error": {"code": "SecretNotFound", "message": "none"}})
        url = f"https://{self.headers['Host']}/secrets/{name}/0123456789abcdef"
        attributes = {"enabled": True, "created": 1, "updated": 1, "recoveryLevel": "Recoverable"}
        return self._answer(200, {"value": self.secrets[name], "id": url, "attributes": attributes})

    def _answer(self, status, content, challenge=False):
        body = json.dumps(content).encode()
        self.send_response(status)
        if challenge:
            self.send_header(
                "WWW-Authenticate",
                'Bearer authorization="https://login.microsoftonline.com/tenant",'
                ' resource="https://vault.azure.net"',
            )
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        # Who gave up waiting has hung up.
        with contextlib.suppress(OSError):
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def vault(tmp_path):
    """(url, CA file) of a vault on loopback, over TLS with an authority of its own."""
    Vault.secrets = {"database-url": "postgresql://from-vault", "api-keys": "from-vault"}
    Vault.trouble, Vault.asked = [], []
    Vault.prompt.set()
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Vault)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"https://127.0.0.1:{server.server_port}", str(tmp_path / "ca.pem")
    Vault.prompt.set()
    server.shutdown()
    server.server_close()


def open_vault(vault, **options):
    url, authority = vault
    # A vault off vault.azure.net is refused by the SDK unless it is told not to look.
    options = {"retry_backoff_factor": 0.01, "verify_challenge_resource": False, **options}
    return azure.KeyVault(url, Credential(), connection_verify=authority, **options)


def test_the_real_sdk_reads_the_newest_versions_after_a_challenge(vault):
    found = open_vault(vault).read()
    assert found == {"database-url": "postgresql://from-vault", "api-keys": "from-vault"}
    assert Vault.asked[0] == Vault.asked[1]


def test_a_secret_that_the_vault_lacks_is_left_out(vault):
    del Vault.secrets["api-keys"]
    assert open_vault(vault).read() == {"database-url": "postgresql://from-vault"}


@pytest.mark.parametrize("status", [429, 500, 503])
def test_trouble_that_passes_is_tried_again(vault, status):
    Vault.trouble = [status]
    assert open_vault(vault).read()["api-keys"] == "from-vault"


@pytest.mark.parametrize("trouble", [[403], [500] * 9, [429] * 9])
def test_trouble_that_stays_names_vault_and_secret(vault, trouble):
    Vault.trouble = trouble
    with pytest.raises(SecretsUnavailable, match="does not give database-url"):
        open_vault(vault).read()


def test_a_rotated_secret_of_the_vault_takes_effect(vault):
    secrets = Secrets(open_vault(vault), {}, refresh_s=0.05)
    secrets.watch()
    Vault.secrets["api-keys"] = "rotated"
    assert wait_until(lambda: secrets.get("api-keys") == "rotated", timeout_s=60)
    secrets.close()


def test_a_slow_vault_is_given_up_and_what_was_read_last_goes_on_being_used(vault):
    secrets = Secrets(open_vault(vault, read_timeout=0.1), {}, refresh_s=60)
    secrets.refreshed_at = 1.0
    Vault.prompt.clear()
    asked = len(Vault.asked)
    renewing = threading.Thread(target=secrets.renew)
    renewing.start()
    assert wait_until(lambda: len(Vault.asked) > asked, timeout_s=60)
    assert secrets.get("api-keys") == "from-vault", "nobody waits for a vault that is being read"
    renewing.join(30)
    assert not renewing.is_alive()
    assert len(Vault.asked) - asked == 1 + azure.TIMEOUTS["retry_total"]
    assert (secrets.get("api-keys"), secrets.refreshed_at) == ("from-vault", 1.0)
    Vault.prompt.set()
    Vault.secrets["api-keys"] = "rotated"
    assert secrets.renew()
    assert secrets.get("api-keys") == "rotated"


def test_a_read_of_the_slowest_vault_ends_before_the_next_one_is_due():
    longest_s = len(secretsource.NAMES) * azure.TIMEOUTS["timeout"]
    assert longest_s < Settings().secrets_refresh_seconds


def test_workload_identity_that_is_not_set_up_is_said_so(monkeypatch):
    for variable in ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(ConfigurationError, match="workload identity"):
        azure.KeyVault("https://vault.example")


def test_a_database_token_is_asked_for_postgres_and_its_lack_is_a_database_out_of_reach():
    from azure.core.exceptions import ClientAuthenticationError

    credential = Credential()
    assert azure.DatabaseToken(credential)() == "a-token"
    assert credential.scopes == ("https://ossrdbms-aad.database.windows.net/.default",)

    def fail(*_):
        raise ClientAuthenticationError("no")

    credential.get_token = fail
    with pytest.raises(psycopg.OperationalError, match="no Entra token"):
        azure.DatabaseToken(credential)()


def test_keys_of_the_source_are_those_that_may_write(seeded, tmp_path):
    (tmp_path / "api-keys").write_text("file-key")
    app = create_app(Settings(seeded, secrets_dir=str(tmp_path), api_keys="env-key"))
    client = app.test_client()
    answers = {
        key: client.post("/v1/readings", headers={"X-API-Key": key}).status_code
        for key in ("file-key", "env-key")
    }
    assert answers == {"file-key": 415, "env-key": 401}
