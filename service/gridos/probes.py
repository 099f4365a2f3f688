"""What a process says of itself to a kubelet, a gateway and a person: alive, ready.

Neither asks anybody: both say what is known, so they answer in no time whatever is the matter.

Alive is a process that gets on with its work; the database, whose loss a restart cannot cure, has
no part in it. Ready is one that should be sent traffic. A database that is away is away for all:
a pod that has had it stays, and tells callers to come back (docs/adr/0007).
"""

from __future__ import annotations

from collections.abc import Mapping

from flask import Flask

Answer = tuple[Mapping[str, str], int]


def check_life(app: Flask) -> Answer:
    """(answer, status) to whether the process is alive."""
    failure = app.extensions["lifecycle"].failure(app.extensions["tally"])
    if failure:
        return {"status": "stuck", "reason": failure}, 503
    return {"status": "alive"}, 200


def check_readiness(app: Flask) -> Answer:
    """(answer, status) to whether the process wants traffic."""
    availability = app.extensions["availability"]
    refusal = app.extensions["lifecycle"].refusal or availability.refusal
    if refusal:
        return {"status": "not ready", "reason": refusal}, 503
    fault = availability.fault
    return {"status": "ready", "database": fault.text if fault else "available"}, 200
