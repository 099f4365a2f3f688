"""The firewall's policy lets the API through and stops attacks.

A real firewall (nginx, ModSecurity, the Core Rule Set) with the policy of `main.waf.tf` stands
before the real service on a real PostgreSQL, all on loopback. It meets the API's whole traffic,
attacks of every class, and bodies on either side of the limit; then each exception is taken from
the policy in turn, and each must be missed by somebody.
"""

from contextlib import contextmanager

import psycopg
import pytest

from acceptance.edge import attacks, firewall, policy, traffic, wire
from acceptance.services import KEY, WRITABLE

POLICY = policy.read()


@pytest.fixture(scope="module")
def service(serve):
    firewall.programs()  # or it says what is missing
    with serve(**WRITABLE, GRIDOS_HOST="127.0.0.1") as running:
        yield running


@pytest.fixture(scope="module")
def behind(service, tmp_path_factory):
    """Puts a firewall with a policy before the service."""

    @contextmanager
    def start(wanted, *, prevention=True):
        folder, found = tmp_path_factory.mktemp("wall"), firewall.programs()
        rules = firewall.directives(wanted, found, folder / "audit.log", prevention=prevention)
        wall = firewall.Firewall(folder, service.port, rules, found)
        wall.start()
        try:
            yield wall
        finally:
            wall.stop()

    return start


@pytest.fixture(scope="module")
def wall(behind):
    with behind(POLICY) as started:
        yield started


def exchanges():
    return list(traffic.exchanges(KEY, POLICY.body_limit_bytes))


def test_the_apis_whole_traffic_passes_and_the_answers_are_the_services_own(wall, measured):
    sent = exchanges()
    complaints = [c for n, each in enumerate(sent) for c in traffic.amiss(wall, each, str(n + 1))]
    measured("exchanges", len(sent))
    assert complaints == []


def test_random_keys_reach_the_service_whatever_they_look_like(wall, measured):
    answers = [wire.send(wall.port, request) for request in traffic.requests_with_keys()]
    measured("random keys", len(answers))
    assert all(map(firewall.reached, answers))


def test_no_attack_reaches_the_service_and_what_an_exception_lets_through_it_refuses(
    wall, service, seeded, measured
):
    def stored():
        with psycopg.connect(seeded) as connection:
            return connection.execute("SELECT count(*) FROM reading").fetchone()[0]

    before, tried = stored(), list(attacks.read(KEY))
    answers = [
        wire.send(wall.port, attack.request, (firewall.PROBE_HEADER, f"attack {number}"))
        for number, attack in enumerate(tried)
    ]
    pairs = list(zip(tried, answers, strict=True))
    for kind in dict.fromkeys((a.owasp.split()[0], a.kind) for a in tried):
        stopped = [not through(a, b) for a, b in pairs if (a.owasp.split()[0], a.kind) == kind]
        measured(" ".join(kind), f"{sum(stopped)} of {len(stopped)} stopped")
    assert [(a.payload, b.status) for a, b in pairs if through(a, b)] == []
    assert sum(not attack.unread for attack in tried) >= attacks.MIN_ATTACKS
    assert stored() == before


def through(attack, answer):
    """The firewall reads no body of some kinds: those the service must refuse."""
    return not 400 <= answer.status < 500 if attack.unread else firewall.reached(answer)


@pytest.mark.parametrize("excess", [0, 1])
def test_the_longest_body_passes_both_and_one_byte_more_is_refused_by_either(wall, service, excess):
    body = b" " * (POLICY.body_limit_bytes + excess - 2) + b"{}"
    headers = {"Content-Type": "application/json", "X-API-Key": KEY}
    request = wire.Request("POST", "/v1/readings", headers, body)
    assert firewall.reached(wire.send(wall.port, request)) is (excess == 0)
    assert (wire.send(service.port, request).status == 413) is (excess == 1)


@pytest.mark.parametrize("exception", POLICY.exceptions, ids=str)
def test_without_any_one_exception_some_of_our_own_traffic_is_blocked(behind, measured, exception):
    with behind(POLICY.without(exception)) as wall:
        blocked = [
            exchange.name
            for exchange in exchanges()
            if not exchange.large and not firewall.reached(wire.send(wall.port, exchange.request))
        ]
    measured(f"without {exception}", f"{len(blocked)} exchanges blocked")
    assert blocked, "nobody needs it: take it out of main.waf.tf"


def test_in_detection_injections_get_through_so_it_is_prevention_that_stops_them(behind, measured):
    with behind(POLICY, prevention=False) as wall:
        tried = [a for a in attacks.read(KEY) if a.kind == "SQL injection"]
        passed = [firewall.reached(wire.send(wall.port, attack.request)) for attack in tried]
    measured("injections that get through", f"{sum(passed)} of {len(tried)}")
    assert all(passed)
