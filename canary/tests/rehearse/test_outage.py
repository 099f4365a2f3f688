"""An outage of the database is the run's own, and neither release is blamed for the other."""

from types import SimpleNamespace

import psycopg
import pytest

from canary.errors import UsageError
from canary.faults import Fault
from canary.rehearse import outage, plan
from canary.runtime import database

FAULT = Fault("database-down", 2.0, at_s=40.0)


def test_a_database_answers_before_and_after_its_outage_and_not_meanwhile():
    with database.server() as server:
        planned = outage.Outage(FAULT, server)
        with psycopg.connect(server.url, autocommit=True) as connection:
            assert planned.tick(39.9) == ""
            connection.execute("SELECT 1")
            assert "suspended for 2 s" in planned.tick(40.1)
            with pytest.raises(psycopg.errors.OperationalError, match="timeout"):
                psycopg.connect(server.url, connect_timeout=1)
            assert planned.tick(42.0) == ""
            assert planned.tick(42.2) == "database resumed"
            connection.execute("SELECT 1")
            assert planned.tick(43.0) == ""


def test_only_a_server_of_the_runs_own_is_suspended(monkeypatch):
    monkeypatch.setenv(database.URL_VARIABLE, "postgresql://elsewhere")
    with pytest.raises(UsageError, match="cannot suspend the server"):
        outage.check_own()


def test_the_pods_are_told_nothing_of_the_world():
    given = ("errors=3%,after=9s", "database-down=2s@40s", "cpu=90%")
    assert plan.pod_words(given) == ["errors=3%", "after=9s", "cpu=90%"]
    made = SimpleNamespace(choices=SimpleNamespace(faults=given))
    assert plan.Plan.outage.func(made) == FAULT


def config(*services):
    """A configuration with one kind of request."""
    return SimpleNamespace(
        services={name: name for name in services},
        traffic=SimpleNamespace(requests=[SimpleNamespace(path="/v1/feeders/ieee33/load?at=now")]),
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("errors=100%@/v1/overloads", "no request of the traffic goes to /v1/overloads"),
        ("database-down=2", "expected a duration such as 400ms"),
        ("database-down=2s", "has no postgresql"),
    ],
)
def test_a_fault_that_nobody_would_meet_is_refused(words, said):
    with pytest.raises(UsageError, match=said):
        plan.check_reach([words], config("redis"))


@pytest.mark.parametrize(
    "words",
    ["hang=1%@/v1/feeders/<feeder_id>/load", "words=of,another=one", "database-down=2s@40s"],
)
def test_a_fault_that_users_meet_and_anothers_words_are_taken(words):
    plan.check_reach([words], config("postgresql"))
