"""Locust users that send the requests of `rehearsal.yaml`.

    locust -f canary/rehearse/locustfile.py --host http://127.0.0.1:8000 --headless -u 20 -t 30s

Settings come from the environment, so that the rehearsal and a person start the same file:

    LOADTEST_CONFIG   the rehearsal.yaml to read              (loadtest/rehearsal.yaml)
    LOADTEST_RATE     requests a second over all users        (its requests_per_second)
    LOADTEST_USERS    how many users share that rate          (its users)
    LOADTEST_VALUES   JSON of the values for placeholders     ({}; as named in `requests`)
    LOADTEST_LOG      file for one JSON line a second         (none; see users_log.py)
    LOADTEST_PACE     file that holds a factor of the rate, and may change   (none: 1)

This is the closed model: a user waits for its answer before it sends again, so a stalled server
is asked less than a real crowd would ask it.
"""

import json
import os
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from locust import FastHttpUser, task

from canary.rehearse import config, users_log
from canary.rehearse.traffic import Mix

TRAFFIC = config.read(Path(os.environ.get("LOADTEST_CONFIG", "loadtest/rehearsal.yaml"))).traffic
RATE = float(os.environ.get("LOADTEST_RATE", TRAFFIC.requests_per_second))
USERS = int(os.environ.get("LOADTEST_USERS", TRAFFIC.users))
VALUES = json.loads(os.environ.get("LOADTEST_VALUES", "{}"))
_user_numbers = count()


class User(FastHttpUser):
    """One user of the mix, at its even share of the rate."""

    connection_timeout = 10.0
    network_timeout = 35.0  # above the gateway's 30 s, so that its answer is seen
    wait_time = users_log.wait_time(RATE, USERS)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        seeded = Random(f"{TRAFFIC.seed}-{next(_user_numbers)}")  # noqa: S311 — load, not secrets
        self._mix = Mix(TRAFFIC.requests, VALUES, seeded)

    @task
    def send(self) -> None:
        """Sends one request of the mix."""
        request = self._mix.draw()
        with self.client.request(
            request.method,
            request.path,
            name=request.name,
            headers=dict(request.headers),
            json=request.json,
            allow_redirects=False,  # each route is sent for itself, and counted once
            catch_response=True,
        ) as response:
            # Every answer is counted by its status in the log; none is Locust's own failure.
            if response.status_code:
                response.success()
