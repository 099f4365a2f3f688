"""The renewal of the certificate, with a real ACME client against a real ACME server.

Pebble is Let's Encrypt's own server for tests, and it asks a DNS server of its own kind for the record;
certbot is what the runner image has. Azure's part, the login, the vault and the DNS zone, is a small
`az` that keeps what it is told, so what is not shown here is that Azure takes it.
"""

import json
import os
import shutil
import socket
import subprocess
import time
from functools import partial
from pathlib import Path

import arm
import pytest
import workspace
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12

from canary.runtime import processes
from canary.runtime.waiting import wait_until

pytestmark = pytest.mark.acceptance

SCRIPT = workspace.SOURCE / "certificate" / "renew"
DOMAIN = "gridos.example.com"
NEEDED = ("pebble", "pebble-challtestsrv", "certbot", "jq", "openssl")
HOW = {
    "pebble": "go install github.com/letsencrypt/pebble/v2/cmd/pebble@v2.10.3",
    "pebble-challtestsrv": "go install github.com/letsencrypt/pebble/v2/cmd/pebble-challtestsrv@v2.10.3",
    "certbot": "pip install -r requirements/runner.txt, in an environment of its own",
}

# Keeps the record in Pebble's DNS, and the certificate in a folder.
AZ = """#!/bin/sh
echo "$@" >> "$WORLD/calls"
case "$*" in
  "login "*) ;;
  "keyvault certificate show "*) cat "$WORLD/kept" ;;
  "network dns record-set txt add-record "*)
    curl --fail --silent -d "{\\"host\\": \\"$ZONE.\\", \\"value\\": \\"$CERTBOT_VALIDATION\\"}" "$DNS/set-txt" ;;
  "network dns record-set txt remove-record "*)
    curl --fail --silent -d "{\\"host\\": \\"$ZONE.\\"}" "$DNS/clear-txt" ;;
  "keyvault certificate import "*) cp "${9}" "$WORLD/gateway.pfx"; echo "${11}" > "$WORLD/password" ;;
  *) echo "az: $*?" >&2; exit 1 ;;
esac
"""


@pytest.fixture
def world(tmp_path):
    """An authority, a name server, and what Azure keeps."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        pytest.skip(
            "; ".join(f"{name} is not on PATH: {HOW.get(name, 'install it')}" for name in missing)
        )
    acme, management, dns, dns_management = (processes.free_port() for _ in range(4))
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "az").write_text(AZ)
    (bin_ / "az").chmod(0o755)
    authority, key = arm.certificate(tmp_path, "localhost", "DNS:localhost")
    settings = {
        "listenAddress": f"127.0.0.1:{acme}",
        "managementListenAddress": f"127.0.0.1:{management}",
        "certificate": str(authority),
        "privateKey": str(key),
        "httpPort": 80,
        "tlsPort": 443,
    }
    (tmp_path / "pebble.json").write_text(json.dumps({"pebble": settings}))
    programs = [
        subprocess.Popen(
            [
                "pebble-challtestsrv", "-dnsserver", f"127.0.0.1:{dns}",
                "-management", f"127.0.0.1:{dns_management}",
                "-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "",
            ],
        ),
        subprocess.Popen(
            ["pebble", "-config", tmp_path / "pebble.json", "-dnsserver", f"127.0.0.1:{dns}"],
            env={**os.environ, "PEBBLE_VA_NOSLEEP": "1"},
        ),
    ]  # fmt: skip
    try:
        for port in (acme, dns_management):
            assert wait_until(partial(listens, port), 30), f"nothing listens on {port}"
        yield {
            "ACME_DIRECTORY": f"https://localhost:{acme}/dir",
            "ACME_EMAIL": "grid@example.com",
            "CERTIFICATE": "gridos-tls",
            "CLIENT_ID": "00000000-0000-4000-8000-000000000001",
            "DNS": f"http://127.0.0.1:{dns_management}",
            "DOMAIN": DOMAIN,
            "PATH": f"{bin_}:{os.environ['PATH']}",
            "PROPAGATION_S": "0",
            "REQUESTS_CA_BUNDLE": str(authority),
            "RESOURCE_GROUP": "rg-gridos-prd-weu",
            "VAULT": "kv",
            "WORLD": str(tmp_path),
            "ZONE": f"_acme-challenge.{DOMAIN}",
        }
    finally:
        for program in programs:
            program.terminate()
            program.wait(10)


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def renew(world, issuer, expires):
    """Run it as the container does, with the vault's certificate of that issuer and age."""
    kept = {
        "issuer": issuer,
        "expires": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(expires)),
    }
    (Path(world["WORLD"]) / "kept").write_text(json.dumps(kept))
    command = ["bash", "-c", SCRIPT.read_text()]
    return processes.run(command, env=world, capture_output=True, text=True, timeout=120)


def days(count):
    return time.time() + count * 86400


@pytest.mark.parametrize(
    ("issuer", "left"), [("Self", 180), ("Unknown", 29)], ids=["self-signed", "nearly over"]
)
def test_a_certificate_that_must_be_renewed_is_one_of_the_authority_in_the_vault(
    world, issuer, left
):
    folder = Path(world["WORLD"])

    done = renew(world, issuer, days(left))

    assert done.returncode == 0, done.stderr
    key, certificate, chain = pkcs12.load_key_and_certificates(
        (folder / "gateway.pfx").read_bytes(), (folder / "password").read_text().strip().encode()
    )
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [DOMAIN]
    assert "Pebble" in certificate.issuer.rfc4514_string()
    assert key.key_size == 3072
    assert chain, "a gateway without the chain is trusted by nobody"
    calls = (folder / "calls").read_text()
    assert calls.count("txt add-record") == calls.count("txt remove-record") == 1


def test_a_certificate_that_holds_is_left_alone(world):
    done = renew(world, "Unknown", days(32))

    assert done.returncode == 0, done.stderr
    assert "holds for" in done.stdout
    assert "import" not in (Path(world["WORLD"]) / "calls").read_text()


def test_a_name_that_is_not_ours_gets_no_certificate(world):
    """The record is shown to another name server than the authority asks, as without a delegation."""
    elsewhere = world | {"ZONE": "_acme-challenge.elsewhere.example.com"}

    done = renew(elsewhere, "Self", days(180))

    assert done.returncode != 0
    assert "import" not in (Path(world["WORLD"]) / "calls").read_text()
