"""Measures rollback paths 2 and 3 on a cluster that is up, with Argo CD."""

from __future__ import annotations

import base64
import sys
import tempfile
from pathlib import Path

from rehearsal.kubectl import connect

from conformance.rollbacks import NAMESPACE, Loop


def main() -> int:
    """Prints seconds; exit 0 if every path led back, 2 if one could not be measured."""
    kubectl = connect(None)
    secret = kubectl.one(NAMESPACE, "secret", "gridos")["data"]["api-keys"]
    address = kubectl.one(NAMESPACE, "service", "gateway")["spec"]["clusterIP"]
    with tempfile.TemporaryDirectory() as folder:
        key = base64.b64decode(secret).decode()
        loop = Loop(kubectl, Path(folder), f"http://{address}", key)
        loop.begin()
        try:
            loop.break_it("errors=30%")
            _say(f"an undo alone is taken back after {loop.undo_without_pausing()} s")
            _say(str(loop.revert()))
            loop.break_it("errors=31%")
            _say(str(loop.undo()))
        finally:
            loop.end()
    return 0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 — a program that prints


if __name__ == "__main__":
    sys.exit(main())
