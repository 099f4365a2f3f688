"""Probes: what each kind asks of a port."""

import pytest

from canary.argo.objects import Lifecycle, Probe
from canary.rehearse import probes
from canary.runtime import processes
from canary.tests.machine import answering


@pytest.fixture
def port():
    with answering(
        lambda asked: (204 if asked.headers.get("X-Probe") == "yes" else 500, b"")
    ) as at:
        yield at


HEADERS = [{"name": "X-Probe", "value": "yes"}]


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        ({"httpGet": {"port": 1}}, False),
        ({"httpGet": {"port": 1, "httpHeaders": HEADERS}}, True),
        ({"httpGet": {"port": 1, "scheme": "HTTPS", "httpHeaders": HEADERS}}, False),
        ({"tcpSocket": {"port": 1}}, True),
        ({"grpc": {"port": 1}}, True),
        ({"exec": {"command": ["cat", "/gone"]}}, True),
    ],
    ids=str,
)
def test_a_probe_asks_the_port_in_its_own_way(given, passed, port):
    assert probes.passes(Probe.model_validate(given), port) is passed


def test_nothing_that_listens_passes_no_probe():
    free = processes.free_port()
    assert not probes.passes(Probe.model_validate({"tcpSocket": {"port": 1}}), free)
    assert not probes.passes(Probe.model_validate({"exec": {"command": ["true"]}}), free)


@pytest.mark.parametrize(
    ("pre_stop", "seconds", "noted"),
    [
        ({"sleep": {"seconds": 5}}, 5, False),
        ({"exec": {"command": ["sleep", "7"]}}, 7, False),
        ({"exec": {"command": ["/bin/sh", "-c", "sleep 15"]}}, 15, False),
        ({"exec": {"command": ["bash", "-lc", "/bin/sleep 2.5s"]}}, 2.5, False),
        ({"exec": {"command": ["/bin/sh", "-c", "nginx -s quit; sleep 15"]}}, 15, True),
        ({"exec": {"command": ["sh", "-c", "sleep 10 && nginx -s quit"]}}, 10, True),
        ({"exec": {"command": ["sh", "-c", "sleep 5; drain --sleep 9; sleep 1"]}}, 6, True),
        ({"exec": {"command": ["/app", "drain"]}}, 0, True),
    ],
)
def test_of_commands_before_the_end_a_sleep_is_kept_and_any_other_is_named(
    pre_stop, seconds, noted
):
    found = Lifecycle.model_validate({"preStop": pre_stop}).pre_stop
    assert found.seconds == seconds
    assert bool(found.not_enforced()) is noted
