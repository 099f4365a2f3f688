"""Measures rollback paths on a cluster that is up: path 3 alone, or 2 and 3 beneath an Argo CD."""

from __future__ import annotations

import base64
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from rehearsal.kubectl import Watch, connect

from conformance.rollbacks import NAMESPACE, Loop, Measured, Service


def main(which: str) -> int:
    """Prints each way back; exit 0 if users met nothing else than the bad release, 1 if they did.

    `undo` takes back what was released last; `argo-cd` ships two bad releases and takes them back.
    """
    kubectl = connect(None)
    secret = kubectl.one(NAMESPACE, "secret", "gridos")["data"]["api-keys"]
    address = kubectl.one(NAMESPACE, "service", "gateway")["spec"]["clusterIP"]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        watch = Watch(kubectl, folder / "kubectl-proxy.log")
        stack.callback(watch.close)
        key = base64.b64decode(secret).decode()
        service = Service(kubectl, watch, folder, f"http://{address}", key)
        stack.callback(service.end)
        service.begin()
        ways = iter([service.undo()]) if which == "undo" else _through_argo_cd(service, folder)
        measured = [_told(way) for way in ways]
        return 0 if all(way.well for way in measured) else 1


def _through_argo_cd(service: Service, folder: Path) -> Iterator[Measured]:
    loop = Loop(service, folder)
    loop.begin()
    try:
        loop.break_it("errors=30%")
        _say(f"an undo alone is taken back after {loop.undo_without_pausing()} s")
        yield loop.revert()
        loop.break_it("errors=31%")
        yield loop.undo()
    finally:
        loop.end()


def _told(way: Measured) -> Measured:
    _say(str(way))
    return way


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 — a program that prints


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
