"""The proofs in short; `make prove-service` is their long form."""

from proofs import kills, restarts


def test_what_was_acknowledged_survives_the_killing_of_database_and_worker(tmp_path):
    found = kills.prove(tmp_path, kills=4, seed=2)
    assert set(found.kills) == {"database", "worker"}
    assert found.acknowledged > 20
    assert (found.lost_rows, found.doubled_rows, found.torn_batches) == (0, 0, 0)


def test_restarts_under_load_drop_no_request(tmp_path, seeded):
    found = restarts.prove(tmp_path, seeded, restarts=2)
    assert found.restarts == 2
    assert found.statuses[200] > 50
    assert found.failed == 0, found.statuses
