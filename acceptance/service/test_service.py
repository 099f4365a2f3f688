"""What the service promises while things fail: in short for `make test`, at length by itself."""

import os

import pytest
from gridos import schema, seed

from acceptance.service import (
    crowd,
    fuzz,
    hostile,
    kills,
    memory,
    oddities,
    outages,
    releases,
    restarts,
    restore,
    surroundings,
)
from acceptance.service.releases import AFTER, BEFORE

MIN_GOOD = 0.99
# What a pod may still grow by after three tenths of its requests.
MAX_GROWTH_MB = 3.0


def sizes(quick, long):
    """A short form of a test, and the one that its claim rests on."""
    return [
        pytest.param(*quick, marks=pytest.mark.quick, id="quick"),
        pytest.param(*long, id="long"),
    ]


@pytest.fixture
def prepared(fresh):
    """A database of its own with the service's data: what is made up here, no other test meets."""
    with fresh() as url:
        schema.migrate(url)
        seed.seed(url)
        yield url


@pytest.mark.parametrize(("count", "fixed"), sizes((4, 2), (100, None)))
def test_what_was_acknowledged_survives_the_killing_of_database_worker_and_server(
    tmp_path, measured, seed, count, fixed
):
    found = kills.run(tmp_path, count, fixed or seed)
    measured("kills under ingest", dict(found.kills))
    measured("acknowledged", f"{found.acknowledged} batches (answers {counts(found.statuses)})")
    assert set(found.kills) == {"database", "worker", "server"}
    assert found.kills.total() == count
    assert found.acknowledged > 5 * count
    assert (found.lost_rows, found.doubled_rows, found.torn_batches) == (0, 0, 0)


def test_restarts_under_load_drop_no_request(tmp_path, seeded, measured, times):
    """`--times N` does N of the twenty: each takes 25 s."""
    count = times(20)
    requests = count * 5000
    found = restarts.run(tmp_path, seeded, count, requests)
    measured("restarts under load", f"{found.restarts}, {found.statuses.total()} requests")
    assert found.restarts == count
    assert found.statuses[200] >= requests
    assert found.failed == 0, found.statuses


@pytest.mark.parametrize(
    ("examples", "requests", "phases", "fixed"),
    [
        *sizes((2, 200, fuzz.STATELESS, 33), (2000, 20_000, f"{fuzz.STATELESS},stateful", None)),
        pytest.param(200, 2000, fuzz.STATELESS, 33, id="medium"),
    ],
)
def test_generated_requests_meet_no_failure_and_no_breach_of_the_document(
    tmp_path, prepared, measured, seed, examples, requests, phases, fixed
):
    found = fuzz.run(tmp_path, prepared, examples, fixed or seed, phases)
    measured("generated requests", found.requests)
    assert found.requests > requests
    assert found.server_errors == 0
    assert found.passed, found.report[-6000:]


@pytest.mark.parametrize(("count", "fixed"), sizes((400, 22), (10_000, None)))
def test_hostile_requests_meet_no_failure_and_each_answer_is_counted_once(
    tmp_path, prepared, measured, seed, count, fixed
):
    found = hostile.run(tmp_path, prepared, count, fixed or seed)
    measured("hostile requests", f"{found.sent} (answers {counts(found.counted)})")
    measured("rows", f"{found.stored_rows} stored, {found.acknowledged_rows} acknowledged")
    assert found.sent == count
    assert (found.failures, found.unhandled, found.torn) == (0, 0, [])
    assert found.counted == found.seen
    assert found.stored_rows == found.acknowledged_rows > 0


def test_odd_requests_through_a_gateway_meet_no_failure_and_are_counted_once(
    tmp_path, prepared, measured
):
    found = oddities.run(tmp_path, prepared)
    measured("odd requests through the gateway", f"{len(found.answered)} ({counts(found.counted)})")
    # The gateway's own 501, of a coding that it does not know, reaches no pod.
    failed = {case: said for case, said in found.answered.items() if " 50" in f" {said}"}
    assert set(failed.values()) <= {"501"}, failed
    assert max(found.counted) < "500"
    assert found.whole <= found.counted
    assert found.counted.total() <= found.whole.total() + found.broken
    assert found.counted.total() > len(found.answered) / 2


@pytest.mark.parametrize("count", [pytest.param(50, marks=pytest.mark.quick), 2000])
def test_the_release_before_and_this_one_share_a_database_through_a_migration(
    tmp_path, fresh, measured, count
):
    if not releases.find_revision():
        pytest.skip("the checkout does not reach to the commit before the newest migration")
    with fresh() as url:
        found = releases.run(tmp_path, url, requests=count)
    for release in ("old", "new"):
        answered = [found.of(release, moment) for moment in (BEFORE, AFTER)]
        measured(f"answers of {release}", f"{answered[0]} {BEFORE}, {answered[1]} {AFTER}")
        assert min(answered) >= count
    measured("migrations applied under load", ", ".join(found.applied))
    assert found.applied
    assert found.failed == 0, found.statuses


def test_slow_clients_by_the_hundred_hold_up_nobody(tmp_path, prepared, measured):
    found = crowd.run(tmp_path, prepared, each=160, unread=20, seconds=60)
    measured(f"answers beside {found.connections} slow connections", counts(found.requests))
    measured("their `/livez` within 1 s", counts(found.live))
    assert found.requests[200] >= MIN_GOOD * found.requests.total()
    assert set(found.live) == {200}


def test_a_pods_memory_stays_flat(tmp_path, prepared, measured):
    found = memory.run(tmp_path, prepared, 100_000)
    each = ", ".join(f"{megabytes:.1f}" for megabytes in found.megabytes)
    measured("requests to one pod", counts(found.statuses))
    measured("its memory after each tenth", f"{each} MB")
    assert set(found.statuses) == {200, 201, 404, 422}
    assert found.growth_mb <= MAX_GROWTH_MB


def as_root(act):
    needs = pytest.mark.skipif(os.geteuid() != 0, reason="mounts, or drops packets: needs root")
    return pytest.param(act, marks=needs)


@pytest.mark.parametrize(
    "act",
    [
        outages.run,
        surroundings.rotate_password,
        as_root(surroundings.fill_disc),
        as_root(surroundings.cut_network),
    ],
    ids=lambda act: act.__name__,
)
def test_whatever_is_the_matter_with_the_database_callers_are_answered_and_it_comes_back(
    tmp_path, measured, act
):
    found = act(tmp_path)
    found = found if isinstance(found, list) else [found]
    for seen in found:
        back = "never" if seen.recovery_s is None else f"after {seen.recovery_s:.1f} s"
        measured(
            f"the database {seen.fault}",
            f"reads {counts(seen.reads)}; writes {counts(seen.writes)}; longest "
            f"{seen.longest_s:.1f} s; `/livez` {counts(seen.live)}; `/readyz` "
            f"{counts(seen.ready)}; `gridos_db_up` {' '.join(sorted(seen.up))}; back {back}",
        )
    assert [seen for seen in found if not seen.is_met] == []


def test_a_database_is_brought_back_to_the_moment_before_a_mistake(tmp_path, measured):
    """docs/day-2.md, Restore."""
    found = restore.run(tmp_path, history=1_000_000, batches=200)
    measured("acknowledged before the mistake and back", found.acknowledged - found.lost)
    measured("acknowledged after it, to be sent again", found.since)
    measured("base backup", f"{found.backup_s:.1f} s")
    measured("replay", f"{found.replay_s:.1f} s of {found.replayed_mib:.0f} MiB")
    measured("until the service is ready", f"{found.ready_s:.1f} s")
    assert (found.lost, found.history_restored) == (0, found.history)
    assert found.acknowledged > 0
    assert found.since > 0
    assert found.ready_s < restore.LIMIT_S
    assert found.ingest_works


def test_a_restore_to_the_moment_after_a_mistake_is_seen_to_bring_back_nothing(tmp_path):
    found = restore.run(tmp_path, history=1000, batches=5, too_late=True)
    assert found.history_restored == 0
    assert found.lost > 0


def counts(statuses):
    return " ".join(f"{status or 'none'}×{n}" for status, n in sorted(statuses.items()))
