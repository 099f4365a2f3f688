"""The platform on a real cluster: admission, promotion, abort, and the rollback paths, in order.

`core` is what CI runs: every object admitted under `restricted`, a release aborted, one promoted,
and one taken back. `cluster` adds the retention job and the rollback paths through an Argo CD.
"""

import contextlib
import os
import secrets
import threading
from pathlib import Path

import psutil
import pytest

from acceptance.cluster import INSIDE, ROOT
from acceptance.conformance.rehearsals import End, rehearse
from acceptance.conformance.rollbacks import Loop, Service
from acceptance.things import listed
from canary.runtime.kubectl import connect
from canary.runtime.waiting import wait_until
from policies import objects

OVERLAYS = ("dev", "staging", "production", "local")
# APIs whose controllers the cluster does not have; their objects are held against schemas instead.
ABSENT = {"SecretProviderClass", "PodMonitor", "Probe", "ExternalSecret", "SecretStore"}
pytestmark = pytest.mark.cluster


def told(traffic):
    return f"{traffic['failed'] + traffic['lost']} failed of {traffic['requests']} requests"


@pytest.mark.core
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_object_of_an_overlay_is_admitted_under_restricted(namespaces, measured, overlay):
    rendered = objects.read(ROOT / "deploy/overlays" / overlay)
    admitted = [body for body in rendered if body["kind"] not in ABSENT]
    said = namespaces.kubectl("apply", "--dry-run=server", "-f", "-", given=listed(admitted))
    measured(overlay, f"{len(said.splitlines())} of {len(rendered)} admitted")
    assert len(said.splitlines()) == len(admitted)


@pytest.mark.core
def test_a_faulty_release_is_aborted_by_its_gate_and_no_request_is_lost(namespaces, measured):
    # One request in fifty: the second failure decides, and for the other error gate it takes six. Of
    # 20 % on all routes either is the first, by chance.
    fault = "errors=100%@/v1/overloads"
    result = rehearse(namespaces, End(1, "route-errors"), "--fault", fault)
    measured("decided after, s", result["verdict"]["decided_after_s"])
    measured(
        "last response of the canary after, s", result["verdict"]["last_canary_response_after_s"]
    )
    measured("path 1, of a release that fails", told(result["traffic"]))


@pytest.mark.core
def test_a_healthy_release_is_promoted_and_no_request_fails(namespaces, measured):
    result = rehearse(namespaces, End(0))
    measured("promotion", told(result["traffic"]))


def test_errors_on_every_route_are_rolled_back_by_a_gate_of_errors(namespaces, measured):
    # The same gate as on one machine; the others of the guard trip at the same measurement or later.
    result = rehearse(namespaces, End(1, "errors-against-stable"), "--fault", "errors=8%")
    measured("decided after, s", result["verdict"]["decided_after_s"])


def test_a_slow_release_is_aborted_by_its_gate_and_no_request_fails(namespaces, measured):
    wanted = End(1, "p95-latency-seconds")
    traffic = rehearse(namespaces, wanted, "--fault", "latency=400ms@20%")["traffic"]
    measured("path 1", told(traffic))
    assert traffic["failed"] == traffic["lost"] == 0
    assert traffic["requests"] > 0


def test_a_release_that_crashes_is_rolled_back_by_its_gate(namespaces, measured):
    result = rehearse(namespaces, End(1, "container-restarts"), "--fault", "crash=100")
    measured("decided after, s", result["verdict"]["decided_after_s"])
    measured("users", told(result["traffic"]))


def test_an_outage_that_both_releases_suffer_is_blamed_on_neither(namespaces, measured):
    with outage(namespaces, seconds=2) as suspended:
        # In real time: a cluster's Prometheus scrapes no faster at another scale, and the guard waits
        # for one scrape of the stable pods.
        result = rehearse(namespaces, End(0), "--time-scale", "1", spared=False)
    traffic = result["traffic"]
    measured("failed, of requests", f"{traffic['failed']:,} of {traffic['requests']:,}")
    assert suspended
    assert traffic["failed"]


@pytest.mark.core
@pytest.mark.inside
def test_a_promoted_release_is_taken_back_by_undo_and_no_request_fails(cluster, tmp_path, measured):
    service = Service(connect(None), tmp_path)
    try:
        service.begin()
        path = service.undo()
    finally:
        service.end()
    measured("undo", path)
    assert path.failed == path.not_its_own == 0


def test_the_retention_job_does_its_work(namespaces, measured):
    job = ("job/gridos-retain-now", "-n", "gridos")
    namespaces.kubectl(
        "create", "job", job[0].removeprefix("job/"), *job[1:], "--from=cronjob/gridos-retain"
    )
    namespaces.kubectl("wait", "--for=condition=complete", "--timeout=120s", *job)
    measured("says", namespaces.kubectl("logs", *job).strip().splitlines()[-1])


@contextlib.contextmanager
def outage(cluster, seconds):
    """Suspends the database's processes once the first step of a release pauses; yields their pids."""
    suspended, over = [], threading.Event()

    def suspend():
        rollout = ("get", "rollout", "gridos", "-n", "gridos", "--ignore-not-found")
        step = (*rollout, "-o", "jsonpath={.status.currentStepIndex}")
        # While a release before it is whole, the index is that of the end.
        if not wait_until(lambda: cluster.kubectl(*step) == "1", 300, give_up=over.is_set):
            return
        found = [p for p in psutil.process_iter(["name"]) if is_pods_database(p)]
        suspended.extend(process.pid for process in found)
        try:
            for process in found:
                process.suspend()
            over.wait(seconds)
        finally:
            for process in found:
                process.resume()

    thread = threading.Thread(target=suspend)
    thread.start()
    try:
        yield suspended
    finally:
        over.set()
        thread.join()


def is_pods_database(process):
    groups = Path(f"/proc/{process.pid}/cgroup")
    return process.info["name"] == "postgres" and "kubepods" in groups.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def argo_cd(namespaces):
    """The cluster with an Argo CD, and the Secret that no commit brings."""
    if INSIDE in os.environ:
        return
    if "secret/gridos" not in namespaces.kubectl("get", "secret", "-n", "gridos", "-o", "name"):
        given = ["database-url=postgresql://gridos@postgresql/gridos"]
        given += [f"api-keys={secrets.token_hex(16)}"]
        literals = [f"--from-literal={pair}" for pair in given]
        namespaces.kubectl("create", "secret", "generic", "gridos", "-n", "gridos", *literals)
    namespaces.run("argo-cd")


@pytest.mark.inside
def test_a_promoted_release_is_taken_back_by_paths_2_and_3_and_no_request_fails(
    cluster, tmp_path, measured, argo_cd
):
    loop = Loop(connect(None), tmp_path)
    try:
        loop.begin()
        loop.renew("first")
        undone = loop.undo()
        measured("path 3", undone)
        loop.renew("second")
        reverted = loop.revert()
        measured("path 2", reverted)
    finally:
        loop.end()
    for path in (undone, reverted):
        assert path.requests > 0
        assert path.failed == path.not_its_own == 0


@pytest.mark.inside
def test_a_faulty_release_in_front_of_everybody_is_taken_back_by_paths_2_and_3(
    cluster, tmp_path, measured, argo_cd
):
    loop = Loop(connect(None), tmp_path)
    try:
        loop.begin()
        loop.break_it("errors=30%")
        undone = loop.undo()
        measured("path 3, of a release that fails", undone)
        loop.renew("again")
        loop.break_it("errors=31%")
        measured("an undo alone is taken back after, s", loop.undo_without_pausing())
        reverted = loop.revert()
        measured("path 2, of a release that fails", reverted)
    finally:
        loop.end()
    assert undone.well
    assert reverted.well
