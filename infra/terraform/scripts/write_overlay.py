#!/usr/bin/env python3
"""Write what the platform is called into an overlay of deploy/.

`terraform output -json overlay | scripts/write_overlay.py ../../deploy/overlays/staging` writes
`platform.env` there. The names are not secret: Git has them, and Argo CD needs nobody to tell it.
"""

import argparse
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path

EXIT_GOOD = 0
EXIT_REFUSED = 2

# The keys of the platform's output `overlay`, and what each fills in.
SETTINGS = {
    "AZURE_CLIENT_ID": "the ServiceAccount's workload identity",
    "AZURE_TENANT_ID": "the tenant of the identity and the vault",
    "KEY_VAULT_NAME": "the SecretProviderClass",
    "REGISTRY": "the image's registry",
    "INGRESS_HOST": "the Ingress's host",
    "CERTIFICATE": "the Ingress's appgw-ssl-certificate",
    "DATABASE_HOST": "the server the service connects to",
    "DATABASE_NAME": "its database",
    "DATABASE_ROLE": "the role it connects as",
}

# A line of an .env file is not quoted: nothing here may end it or start a comment.
PLAIN = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*$")

# What Git has of them, in each overlay.
FILE = "platform.env"

HEADER = "# Written by infra/terraform/scripts/write_overlay.py; not by hand.\n"


def render(settings: Mapping[str, str]) -> str:
    """Make the text of `platform.env`.

    Args:
        settings: The platform's output `overlay`.

    Raises:
        ValueError: A setting is missing, unknown or not plain text; the message names it.
    """
    missing = sorted(SETTINGS.keys() - settings.keys())
    unknown = sorted(settings.keys() - SETTINGS.keys())
    if missing or unknown:
        raise ValueError(f"not the platform's output: missing {missing}, unknown {unknown}")
    odd = sorted(key for key, value in settings.items() if not PLAIN.match(value or ""))
    if odd:
        raise ValueError(f"no plain text in {odd}; was the platform applied?")
    return HEADER + "".join(f"{key}={settings[key]}\n" for key in SETTINGS)


def main(arguments: list[str], source: str) -> int:
    """Write the overlay's file; exit 0 when it is written, 2 when the input was refused."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("overlay", type=Path, help="the overlay's folder")
    overlay = parser.parse_args(arguments).overlay
    if not overlay.is_dir():
        sys.stderr.write(f"{overlay}: no such folder; name an overlay of deploy/overlays\n")
        return EXIT_REFUSED
    try:
        text = render(json.loads(source))
    except (ValueError, AttributeError) as cause:
        sys.stderr.write(f"refused: {cause}; pipe `terraform output -json overlay` in\n")
        return EXIT_REFUSED
    (overlay / FILE).write_text(text)
    return EXIT_GOOD


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], sys.stdin.read()))
