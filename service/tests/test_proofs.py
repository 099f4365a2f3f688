"""The proofs in short; `make prove-service` is their long form."""

import pytest
from gridos import schema, seed

from acceptance.service import fuzz, hostile, kills, releases, restarts


def test_what_was_acknowledged_survives_the_killing_of_database_worker_and_server(tmp_path):
    found = kills.prove(tmp_path, kills=4, seed=2)
    assert set(found.kills) == {"database", "worker", "server"}
    assert found.acknowledged > 20
    assert (found.lost_rows, found.doubled_rows, found.torn_batches) == (0, 0, 0)


def test_restarts_under_load_drop_no_request(tmp_path, seeded):
    found = restarts.prove(tmp_path, seeded, restarts=2, requests=500)
    assert found.restarts == 2
    assert found.statuses[200] >= 500
    assert found.failed == 0, found.statuses


@pytest.mark.parametrize(
    ("examples", "requests"), [(5, 500), pytest.param(200, 2000, marks=pytest.mark.acceptance)]
)
def test_generated_requests_meet_no_failure_and_no_breach_of_the_document(
    tmp_path, fresh, examples, requests
):
    # A database of its own: what is made up here, the other tests need not meet.
    with fresh() as url:
        schema.migrate(url)
        seed.seed(url)
        found = fuzz.prove(tmp_path, url, examples, seed=33, phases="examples,coverage,fuzzing")
    assert found.requests > requests
    assert found.server_errors == 0
    assert found.passed, found.report[-6000:]


def test_hostile_requests_meet_no_failure_and_each_answer_is_counted_once(tmp_path, fresh):
    with fresh() as url:
        schema.migrate(url)
        seed.seed(url)
        found = hostile.prove(tmp_path, url, requests=400, seed=22)
    assert found.sent == 400
    assert (found.failures, found.unhandled, found.torn) == (0, 0, [])
    assert found.counted == found.seen
    assert found.stored_rows == found.acknowledged_rows > 0


def test_the_release_before_and_this_one_share_a_database_through_a_migration(tmp_path, fresh):
    if not releases.find_revision():
        pytest.skip("the checkout does not reach to the commit before the newest migration")
    with fresh() as url:
        found = releases.prove(tmp_path, url, requests=50)
    assert found.applied
    assert found.failed == 0, found.statuses
