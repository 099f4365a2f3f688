"""When a rehearsal on this machine is over."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from canary.argo import controller
from canary.argo.events import Schedule
from canary.argo.model import Hashes, Rollout
from canary.errors import MachineError, UsageError
from canary.rehearse import local
from canary.rehearse.kubelet import Ending, Kubelet
from canary.rehearse.node import RECOVERY_TIMEOUT_S, Node

HASHES = Hashes("latest", "stable")
ROLLOUT = Rollout("gridos", "n", 10, ())


def test_pods_that_are_never_ready_again_after_a_rollback_are_waited_for_and_then_named(tmp_path):
    now = SimpleNamespace(s=0.0)
    node = Node(
        rollout=ROLLOUT,
        # A kubelet that starts no pod: nothing is ever available, as without a database.
        sets=SimpleNamespace(
            kubelet=Kubelet({}, tmp_path),
            leaving=lambda _: False,
            counts=lambda _: controller.NO_PODS,
            ports=lambda _: (),
        ),
        prometheus=None,
        scrape_interval_s=1e9,
        exporter=None,
        gateway=SimpleNamespace(counts=dict),
        measurements=None,
        clock=lambda: now.s,
        schedule=Schedule([]),
        second="",
        fire=lambda _: None,
        edge_delay_s=0.0,
        left_out=(),
    )
    node.status = controller.abort(controller.begin(ROLLOUT, HASHES, 0.0), "by a gate", 0.0)
    seen = []
    for now.s in (1.0, RECOVERY_TIMEOUT_S, RECOVERY_TIMEOUT_S + 2, RECOVERY_TIMEOUT_S + 3):
        seen.append(node.observe())
    assert [each.settled for each in seen] == [False, False, True, True]
    assert [event.text for each in seen for event in each.events] == [
        "0 of 10 pods of stable are available 30 s after the other pods left; not waited for any longer"
    ]


@pytest.mark.parametrize(
    ("said", "because", "kind", "remedy"),
    [
        ("slow", "liveness probe failed 3 times", MachineError, "by hand"),
        ("no such table", "container exited with 1", UsageError, "what it needs"),
        ("Error: listen EADDRINUSE", "container exited with 1", UsageError, "its own port"),
    ],
)
def test_a_program_that_ends_by_itself_is_told_from_a_machine_that_is_too_slow(
    said, because, kind, remedy
):
    why = local.unready(said, [Ending(Path("x.log"), "stable", because, [])])
    assert isinstance(why, kind)
    assert said in str(why)
    assert remedy in str(why)
