"""Users of the comparisons with other generators: one route and nothing else.

USERS_KIND says which: `open`, `closed` (as fast as answers come) or `paced`. At the end the run
prints its requests and the CPU seconds that they took, start-up left out, and writes the latencies
of open users, each with the generator's own lateness in it, to the file USERS_OUT.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from locust import FastHttpUser, constant_throughput, events
from openarrivals import Batch, OpenArrivals, of

KIND = os.environ.get("USERS_KIND", "open")
RATE = float(os.environ.get("USERS_RATE", "1000"))
USERS = int(os.environ.get("USERS_COUNT", "100"))
PATH = "/v1/feeders"
_cpu: dict[str, float] = {}


def _ask(user: FastHttpUser) -> None:
    user.client.get(PATH)


if KIND == "open":

    class Visitor(OpenArrivals, FastHttpUser):
        """Fed by the schedule."""

        tasks = (_ask,)
        network_timeout = 30.0

else:

    class Visitor(FastHttpUser):
        """Asks again as soon as it is answered, or at its share of the rate."""

        tasks = (_ask,)
        if KIND == "paced":
            wait_time = constant_throughput(RATE / USERS)


@events.init.add_listener
def _listen(environment: Any, **_: Any) -> None:
    latencies: list[tuple[float, float]] = []

    def take(batch: Batch) -> None:
        latencies.extend((sample.latency_s, sample.lag_s) for sample in batch.samples)
        told = {"latencies": latencies, "dropped": batch.counts.dropped}
        Path(os.environ["USERS_OUT"]).write_text(json.dumps(told), encoding="utf-8")

    if "USERS_OUT" in os.environ:
        of(environment).listeners.append(take)


@events.spawning_complete.add_listener
def _begin(**_: Any) -> None:
    _cpu["at"] = time.process_time()


@events.quitting.add_listener
def _end(environment: Any, **_: Any) -> None:
    used_s = time.process_time() - _cpu.get("at", 0.0)
    print(f"SENT {environment.stats.total.num_requests} {used_s:.3f}", flush=True)
