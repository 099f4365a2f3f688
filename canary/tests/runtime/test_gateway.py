"""The gateway: a real Envoy, balancing per request over endpoints that come and go."""

import urllib.request
from collections import Counter
from contextlib import ExitStack

import pytest

from canary.argo.controller import Status
from canary.argo.model import Hashes, RequestMatch, Rollout, Routing, SetRoute, TextMatch
from canary.errors import UsageError
from canary.rehearse import edge
from canary.runtime.gateway import Counts, Gateway
from canary.runtime.waiting import wait_until
from canary.tests.machine import answering


@pytest.fixture
def backends():
    """Three servers that answer with their own port; the last one fails every request."""

    def answer(status):
        return lambda asked: (status, str(asked.server.server_port).encode())

    with ExitStack() as stack:
        yield [stack.enter_context(answering(answer(status))) for status in (200, 200, 500)]


@pytest.fixture
def gateway(tmp_path):
    gateway = Gateway(tmp_path / "gateway")
    gateway.start()
    yield gateway
    gateway.stop()


def route(gateway, ports):
    gateway.route(ports)
    assert wait_until(lambda: gateway.routed_ports() == set(ports), timeout_s=60)


def ask(gateway, times):
    answers = Counter()
    for _ in range(times):
        try:
            with urllib.request.urlopen(gateway.url, timeout=60) as answer:
                answers[answer.read().decode()] += 1
        except urllib.error.HTTPError as failed:
            answers[failed.read().decode() or failed.code] += 1
    return answers


def test_each_endpoint_gets_its_even_share_request_by_request(gateway, backends):
    route(gateway, backends)
    assert set(ask(gateway, 30).values()) == {10}


def test_an_endpoint_that_is_withdrawn_gets_nothing_more(gateway, backends):
    route(gateway, backends)
    ask(gateway, 9)
    route(gateway, backends[:1])
    assert ask(gateway, 10) == {str(backends[0]): 10}


def test_requests_and_failures_are_counted_by_endpoint_even_after_it_is_gone(gateway, backends):
    route(gateway, backends)
    ask(gateway, 30)
    before = gateway.counts()
    assert before[backends[0]] == Counts(10, 0)
    assert before[backends[2]] == Counts(10, 10)
    route(gateway, [])
    assert gateway.counts()[backends[2]] == Counts(10, 10)


def test_with_no_endpoint_users_get_a_503(gateway):
    assert ask(gateway, 1) == {"no healthy upstream": 1}


def test_an_occupied_port_is_said_in_one_line_with_the_remedy(tmp_path, backends):
    with pytest.raises(UsageError, match=r"is occupied — choose another with --port"):
        Gateway(tmp_path / "other", backends[0]).start()


@pytest.fixture
def split(tmp_path, backends):
    """A gateway before a stable and a canary pod, and what it is to do about them."""
    groups = edge.STABLE, edge.CANARY
    gateway = Gateway(tmp_path / "gateway", clusters=groups, apart=edge.CANARY)
    gateway.start()
    stable, canary, _ = backends
    gateway.route([stable], edge.STABLE)
    gateway.route([canary], edge.CANARY)
    assert wait_until(lambda: gateway.routed_ports() == {stable, canary}, timeout_s=60)
    yield gateway, str(canary)
    gateway.stop()


def share(gateway, weight, *routes, most=100):
    rollout = Rollout("r", "n", 2, (), routing=Routing("istio", max_weight=most))
    status = Status(Hashes("l", "s"), weight=weight, routes=routes)
    gateway.share(edge.routes(rollout, status, canary_ready=True))


def carry(gateway, port, times=300, **headers):
    """How many of some requests the pod on a port answered."""
    request = urllib.request.Request(gateway.url, headers=headers)
    answered = Counter()
    for _ in range(times):
        with urllib.request.urlopen(request, timeout=60) as answer:
            answered[answer.read().decode()] += 1
    return answered[port]


def test_a_router_shares_requests_by_weight_whatever_the_pods(split):
    gateway, canary = split
    assert carry(gateway, canary, 50) == 0
    share(gateway, 400, most=1000)
    assert wait_until(lambda: carry(gateway, canary, 20) > 0, timeout_s=60)
    # Envoy draws at random: of 300 at 40 %, six standard deviations to each side.
    assert 69 <= carry(gateway, canary) <= 171
    share(gateway, 1000, most=1000)
    assert wait_until(lambda: carry(gateway, canary, 20) == 20, timeout_s=60)


def test_a_header_route_takes_the_requests_that_carry_it_and_no_others(split):
    gateway, canary = split
    header = RequestMatch({"x-canary": TextMatch("exact", "yes")})
    share(gateway, 0, SetRoute("h", (header,)))
    assert wait_until(lambda: carry(gateway, canary, 5, **{"X-Canary": "yes"}) == 5, timeout_s=60)
    assert carry(gateway, canary, 50) == 0


def test_a_group_that_is_apart_has_an_address_of_its_own_whatever_the_weight(split):
    gateway, canary = split
    share(gateway, 0)
    with urllib.request.urlopen(gateway.apart_url, timeout=5) as answer:
        assert answer.read().decode() == canary
    assert carry(gateway, canary, 20) == 0


def test_requests_of_a_pod_that_is_in_two_groups_add_up(split, backends):
    gateway, canary = split
    gateway.route([int(canary)], edge.STABLE)
    assert wait_until(lambda: carry(gateway, canary, 5) == 5, timeout_s=10)
    before = gateway.counts()[int(canary)].requests
    carry(gateway, canary, 10)
    for _ in range(3):
        urllib.request.urlopen(gateway.apart_url, timeout=5).close()
    assert gateway.counts()[int(canary)].requests == before + 13


def test_a_mirror_copies_requests_to_the_canary_and_answers_from_stable(split, backends):
    gateway, canary = split
    every = RequestMatch(path=TextMatch("prefix", "/"))
    share(gateway, 0, SetRoute("m", (every,), mirror=100))
    seen = gateway.counts
    sent = wait_until(
        lambda: carry(gateway, canary, 5) == 0 and seen()[int(canary)].requests > 0, timeout_s=60
    )
    assert sent
