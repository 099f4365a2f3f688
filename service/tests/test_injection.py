import http.client
import socket
import time

import psutil
import pytest
from gridos.faults import parse
from gridos.injection import INSIDE, WARMUP_LATENCY_S, FaultInjector, InjectedError

from acceptance.service import wire
from canary.runtime.waiting import wait_until

OVERLOADS, FEEDERS = "/v1/overloads", "/v1/feeders"


def failed(words, seed, times, path=FEEDERS):
    injector, found = FaultInjector(parse(words), INSIDE, seed), []
    for number in range(times):
        try:
            injector.apply(path)
        except InjectedError:
            found.append(number)
    return found


def test_the_share_of_failures_is_the_one_asked_for():
    assert len(failed("errors=3%", "pod", 10_000)) == pytest.approx(300, abs=60)


@pytest.mark.parametrize("pod", ["pod-1", "pod-2", "pod-3"])
def test_a_look_anywhere_meets_the_share_whatever_the_luck(pod):
    """Of 300 requests in a row the error gate needs 7 failures; 3 % are 9."""
    found = failed("errors=3%", pod, 3_000)
    for start in range(2_700):
        assert 7 <= sum(start <= number < start + 300 for number in found) <= 11


def test_all_is_every_request_and_none_is_none():
    assert failed("errors=100%", "pod", 500) == list(range(500))
    assert failed("errors=0%", "pod", 500) == []


def test_the_same_pod_fails_the_same_requests_and_another_pod_others():
    first = failed("errors=10%", "pod-1", 500)
    assert failed("errors=10%", "pod-1", 500) == first
    assert failed("errors=10%", "pod-2", 500) != first


def test_a_fault_of_a_route_leaves_the_others_alone():
    assert len(failed("errors=100%@/v1/overloads", "pod", 9, OVERLOADS)) == 9
    assert failed("errors=100%@/v1/overloads", "pod", 9, FEEDERS) == []


def test_probes_and_metrics_meet_no_fault():
    assert failed("errors=100%", "pod", 9, "/readyz") == []


def test_a_fault_begins_after_its_onset():
    now = 100.0
    injector = FaultInjector(parse("errors=100%,after=90s"), INSIDE, "pod", lambda: now)
    injector.apply(FEEDERS)
    now = 190.0
    with pytest.raises(InjectedError):
        injector.apply(FEEDERS)


@pytest.mark.parametrize("after_s", [0.0, 2.0, 2.9])
def test_a_pod_warms_up_from_its_first_request_and_slows_none_beyond(monkeypatch, after_s):
    now, slept = 100.0, []
    monkeypatch.setattr(time, "sleep", slept.append)
    injector = FaultInjector(parse("warmup=3s"), INSIDE, "pod", lambda: now)
    now = 500.0
    injector.apply(FEEDERS)
    now += after_s
    injector.apply(FEEDERS)
    now = 503.0
    injector.apply(FEEDERS)
    assert slept == pytest.approx([WARMUP_LATENCY_S, min(WARMUP_LATENCY_S, 3 - after_s), 0])


# -------------------------------------------------------------------------- through the service


def failures(server):
    """What the service has counted, by status."""
    return wire.statuses(server.probe("/metrics")[1])


def test_a_route_fails_with_its_status_and_the_others_answer(serve):
    words = "status=404@/v1/overloads,errors=100%@/v1/feeders/<feeder_id>/load"
    with serve(GRIDOS_FAULTS=words) as server:
        assert server.ask(OVERLOADS).status == 404
        assert server.ask("/v1/feeders/ieee33/load").status == 500
        assert server.ask(FEEDERS).status == 200
        # A response is counted once its last byte has gone, which may be after it was read.
        assert wait_until(lambda: failures(server) == {"404": 1, "500": 1, "200": 1}, 60)


@pytest.mark.parametrize(("word", "status"), [("reset", "500"), ("cut", "200")])
def test_a_reset_ends_the_connection_before_the_answer_is_counted_and_a_cut_after(
    serve, word, status
):
    with serve(GRIDOS_FAULTS=f"{word}=100%@/v1/overloads") as server:
        caller = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        caller.request("GET", OVERLOADS)
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            caller.getresponse()
        assert server.ask(FEEDERS).status == 200
        assert wait_until(lambda: failures(server).total() == 2, 60)
        route = f'{{method="GET",route="/v1/overloads",status="{status}"}}'
        assert f"{route} 1.0" in server.ask("/metrics").text


def test_a_hang_is_never_answered_while_others_are(serve):
    with serve(GRIDOS_FAULTS="hang=100%@/v1/overloads") as server:
        with socket.create_connection(("127.0.0.1", server.port)) as caller:
            caller.sendall(b"GET /v1/overloads HTTP/1.1\r\nHost: x\r\n\r\n")
            assert wait_until(lambda: server.metric("http_requests_in_flight") == 1, 60)
            assert server.ask(FEEDERS).status == 200
            caller.setblocking(False)
            with pytest.raises(BlockingIOError):
                caller.recv(1)
        server.process.kill()


def test_whoever_hangs_or_waits_behind_hung_threads_is_counted_as_a_failure(serve, hurried):
    with serve(PYTHONPATH=hurried, GRIDOS_FAULTS="hang=100%@/v1/overloads") as server:
        callers = [ask_only(server.port, OVERLOADS) for _ in range(4)]
        assert wait_until(lambda: failures(server) == {"504": 4}, 60)
        callers.append(ask_only(server.port, "/v1/feeders/ieee33/load?x=1"))
        assert wait_until(lambda: failures(server) == {"504": 5}, 60)
        counted = server.probe("/metrics")[1]
        assert '{method="GET",route="/v1/overloads",status="504"} 4.0' in counted
        assert '{method="GET",route="/v1/feeders/<feeder_id>/load",status="504"} 1.0' in counted
        server.process.kill()
        for caller in callers:
            caller.close()


def test_an_answer_that_comes_too_late_is_not_counted_again(serve, hurried):
    with serve(PYTHONPATH=hurried, GRIDOS_FAULTS="latency=2500ms") as server:
        assert server.ask(FEEDERS).status == 200
        assert wait_until(lambda: server.metric("http_requests_in_flight") == 0, 60)
        assert failures(server) == {"504": 1}


def ask_only(port, path):
    """A connection whose request is not waited for."""
    caller = socket.create_connection(("127.0.0.1", port))
    caller.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return caller


def test_a_leak_keeps_memory_with_each_request(serve):
    with serve(GRIDOS_FAULTS="leak=16MiB") as server:
        (worker,) = psutil.Process(server.pid).children()
        before = worker.memory_info().rss
        for _ in range(4):
            assert server.ask(FEEDERS).status == 200
        grown = worker.memory_info().rss - before
        assert 4 * 16 * 2**20 <= grown <= 6 * 16 * 2**20
