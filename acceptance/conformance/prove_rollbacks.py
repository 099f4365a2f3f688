"""Measures rollback paths on a cluster that is up: path 3 alone, or 2 and 3 beneath an Argo CD."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from acceptance.conformance.rollbacks import Loop, Measured, Service
from canary.runtime import program
from canary.runtime.kubectl import connect


def main(which: str) -> int:
    """Prints each way back; exit 0 if users met nothing else than the bad release, 1 if they did.

    `undo` takes back what was released last; `argo-cd` ships two bad releases and takes them back.
    """
    with tempfile.TemporaryDirectory() as folder:
        kind = Service if which == "undo" else Loop
        service = kind(connect(None), Path(folder))
        try:
            service.begin()
            measured = [_told(way) for way in _ways(service)]
        finally:
            service.end()
    return 0 if all(way.well for way in measured) else 1


def _ways(service: Service) -> Iterator[Measured]:
    if isinstance(service, Loop):
        service.break_it("errors=30%")
    yield service.undo()
    if isinstance(service, Loop):
        service.renew()
        service.break_it("errors=31%")
        _say(f"an undo alone is taken back after {service.undo_without_pausing()} s")
        yield service.revert()


def _told(way: Measured) -> Measured:
    _say(str(way))
    return way


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(program.run("prove-rollbacks", lambda given: main(given[0])))
