"""Azure Resource Manager on loopback, for the real azurerm: it returns what it was sent.

It knows no resource and refuses nothing. So it shows what azurerm makes of a configuration, and of
what it finds in Azure, but not what Azure would say. azurerm comes here by its own settings
(`environment`): the metadata host, and a secret that is not checked.
"""

from __future__ import annotations

import base64
import json
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

UUID = "00000000-0000-4000-8000-0000000000f0"
Body = dict[str, Any]
# Of these azurerm waits for an operation that goes on after the answer; here it is over at once.
LATER = {"flexibleservers"}
DONE = "/done"


class Arm:
    """What was sent, by the resource's id in small letters; and what azurerm comes here by."""

    def __init__(self) -> None:
        self.kept: dict[str, Body] = {}
        self.asked: list[str] = []
        self.url = ""
        self.environment: Mapping[str, str] = {}

    def find(self, kind: str) -> Body:
        """The one resource of a kind, such as `flexibleServers`; to be changed in place."""
        (found,) = (body for key, body in self.kept.items() if key.split("/")[-2] == kind.lower())
        return found

    def answer(self, method: str, path: str, sent: Body) -> tuple[int, Body]:
        """The status and the body of an answer."""
        self.asked.append(f"{method} {path}")
        if path == "/metadata/endpoints":
            return 200, self._metadata()
        if path == DONE:
            return 200, {"status": "Succeeded"}
        if path.endswith("/token"):
            return 200, {"token_type": "Bearer", "expires_in": 3600, "access_token": _token()}
        return self._resource(method, path, sent)

    def _resource(self, method: str, path: str, sent: Body) -> tuple[int, Body]:
        key = path.lower()
        status = HTTPStatus.ACCEPTED if key.split("/")[-2] in LATER else HTTPStatus.OK
        if method == "PUT":
            self.kept[key] = made = self._made(path, sent)
            return status, made
        if method == "PATCH":
            _merge(self.kept.setdefault(key, {}), sent)
            return status, self.kept[key]
        if method == "DELETE":
            self.kept.pop(key, None)
            return 200, {}
        if method == "POST":
            return 200, {}
        if found := self.kept.get(key):
            return 200, found
        if key == f"/subscriptions/{UUID}":
            return 200, {"id": path, "subscriptionId": UUID, "tenantId": UUID, "state": "Enabled"}
        # What a storage account has of itself.
        if key.endswith("services/default"):
            return 200, {"id": path, "name": "default", "properties": {}}
        # A collection: what follows its service's name is kinds and names in turn.
        if key.rpartition("/providers/")[2].count("/") % 2:
            return 200, {"value": [v for k, v in self.kept.items() if k.startswith(key + "/")]}
        return 404, {"error": {"code": "ResourceNotFound", "message": path}}

    def _made(self, path: str, sent: Body) -> Body:
        """As a resource is once it is made, with what only Azure knows of it."""
        kind, name = path.split("/")[-2:]
        known: Body = {"provisioningState": "Succeeded"}
        if kind == "storageAccounts":
            known["primaryEndpoints"] = {"blob": f"https://{name}.blob.core.windows.net/"}
        return sent | {"id": path, "name": name, "properties": known | sent.get("properties", {})}

    def _metadata(self) -> Body:
        return {
            "name": "loopback",
            "resourceManager": self.url,
            "microsoftGraphResourceId": self.url,
            "authentication": {
                "loginEndpoint": self.url,
                "audiences": [self.url],
                "tenant": "common",
                "identityProvider": "AAD",
            },
            "suffixes": {"keyVaultDns": "vault.azure.net", "storage": "core.windows.net"},
        }


@contextmanager
def serve(folder: Path) -> Iterator[Arm]:
    """Serve one until the block is left.

    Args:
        folder: For the certificate's files.
    """
    arm = Arm()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own, key = certificate(folder, "127.0.0.1", "IP:127.0.0.1")
    context.load_cert_chain(own, key)
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(arm)) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        arm.url = f"https://127.0.0.1:{server.server_address[1]}"
        arm.environment = _environment(arm.url, own)
        running = threading.Thread(target=server.serve_forever, daemon=True)
        running.start()
        try:
            yield arm
        finally:
            server.shutdown()
            running.join()


def _environment(url: str, own: Path) -> Mapping[str, str]:
    """The variables that lead azurerm to it, and let it trust it beside all others."""
    system = ssl.get_default_verify_paths().cafile
    trusted = own.with_name("trusted.pem")
    trusted.write_text(own.read_text() + (Path(system).read_text() if system else ""))
    return {
        "ARM_CLIENT_ID": UUID,
        "ARM_CLIENT_SECRET": "anything",
        "ARM_METADATA_HOSTNAME": url.removeprefix("https://"),
        "ARM_SUBSCRIPTION_ID": UUID,
        "ARM_TENANT_ID": UUID,
        "ARM_USE_CLI": "false",
        # Of Go on Linux; elsewhere azurerm does not trust it, and plans are left out.
        "SSL_CERT_FILE": os.fspath(trusted),
    }


def certificate(folder: Path, subject: str, alternative: str) -> tuple[Path, Path]:
    """A certificate that nobody signed, and its key, as files of a folder."""
    made, key = folder / "certificate.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    command += ["-subj", f"/CN={subject}", "-addext", f"subjectAltName={alternative}"]
    command += ["-keyout", os.fspath(key), "-out", os.fspath(made)]
    subprocess.run(command, check=True, capture_output=True)
    return made, key


def _token() -> str:
    """A token that says who it is for and is signed by nobody."""
    claims = {"oid": UUID, "tid": UUID, "appid": UUID, "exp": 4102444800}
    parts = ({"alg": "none", "typ": "JWT"}, claims)
    packed = (base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts)
    return ".".join([*packed, "none"])


def _merge(into: Body, more: Body) -> None:
    for name, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(name), dict):
            _merge(into[name], value)
        else:
            into[name] = value


def _handler(arm: Arm) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            text = self.rfile.read(length)
            sent = json.loads(text) if text.startswith(b"{") else {}
            status, body = arm.answer(self.command, urlsplit(self.path).path, sent)
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            if status == HTTPStatus.ACCEPTED:
                self.send_header("Azure-AsyncOperation", arm.url + DONE)
                self.send_header("Retry-After", "1")
            self.end_headers()
            self.wfile.write(data)

        do_PUT = do_PATCH = do_POST = do_DELETE = do_HEAD = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    return Handler
