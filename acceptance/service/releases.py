"""Two releases share one database through a migration: the one before it, and this one.

The release before is the commit before the newest migration. Both serve under load on the schema
as it was, then it is migrated beneath them, then both serve on: what a canary's start, its run and
a way back mean for the database. Nothing may fail.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path

from acceptance.client import ask
from acceptance.git import GitError, git
from acceptance.service.threads import Beside
from acceptance.services import KEY, WRITABLE, Service
from canary.runtime.waiting import wait_until

ROOT = Path(__file__).parents[2]
MIGRATIONS = "service/gridos/migrations"
FIRST = datetime(2021, 1, 1, tzinfo=UTC)
CALLERS = 2
BEFORE, AFTER = "before the migration", "after it"


@dataclass
class Outcome:
    """The migrations that were applied under load, and answers by release, time and status."""

    revision: str = ""
    applied: list[str] = field(default_factory=list)
    statuses: Counter[tuple[str, str, int]] = field(default_factory=Counter)

    @property
    def failed(self) -> int:
        """Answers that are no good ones, and requests without an answer."""
        return sum(n for (*_, status), n in self.statuses.items() if status not in (200, 201))

    def of(self, release: str, moment: str) -> int:
        """How much a release answered before the migration, or after it."""
        return sum(n for (r, m, _), n in self.statuses.items() if (r, m) == (release, moment))


class _Load(Beside):
    """Callers of both releases, each with reads and writes."""

    def __init__(self, pods: Mapping[str, Service]) -> None:
        self.moment = BEFORE
        self._pods, self._number = pods, count()
        self._counters = [Counter[tuple[str, str, int]]() for _ in range(CALLERS * len(pods))]
        callers = zip([*pods] * CALLERS, self._counters, strict=True)
        super().__init__(*(partial(self._call, *caller) for caller in callers))

    def statuses(self) -> Counter[tuple[str, str, int]]:
        """So far."""
        return sum((counter.copy() for counter in self._counters), Counter())

    def _call(self, release: str, counter: Counter[tuple[str, str, int]]) -> None:
        url = self._pods[release].url
        reads = ("feeders", "feeders/ieee33/load", "feeders/ieee33/readings", "overloads")
        while not self._over.is_set():
            number, moment = next(self._number), self.moment
            if number % 2:
                status = ask(f"{url}/v1/{reads[number // 2 % len(reads)]}").status
            else:
                # Every fourth batch was sent before.
                status = ask(f"{url}/v1/readings", _batch(number // 8 * 8), HEADERS).status
            counter[release, moment, status] += 1
            time.sleep(0.005)


HEADERS = {"X-API-Key": KEY, "Content-Type": "application/json"}


def run(folder: Path, database_url: str, requests: int) -> Outcome:
    """Serves so many requests of each release before the migration and after it.

    Args:
        folder: For the release before, and for logs.
        database_url: An empty database.
        requests: Of each release, at least.
    """
    outcome = Outcome(find_revision())
    assert outcome.revision, "the checkout does not reach to the commit before the newest migration"
    _export(outcome.revision, folder)
    variables = {**WRITABLE, "GRIDOS_DATABASE_URL": database_url}
    old = Service(folder, {**variables, "PYTHONPATH": str(folder / "service")}, "old")
    new = Service(folder, variables, "new")
    pods = {"old": old, "new": new}
    old.run("migrate", "seed")
    try:
        for pod in pods.values():
            pod.start()
        for pod in pods.values():
            pod.await_ready()
        with _Load(pods) as load:
            _await_answers(outcome, load, requests)
            outcome.applied = new.run("migrate").split()[1::2]
            load.moment = AFTER
            _await_answers(outcome, load, requests)
        outcome.statuses = load.statuses()
    finally:
        for pod in pods.values():
            pod.stop()
    return outcome


def _await_answers(outcome: Outcome, load: _Load, requests: int) -> None:
    def enough() -> bool:
        outcome.statuses = load.statuses()
        return all(outcome.of(release, load.moment) >= requests for release in ("old", "new"))

    assert wait_until(enough, timeout_s=300), outcome.statuses


def find_revision() -> str:
    """The commit before the newest migration; nothing where the checkout does not reach so far."""
    command = ["log", "--diff-filter=A", "--format=%P", "-1", "--", MIGRATIONS]
    try:
        parents = git(ROOT, *command).split()
    except GitError:
        return ""
    return parents[0] if parents else ""


def _export(revision: str, folder: Path) -> None:
    archive = folder / "old.tar"
    git(ROOT, "archive", "--output", str(archive), revision, "service/gridos")
    subprocess.run(["tar", "-xf", archive, "-C", folder], check=True)


def _batch(number: int) -> bytes:
    rows = [
        {
            "bus_id": f"ieee33-{row + 2}",
            "measured_at": (FIRST + timedelta(seconds=number)).isoformat(),
            "kw": 1.0,
            "kvar": 0.5,
        }
        for row in range(10)
    ]
    return json.dumps({"readings": rows}).encode()
