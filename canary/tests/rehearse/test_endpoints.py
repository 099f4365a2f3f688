"""What Envoy counts by endpoint, scraped from a real one under the addresses of the pods."""

import contextlib
import re
import socket
import struct
import urllib.error
import urllib.request

import pytest

from canary.argo.releases import HASHES
from canary.rehearse import endpoints, meter, scraping
from canary.runtime import processes
from canary.runtime.gateway import Gateway
from canary.runtime.prometheus import Prometheus
from canary.runtime.waiting import wait_until
from canary.tests.machine import answering
from canary.tests.rehearse.test_meter import release
from canary.tests.rehearse.test_scraping import set_aside


def answer(asked):
    """As the path says: a status, or no answer at all."""
    if asked.path == "/cut":
        linger = struct.pack("ii", 1, 0)
        asked.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        asked.connection.close()
        raise ConnectionError
    return int(asked.path[1:]), b""


@pytest.fixture
def counted(bundle, tmp_path):
    """What a Prometheus scrapes of an Envoy: by a server's address, and by a pod's that is gone."""
    sets = set_aside(bundle, tmp_path, "http", "management")
    gateway, (gone, *_) = Gateway(tmp_path / "gateway"), sets.slots()
    job = endpoints.job(bundle, sets, gateway.admin_port, 0.5)
    prometheus = Prometheus(tmp_path / "prometheus", [job])
    with answering(answer) as port, contextlib.ExitStack() as stack:
        for program in (gateway, prometheus):
            program.start()
            stack.callback(program.stop)
        gateway.route([port, gone.port])
        assert wait_until(lambda: gateway.routed_ports() == {port, gone.port}, 60)
        for path in ("200", "404", "503", "cut") * 2:
            for _ in range(2):
                with contextlib.suppress(urllib.error.HTTPError):
                    urllib.request.urlopen(f"{gateway.url}/{path}", timeout=60).close()
        yield prometheus, f"127.0.0.1:{port}", f"{gone.address}:8000"


def test_envoy_counts_what_it_met_at_each_address_and_nothing_else_is_scraped(counted):
    prometheus, server, gone = counted

    def read(name, address):
        metric = f"envoy_cluster_endpoint_{name}"
        return prometheus.query(f'{metric}{{envoy_endpoint_address="{address}"}}')

    # A 404 is an answer; a 503, a broken connection and one that nobody accepted are errors.
    assert wait_until(lambda: read("rq_error", gone) == (8,), 60)
    assert read("rq_success", gone) == (0,)
    assert read("cx_connect_fail", gone) == (8,)
    assert (read("rq_success", server), read("rq_error", server)) == ((4,), (4,))
    names = {series["__name__"] for series in prometheus.series('{__name__=~"envoy.*"}')}
    assert names == endpoints.METRICS


def test_a_pods_target_has_the_address_that_envoy_calls_it_by(bundle, tmp_path):
    sets = set_aside(bundle, tmp_path, "http", "management")
    instances = [t.labels["instance"] for j in scraping.jobs(bundle, sets, 1.0) for t in j.targets]
    rules = endpoints.job(bundle, sets, processes.free_port(), 1.0).metric_relabel
    called = [rule["replacement"] for rule in rules if "replacement" in rule]
    assert len(set(called)) == len(sets.slots())
    assert instances == [address.replace(":8000", ":8001") for address in called]


def asking(query):
    """A release with a gate."""
    return release("basic", "unscoped", "timed", "plain", "none", query=query)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("envoy_cluster_endpoint_rq_5xx", "Envoy has no envoy_cluster_endpoint_rq_5xx .it has "),
        (
            'envoy_cluster_endpoint_rq_error{envoy_cluster_name="gridos"}',
            "no manifest says which envoy_cluster_name the edge's envoy_cluster_endpoint_rq_error",
        ),
    ],
)
def test_what_no_manifest_tells_of_the_edges_figures_is_refused_by_its_name(asked, said):
    (found,) = meter.refusals(*asking(f"sum({asked})"))
    assert re.search(said, found)


def test_envoy_is_scraped_if_a_gate_asks_for_it_beside_a_pattern_of_the_hash_too(rollout):
    pods = 'up{rollouts_pod_template_hash=~"{{args.hash}}|older"}'
    _, asks = asking(f"sum(envoy_cluster_endpoint_rq_error and on (ip) {pods})")
    assert endpoints.are_asked(meter.selectors(asks, HASHES))
    assert not endpoints.are_asked(meter.selectors(rollout, HASHES))
