"""A restore drill on a real PostgreSQL: back to just before a mistake, with the service on it.

What Azure does for a flexible server is done here by PostgreSQL's own means: a base backup, an
archive of what was written since, a second server that replays it up to a moment, and the service
pointed at that. The service ingests all the while. What Azure adds, its snapshots, its network and
its names, is not here, so the times are those of the replay and of the service, and not Azure's.
"""

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import conninfo

from acceptance.service.kills import FIRST, ROWS, SENDERS, Sender, sending
from acceptance.services import WRITABLE, Service
from canary.runtime import database, processes, scratch
from canary.runtime.waiting import wait_until

LIMIT_S = 120
# A row a second, of a bus that no sender reports of.
_HISTORY = """
INSERT INTO reading SELECT 'ieee33-20', %(first)s::timestamptz - n * interval '1 second', 1, 0
FROM generate_series(1, %(rows)s) AS n
"""


@dataclass(frozen=True)
class Outcome:
    """What was there before the mistake, what came back, and how long it took."""

    history: int
    history_restored: int
    acknowledged: int
    lost: int
    since: int
    backup_s: float
    replay_s: float
    ready_s: float
    replayed_mib: float
    ingest_works: bool


def run(folder: Path, history: int, batches: int, *, too_late: bool = False) -> Outcome:
    """Ingest, a backup, more ingest, a mistake, and the way back to the moment before it.

    Args:
        folder: Where the backup is kept.
        history: Rows that are there before anything is sent.
        batches: How many each sender has acknowledged before the backup, and again before the
            mistake and after it.
        too_late: Whether to go back to the moment after the mistake instead, which must show.
    """
    # PostgreSQL does not run as root, so its archive is not below a folder that is root's alone.
    with scratch.folder("archive", open_to_all=True) as archive:
        archive.chmod(0o777)
        return _drill(folder, archive, history, batches, too_late=too_late)


def _drill(folder: Path, archive: Path, history: int, batches: int, *, too_late: bool) -> Outcome:
    archiving = {
        "wal_level": "replica",
        "max_wal_senders": "2",
        "archive_mode": "on",
        "archive_command": f"cp %p {archive}/%f",
    }
    folder.chmod(0o755)
    with database.server(archiving) as live:
        pod = Service(folder, {**WRITABLE, "GRIDOS_DATABASE_URL": live.url}, "live")
        pod.run("migrate", "seed")
        with psycopg.connect(live.url) as connection:
            connection.execute(_HISTORY, {"first": FIRST, "rows": history})
        # As in docs/day-2.md: nothing is written to what is given up.
        with pod.start().await_ready(), sending(pod.url, *range(SENDERS)) as senders:
            _await(senders, batches)
            backup_s = _back_up(live.url, folder / "base")
            _await(senders, 2 * batches)
            acknowledged = [sender.acknowledged for sender in senders]
            before, after = _mistake(live.url)
            _await(senders, 3 * batches)
        _archive_everything(live.url, archive)
        written = sum(file.stat().st_size for file in archive.iterdir()) / 2**20
        since = [sender.acknowledged for sender in senders]
        moment = after if too_late else before

        decided = time.monotonic()
        with database.server() as restored:
            restored.stop()
            _put_back(folder / "base", archive, restored, moment)
            restored.start()
            assert wait_until(lambda: _writable(restored.url), LIMIT_S), "the replay does not end"
            replay_s = time.monotonic() - decided
            again = Service(folder, {**WRITABLE, "GRIDOS_DATABASE_URL": restored.url}, "restored")
            again.run("migrate")
            with again.start().await_ready():
                ready_s = time.monotonic() - decided
                with sending(again.url, SENDERS) as (sender,):
                    works = wait_until(lambda: sender.acknowledged > 0, LIMIT_S)
            return Outcome(
                history=history,
                history_restored=_count(restored.url, "ieee33-20"),
                acknowledged=sum(acknowledged) * ROWS,
                lost=sum(
                    max(0, before * ROWS - _count(restored.url, sender.bus_id))
                    for sender, before in zip(senders, acknowledged, strict=True)
                ),
                since=(sum(since) - sum(acknowledged)) * ROWS,
                backup_s=backup_s,
                replay_s=replay_s,
                ready_s=ready_s,
                replayed_mib=written,
                ingest_works=works,
            )


def _await(senders: list[Sender], batches: int) -> None:
    reached = wait_until(lambda: all(sender.acknowledged >= batches for sender in senders), LIMIT_S)
    assert reached, "ingest does not go on"


def _back_up(url: str, target: Path) -> float:
    began = time.monotonic()
    processes.run(
        [
            str(database.binary("pg_basebackup")), "--host", _host(url), "--username", "postgres",
            "--pgdata", str(target), "--checkpoint", "fast", "--wal-method", "none",
        ],
        check=True,
        capture_output=True,
        text=True,
        # It waits for the archive, for ever if nothing can be written there.
        timeout=LIMIT_S,
    )  # fmt: skip
    return time.monotonic() - began


def _mistake(url: str) -> tuple[str, str]:
    """Every reading is gone; the moments before and after."""
    with psycopg.connect(url, autocommit=True) as connection:
        ((before,),) = connection.execute("SELECT clock_timestamp()::text").fetchall()
        connection.execute("SELECT pg_sleep(0.2)")
        connection.execute("TRUNCATE reading")
        ((after,),) = connection.execute("SELECT clock_timestamp()::text").fetchall()
    return before, after


def _archive_everything(url: str, archive: Path) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        ((last,),) = connection.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchall()
    assert wait_until((archive / last).is_file, LIMIT_S), f"{last} is not archived"


def _put_back(base: Path, archive: Path, server: database.Server, moment: str) -> None:
    """A server's data becomes the backup, to be replayed up to the moment."""
    data = Path(_host(server.url))
    settings, owner = (data / "postgresql.conf").read_text(), data.stat()
    for kept in data.iterdir():
        if kept.is_dir():
            shutil.rmtree(kept)
        else:
            kept.unlink()
    # Ours keeps its socket beside its data, so the backup has the lock of the other's.
    shutil.copytree(base, data, ignore=shutil.ignore_patterns(".s.PGSQL*"), dirs_exist_ok=True)
    replay = {
        "restore_command": f"cp {archive}/%f %p",
        "recovery_target_time": moment,
        "recovery_target_action": "promote",
        "max_wal_senders": "2",
        "wal_level": "replica",
    }
    lines = "".join(f"{name} = '{value}'\n" for name, value in replay.items())
    (data / "postgresql.conf").write_text(settings + lines)
    (data / "recovery.signal").touch()
    for path in (data, *data.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid)


def _host(url: str) -> str:
    return str(conninfo.conninfo_to_dict(url)["host"])


def _writable(url: str) -> bool:
    try:
        with psycopg.connect(url) as connection:
            ((recovering,),) = connection.execute("SELECT pg_is_in_recovery()").fetchall()
    except psycopg.OperationalError:
        return False
    return not recovering


def _count(url: str, bus_id: str) -> int:
    with psycopg.connect(url) as connection:
        ((found,),) = connection.execute(
            "SELECT count(*) FROM reading WHERE bus_id = %s AND measured_at < '2023-01-01'",
            [bus_id],
        ).fetchall()
    return int(found)
