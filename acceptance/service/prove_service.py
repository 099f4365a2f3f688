"""The service's long proofs, as a table: `make prove-service` (about 20 minutes).

    python acceptance/service/prove_service.py [PROOF …] [--seed N]

Exit code 0: every bar is met; 1: one is not.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from acceptance.service import (
    crowd,
    fuzz,
    hostile,
    kills,
    outages,
    releases,
    restarts,
    restore,
    surroundings,
)
from acceptance.service.pods import Pod
from acceptance.service.releases import AFTER, BEFORE
from canary.runtime import database, program

KILLS, REQUESTS = 100, 20_000
RESTARTS, UNDER_RESTARTS = 20, 100_000
ATTACKS, EACH = 10_000, 2000
EXAMPLES = 1500
LEAST_GOOD = 0.99
HISTORY, BATCHES = 1_000_000, 200

Row = tuple[str, str, bool]


def prove_kills(folder: Path, seed: int) -> list[Row]:
    """Database, workers and servers are killed under ingest."""
    found = kills.prove(folder, KILLS, seed, _say)
    done = ", ".join(f"{kind} {count}" for kind, count in sorted(found.kills.items()))
    met = ", ".join(f"{status or 'none'}: {n}" for status, n in sorted(found.statuses.items()))
    return [
        (f"{KILLS} kills under ingest", done, sum(found.kills.values()) >= KILLS),
        ("batches acknowledged", f"{found.acknowledged} (answers {met})", found.acknowledged > 0),
        ("rows lost of them", str(found.lost_rows), not found.lost_rows),
        ("rows there twice", str(found.doubled_rows), not found.doubled_rows),
        ("batches there in part", str(found.torn_batches), not found.torn_batches),
    ]


def prove_restarts(folder: Path, _: int) -> list[Row]:
    """Pods are restarted in turn under load."""
    with _database(folder) as url:
        found = restarts.prove(folder, url, RESTARTS, UNDER_RESTARTS, _say)
    sent = found.statuses.total()
    return [
        (f"{RESTARTS} restarts under load", str(found.restarts), found.restarts >= RESTARTS),
        (
            f"of {UNDER_RESTARTS} requests failed",
            f"{found.failed} of {sent}",
            not found.failed and sent >= UNDER_RESTARTS,
        ),
    ]


def prove_fuzz(folder: Path, seed: int) -> list[Row]:
    """Requests are made from the OpenAPI document, and against it."""
    with _database(folder) as url:
        found = fuzz.prove(folder, url, EXAMPLES, seed)
    if not found.passed:
        print(found.report[-6000:])
    return [
        (f"{REQUESTS} generated requests", str(found.requests), found.requests >= REQUESTS),
        ("answers of 500 and above", str(found.server_errors), not found.server_errors),
        ("breaches of the document", "none" if found.passed else "see above", found.passed),
    ]


def prove_hostile(folder: Path, seed: int) -> list[Row]:
    """Requests in every framing, most of them wrong."""
    with _database(folder) as url:
        found = hostile.prove(folder, url, ATTACKS, seed, _say)
    met = ", ".join(f"{status}: {n}" for status, n in sorted(found.counted.items()))
    rows = f"{found.stored_rows} stored, {found.acknowledged_rows} acknowledged"
    return [
        (f"{ATTACKS} hostile requests", f"{found.sent} (answers {met})", found.sent >= ATTACKS),
        ("answers of 500 and above", str(found.failures), not found.failures),
        ("exceptions that nobody caught", str(found.unhandled), not found.unhandled),
        ("answers counted as callers saw them", *_compare(found.seen, found.counted)),
        ("rows", rows, found.stored_rows == found.acknowledged_rows > 0),
        ("batches stored in part", str(len(found.torn)), not found.torn),
    ]


def _compare(seen: Counter[str], counted: Counter[str]) -> tuple[str, bool]:
    if seen == counted:
        return f"all {sum(counted.values())}", True
    return f"seen {dict(seen - counted)} more, counted {dict(counted - seen)} more", False


def prove_releases(folder: Path, _: int) -> list[Row]:
    """The release before and this one on one database, before and after its migration."""
    with database.server() as postgres:
        found = releases.prove(folder, postgres.url, EACH)
    moments = [(r, m, found.of(r, m)) for r in ("old", "new") for m in (BEFORE, AFTER)]
    answers = ", ".join(f"{release} {moment}: {n}" for release, moment, n in moments)
    return [
        (f"{EACH} requests of each", answers, all(n >= EACH for *_, n in moments)),
        ("migrations applied under load", ", ".join(found.applied), bool(found.applied)),
        ("requests that failed", str(found.failed), not found.failed),
    ]


def prove_restore(folder: Path, _: int) -> list[Row]:
    """The database is brought back to the moment before a mistake: docs/day-2.md, Restore."""
    found = restore.prove(folder, HISTORY, BATCHES, _say)
    return [
        (
            "rows acknowledged before the mistake, that are back",
            f"{found.acknowledged - found.lost} of {found.acknowledged}",
            not found.lost and found.acknowledged > 0,
        ),
        (
            "rows of history that are back",
            f"{found.history_restored} of {found.history}",
            found.history_restored == found.history,
        ),
        ("rows acknowledged after it, to be sent again", str(found.since), found.since > 0),
        (
            "base backup; replay; until the service is ready",
            f"{found.backup_s:.1f} s; {found.replay_s:.1f} s of {found.replayed_mib:.0f} MiB;"
            f" {found.ready_s:.1f} s",
            found.ready_s < restore.LIMIT_S,
        ),
        ("ingest on the restored server", str(found.ingest_works), found.ingest_works),
    ]


def prove_crowd(folder: Path, _: int) -> list[Row]:
    """Slow clients by the hundred, and ordinary ones beside them."""
    with _database(folder) as url:
        found = crowd.prove(folder, url, each=160, unread=20, seconds=60)
    asked, alive = sum(found.requests.values()), sum(found.live.values())
    good = found.requests[200] / asked
    return [
        (
            f"requests answered beside {found.connections} slow connections",
            f"{found.requests[200]} of {asked}",
            good >= LEAST_GOOD,
        ),
        (
            "their `/livez` answered within 1 s",
            f"{found.live[200]} of {alive}",
            found.live[200] == alive,
        ),
    ]


def prove_outages(folder: Path, _: int) -> list[Row]:
    """The database fails in six ways, under reads and writes."""
    return _outages(outages.prove(folder, _say))


def prove_disc(folder: Path, _: int) -> list[Row]:
    """The database's disc is full."""
    return _outages([surroundings.fill_disc(folder, _say)])


def prove_network(folder: Path, _: int) -> list[Row]:
    """The network between pod and database is cut."""
    return _outages([surroundings.cut_network(folder, _say)])


def prove_rotation(folder: Path, _: int) -> list[Row]:
    """The database's password changes before the secret does."""
    return _outages([surroundings.rotate_password(folder, _say)])


def _outages(found: Sequence[outages.Outcome]) -> list[Row]:
    return [
        (
            f"the database {seen.fault}",
            f"reads {_counts(seen.reads)}; writes {_counts(seen.writes)}; longest"
            f" {seen.longest_s:.1f} s; `/livez` {_counts(seen.live)}; `/readyz`"
            f" {_counts(seen.ready)}; `gridos_db_up` {' '.join(sorted(seen.up))};"
            f" back after {seen.recovery_s:.1f} s"
            if seen.recovery_s is not None
            else "does not come back",
            seen.is_met,
        )
        for seen in found
    ]


def _counts(statuses: Counter[int]) -> str:
    return " ".join(f"{status or 'none'}×{n}" for status, n in sorted(statuses.items()))


PROOFS: dict[str, Callable[[Path, int], list[Row]]] = {
    "kills": prove_kills,
    "restarts": prove_restarts,
    "fuzz": prove_fuzz,
    "hostile": prove_hostile,
    "releases": prove_releases,
    "restore": prove_restore,
    "crowd": prove_crowd,
    "outages": prove_outages,
    "rotation": prove_rotation,
    "disc": prove_disc,
    "network": prove_network,
}
# They mount, and drop packets.
AS_ROOT = ("disc", "network")


@contextmanager
def _database(folder: Path) -> Iterator[str]:
    """The URL of a PostgreSQL that is migrated and seeded."""
    with database.server() as postgres:
        pod = Pod(folder, "prepare", {"GRIDOS_DATABASE_URL": postgres.url})
        pod.run("migrate")
        pod.run("seed")
        yield postgres.url


def main(arguments: Sequence[str]) -> int:
    """Runs the proofs that are named, or all."""
    text = __doc__.splitlines()[0] if __doc__ else ""
    parser = program.parser("prove-service", description=text)
    parser.add_argument("proofs", nargs="*", help=f"of {', '.join(PROOFS)}; all if none is named")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of every random choice")
    chosen = parser.parse_args(arguments)
    unknown = set(chosen.proofs) - PROOFS.keys()
    if unknown:
        parser.error(f"{', '.join(unknown)} is no proof: there are {', '.join(PROOFS)}")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="gridos-proof-") as folder:
        for name in chosen.proofs or PROOFS:
            if name in AS_ROOT and os.geteuid():
                _say(f"{name}: not measured, for it needs root")
                continue
            began = time.monotonic()
            rows += PROOFS[name](Path(folder), chosen.seed)
            _say(f"{name}: {time.monotonic() - began:.0f} s")
    print(f"\nseed {chosen.seed}\n\n| bar | measured | met |\n|---|---|---|")
    for bar, measured, met in rows:
        print(f"| {bar} | {measured} | {'yes' if met else 'NO'} |")
    return 0 if all(met for *_, met in rows) else 1


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(program.run("prove-service", main))
