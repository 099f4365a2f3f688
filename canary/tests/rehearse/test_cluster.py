"""The cluster ground's parts that need no cluster: what objects mean, and what is refused."""

import base64
import json
import os
import urllib.parse
from dataclasses import replace

import pytest

from canary import cli
from canary.argo import controller
from canary.argo.events import Kind
from canary.argo.model import (
    POST_PROMOTION,
    PRE_PROMOTION,
    Analysis,
    Hashes,
    Metric,
    Pause,
    Phase,
    Preview,
    ReplicaCounts,
    Routing,
    SetWeight,
    Switch,
)
from canary.errors import MachineError, UsageError
from canary.rehearse import cluster_state, time_compression
from canary.rehearse.cluster import ClusterTarget
from canary.rehearse.config import Cluster
from canary.runtime import documents, kubectl
from canary.runtime.gateway import Counts
from canary.tests.machine import answering

HASHES = Hashes(latest="latest", stable="stable")
LABEL = cluster_state.HASH_LABEL
BEGAN = "2026-01-01T00:00:00Z"
NO_TRAFFIC = {"stable": Counts(), "canary": Counts()}


def thing(kind, name, hash_=None, status=None, spec=None, **metadata):
    labels = {LABEL: hash_} if hash_ else {}
    return {
        "kind": kind,
        "metadata": {"name": name, "labels": labels, "creationTimestamp": BEGAN} | metadata,
        "status": status or {},
        "spec": spec or {},
    }


def replica_set(hash_, desired, available):
    return thing(
        "ReplicaSet",
        f"gridos-{hash_}",
        hash_,
        {"replicas": desired, "availableReplicas": available},
        {"replicas": desired},
    )


def told(**status):
    """The Rollout as its controller tells of it."""
    return thing(
        "Rollout",
        "gridos",
        None,
        {"stableRS": "stable", "currentPodHash": "latest", "observedGeneration": "3"} | status,
        generation=3,
    )


def pausing(reason):
    return {"pauseConditions": [{"reason": reason, "startTime": BEGAN}]}


def observe(rollout, *objects):
    state = cluster_state.State(objects, "gridos")
    return cluster_state.observe(state, rollout, HASHES, 5.0, NO_TRAFFIC, (), ())


def test_a_walking_release_tells_step_weight_counts_and_phase(rollout):
    seen = observe(
        rollout,
        told(phase="Paused", message="CanaryPauseStep", currentStepIndex=1),
        replica_set("stable", 9, 9),
        replica_set("latest", 1, 1),
    )
    assert (seen.step_index, seen.phase, seen.settled) == (1, "Paused", False)
    assert seen.weight == 10  # the controller writes none down without a router
    assert (seen.canary, seen.stable) == (ReplicaCounts(1, 1, 1), ReplicaCounts(9, 9, 9))


def test_it_is_promoted_once_stable_is_the_candidate_and_its_pods_are_all_there(rollout):
    whole = told(phase="Healthy", stableRS="latest", currentStepIndex=9)
    leaving = thing("Pod", "gridos-stable-x", "stable")
    busy = observe(rollout, whole, replica_set("latest", 10, 10), leaving)
    done = observe(rollout, whole, replica_set("latest", 10, 10), replica_set("stable", 0, 0))
    assert (busy.promoted, busy.settled) == (True, False)
    assert (done.promoted, done.settled) == (True, True)


def test_an_abort_is_over_when_the_candidates_pods_are_gone(rollout):
    aborted = told(phase="Degraded", abort=True, message="RolloutAborted: …")
    draining = observe(
        rollout,
        aborted,
        replica_set("stable", 10, 10),
        replica_set("latest", 0, 0),
        thing("Pod", "p", "latest"),
    )
    over = observe(rollout, aborted, replica_set("stable", 10, 10), replica_set("latest", 0, 0))
    assert (draining.aborted, draining.settled, over.settled) == (True, False, True)
    assert over.weight == 0


def test_an_inconclusive_pause_waits_for_a_person_and_ends_the_rehearsal(rollout):
    paused = told(phase="Paused", **pausing("InconclusiveAnalysisRun"))
    seen = observe(rollout, paused, replica_set("stable", 9, 9), replica_set("latest", 1, 1))
    assert seen.inconclusive
    assert seen.settled


def test_an_analysis_run_is_read_with_its_arguments_and_every_measurement(rollout):
    spec = {
        "args": [{"name": "window", "value": "1m"}],
        "metrics": [
            {
                "name": "error-ratio",
                "successCondition": "result[0] < 0.01",
                "provider": {"prometheus": {"query": "sum(rate(x[{{args.window}}]))"}},
            }
        ],
    }
    measured = {
        "phase": "Failed",
        "value": "[0.031]",
        "startedAt": BEGAN,
        "finishedAt": "2026-01-01T00:00:01Z",
    }
    status = {
        "phase": "Failed",
        "startedAt": BEGAN,
        "metricResults": [
            {"name": "error-ratio", "phase": "Failed", "failed": 1, "measurements": [measured]}
        ],
    }
    seen = observe(
        rollout,
        told(),
        thing("AnalysisRun", "gridos-latest-2-2", "latest", status, spec),
        thing("AnalysisRun", "gridos-older-1-2", "older", status, spec),
    )
    (run,) = seen.runs
    assert (run.phase, run.metrics[0].query) == (Phase.FAILED, "sum(rate(x[1m]))")
    assert run.results["error-ratio"].measurements[0].number == 0.031


READ = Analysis(("gates",), (Metric("gate", "x"),), {})
STEPS = tuple(
    step
    for weight, s in ((10, 60), (25, 120), (50, 180))
    for step in (SetWeight(weight), Pause(s), READ)
)


def gates(index, phase="Successful", **spec):
    name = "gridos-latest-2" if index is None else f"gridos-latest-2-{index}"
    return thing("AnalysisRun", name, "latest", {"phase": phase}, {"metrics": [], **spec})


PASSED = tuple(gates(index) for index in (2, 5, 8))
WHOLE = told(phase="Healthy", stableRS="latest", currentStepIndex=9)
ABORTED = "RolloutAborted: Rollout aborted update to revision 2"


@pytest.mark.parametrize(
    ("objects", "unjudged"),
    [
        ((WHOLE, *PASSED), ""),
        ((WHOLE, gates(None)), "Promoted by hand, unjudged: the analysis of steps 2, 5, 8 did"),
        (
            (WHOLE, *PASSED[:2], gates(8, terminate=True)),
            "Promoted by hand, unjudged: the analysis of step 8 did not pass",
        ),
        ((WHOLE, *PASSED[:2], gates("8.1")), ""),
        ((told(phase="Degraded", abort=True, message=ABORTED),), "Aborted by hand, unjudged"),
        (
            (told(phase="Degraded", abort=True, message=f"{ABORTED}: x"), gates(2, "Failed")),
            "",
        ),
        ((told(phase="Degraded", abort=True, message=f"{ABORTED}: timed out"),), ""),
        ((told(phase="Healthy", currentPodHash="stable"),), "Undone by hand, unjudged"),
        ((told(currentPodHash="other"),), "Replaced by another release (other), unjudged"),
    ],
)
def test_a_release_that_a_person_ended_is_told_from_one_that_gates_judged(
    rollout, objects, unjudged
):
    rollout = replace(rollout, steps=STEPS)
    seen = observe(rollout, *objects, replica_set("stable", 10, 10), replica_set("latest", 10, 10))
    assert seen.unjudged.startswith(unjudged)
    assert bool(seen.unjudged) is bool(unjudged)


@pytest.mark.parametrize(
    ("status", "returning"),
    [
        ({"phase": "Progressing"}, True),
        ({"phase": "Degraded", "abort": True}, True),
        ({"promoteFull": True}, False),
        ({"stableRS": "latest"}, False),
        ({"stableRS": ""}, False),
        ({"observedGeneration": "2"}, False),
    ],
)
def test_a_stable_release_that_the_controller_would_judge_again_is_promoted_in_full(
    status, returning
):
    assert cluster_state.returning(told(**status)) is returning


def test_what_the_gateway_counted_adds_up_although_a_pod_leaves_and_comes_back():
    totals, before = {}, {}
    for found in ({"a": (5, 1)}, {"a": (9, 1), "b": (2, 0)}, {"b": (4, 2)}, {"a": (3, 1)}):
        read = {address: Counts(*counts) for address, counts in found.items()}
        totals, before = cluster_state.counted(totals, before, read), read
    assert totals == {"a": Counts(12, 2), "b": Counts(4, 2)}


def test_a_status_from_before_the_release_says_nothing_of_it(rollout):
    seen = observe(rollout, told(phase="Healthy", currentPodHash="stable", observedGeneration="2"))
    assert (seen.unjudged, seen.settled) == ("", False)


def test_a_step_that_nobody_promotes_ends_the_rehearsal(rollout):
    rollout = replace(rollout, steps=(SetWeight(10), Pause(None), READ))
    paused = told(phase="Paused", currentStepIndex=1, **pausing("CanaryPauseStep"))
    seen = observe(rollout, paused)
    assert seen.settled
    assert seen.unjudged.startswith("Step 1 needs a manual promotion, unjudged beyond it")


@pytest.fixture
def blue_green(rollout):
    pre, post = (replace(READ, place=place) for place in (PRE_PROMOTION, POST_PROMOTION))
    steps = (Preview(1), pre, Pause(None), Preview(weight=100), Switch(), post)
    routing = Routing("blueGreen", blue_green=True)
    return replace(rollout, steps=steps, background=None, routing=routing)


def switching(active="stable", reason=None, run=(), **status):
    if reason:
        status |= pausing(reason)
    inside = {"activeSelector": active, "scaleUpPreviewCheckPoint": active == "checked"}
    runs = [gates(place, phase) for place, phase in run]
    return (told(blueGreen=inside, **status), *runs)


@pytest.mark.parametrize(
    ("objects", "step", "weight"),
    [
        (switching(), 0, 0),
        (switching(run=[("pre", "Running")]), 1, 0),
        (switching(reason="BlueGreenPause", run=[("pre", "Successful")]), 2, 0),
        (switching("checked", run=[("pre", "Successful")]), 3, 0),
        (switching("latest", run=[("pre", "Successful"), ("post.1", "Running")]), 5, 100),
        (switching("latest", stableRS="latest", phase="Healthy"), 6, 100),
        (switching(abort=True, phase="Degraded"), 0, 0),
    ],
)
def test_a_blue_greens_status_is_told_as_the_step_that_a_rehearsal_here_would_be_at(
    blue_green, objects, step, weight
):
    seen = observe(blue_green, *objects)
    assert (seen.step_index, seen.weight) == (step, weight)
    assert {run.step_index for run in seen.runs} <= {1, 5}


def test_a_blue_green_that_nobody_promotes_or_that_skips_a_gate_is_unjudged(blue_green):
    waiting = observe(blue_green, *switching(reason="BlueGreenPause"))
    assert waiting.settled
    assert waiting.unjudged.startswith("Step 2 needs a manual promotion")
    skipped = observe(blue_green, *switching("latest", stableRS="latest", phase="Healthy"))
    assert "the analysis of steps 1, 5 did not pass" in skipped.unjudged


@pytest.mark.parametrize("delay_s", [30.0, None])
def test_old_pods_that_stay_for_ever_do_not_keep_a_promoted_release_from_its_end(
    blue_green, delay_s
):
    routing = replace(blue_green.routing, scale_down_delay_s=delay_s)
    whole = switching("latest", stableRS="latest", phase="Healthy")
    old = thing("Pod", "gridos-stable-x", "stable")
    seen = observe(replace(blue_green, routing=routing), *whole, replica_set("latest", 10, 10), old)
    assert seen.settled is (delay_s is None)


def test_the_candidates_replica_set_is_known_by_what_it_was_shipped_with():
    def made_with(hash_, name):
        container = {"name": "gridos", "env": [{"name": "RELEASE", "value": name}]}
        return thing(
            "ReplicaSet", hash_, hash_, spec={"template": {"spec": {"containers": [container]}}}
        )

    state = cluster_state.State([told(), made_with("a", "ours"), made_with("b", "x")], "gridos")
    assert state.released("RELEASE", "ours") == "a"
    assert state.released("RELEASE", "nobody's") == ""


ABORTING = (told(phase="Degraded", abort=True, message=f"{ABORTED}: x"), gates(2, "Failed"))


@pytest.mark.parametrize(
    "after",
    [
        (told(phase="Healthy", currentPodHash="stable"),),  # undone
        (told(currentPodHash="other"),),  # another release
        (told(phase="Progressing", currentStepIndex=0),),  # retried
    ],
)
def test_what_a_gate_decided_stays_whatever_a_person_does_afterwards(rollout, after):
    decided = observe(rollout, *ABORTING, thing("Pod", "p", "latest"))
    assert not decided.settled
    seen = cluster_state.following(decided, observe(rollout, *after), 100)
    assert (seen.aborted, seen.settled, seen.unjudged) == (True, True, "")


@pytest.mark.parametrize(
    ("kind", "status", "wanted"),
    [
        (Kind.ABORT, {}, {"abort": True}),
        (Kind.RETRY, {"abort": True}, {"abort": False}),
        (Kind.PROMOTE, pausing("CanaryPauseStep"), {"pauseConditions": None}),
        (Kind.PROMOTE, {"currentStepIndex": 1}, {"pauseConditions": None, "currentStepIndex": 2}),
        (Kind.PROMOTE, {"currentStepIndex": 3}, {"pauseConditions": None, "currentStepIndex": 3}),
        (
            Kind.PROMOTE,
            {"currentStepIndex": 1, **pausing("InconclusiveAnalysisRun")},
            {"pauseConditions": None, "currentStepIndex": 2, "controllerPause": False},
        ),
    ],
)
def test_a_persons_act_patches_the_status_as_argos_own_plugin_does(kind, status, wanted):
    steps = {"strategy": {"canary": {"steps": [{}, {}, {}]}}}
    acted = told(**status) | {"spec": steps}
    assert cluster_state.act(kind, acted) == wanted


@pytest.mark.parametrize(
    "status", [{}, pausing("BlueGreenPause"), pausing("InconclusiveAnalysisRun")]
)
def test_a_promotion_of_a_blue_green_ends_its_pause_and_skips_nothing(status):
    acted = told(**status) | {"spec": {"strategy": {"blueGreen": {}}}}
    assert cluster_state.act(Kind.PROMOTE, acted) == {"pauseConditions": None}


def test_a_release_that_does_not_settle_in_its_time_is_unjudged(rollout):
    paused = observe(rollout, told(phase="Paused", message="manually paused"))
    assert cluster_state.following(paused, paused, 5.0) == paused
    late = cluster_state.following(paused, paused, 4.9)
    assert (late.settled, late.unjudged) == (
        True,
        "Not settled after 5 s, unjudged: manually paused",
    )


def test_a_decided_release_whose_pods_do_not_go_keeps_its_verdict(rollout):
    decided = observe(rollout, *ABORTING, thing("Pod", "p", "latest"))
    late = cluster_state.following(decided, decided, 1.0)
    assert (late.settled, late.aborted, late.unjudged) == (True, True, "")


def test_a_release_is_followed_no_longer_than_its_waits_and_deadlines_together(rollout):
    pauses, reads, weights = 60 + 120 + 180, 3 * 5 * (10 + 30), 3
    rollout = replace(rollout, steps=STEPS, progress_deadline_s=120, min_ready_s=0.0)
    assert controller.longest_s(rollout) == pauses + reads + (weights + 2) * 120
    assert controller.longest_s(replace(rollout, steps=())) == 240


@pytest.mark.parametrize(
    ("text", "number"),
    [("[0.5]", 0.5), ("[]", None), ("", None), ("0.25", 0.25), ("[1 2]", 1.0), ("[3,4]", 3.0)],
)
def test_a_measurements_number_is_its_first_sample(text, number):
    assert cluster_state.first_sample(text) == number


@pytest.mark.parametrize("entry", [b"k1", b"k1:readings+networks"])
def test_the_key_of_the_cluster_is_sent_under_every_name_that_stands_in_for_it(entry):
    data = {"api-keys": base64.b64encode(entry).decode()}
    stand_ins = {
        "gridos": {"api-keys": "{secret}", "database-url": "{database}"},
        "other": {"keys": "{secret}"},
    }
    values = {"api-keys": "{secret}:readings+networks", "database-url": "x"}
    cluster = Cluster(secret="gridos", values=values, variable="V", gateway="gateway")
    assert cluster_state.secret_values(data, stand_ins, cluster) == {
        "gridos.api-keys": "k1",
        "other.keys": "k1",
    }


@pytest.mark.parametrize("entry", [b"", b"k1:readings", b"k1:read,k2:readings+networks"])
def test_a_secret_that_somebody_else_made_in_another_form_is_refused_by_name(entry):
    data = {"api-keys": base64.b64encode(entry).decode()}
    values = {"api-keys": "{secret}:readings+networks"}
    cluster = Cluster(secret="gridos", values=values, variable="V", gateway="gateway")
    with pytest.raises(UsageError, match=r"api-keys of Secret gridos is not of the form"):
        cluster_state.secret_values(data, {}, cluster)


def test_a_cluster_that_is_asked_to_hurry_gets_shorter_pauses_windows_and_intervals(root):
    bodies = [found.body for found in documents.read(root / "deploy/base")]
    time_compression.shorten(bodies, 3)
    body = next(b for b in bodies if b["kind"] == "Rollout")
    steps = body["spec"]["strategy"]["canary"]["steps"]
    assert [s["pause"]["duration"] for s in steps if "pause" in s] == ["20s", "40s", "1m"]
    args = {a["name"]: a.get("value") for a in steps[2]["analysis"]["args"]}
    assert args["window"] == "16s667ms"
    guard = next(b for b in bodies if b.get("metadata", {}).get("name") == "release-guard")
    query = guard["spec"]["metrics"][0]["provider"]["prometheus"]["query"]
    assert "[3m20s:1s667ms]" in query
    assert "offset 1s667ms" in query
    assert "10" not in {a.get("value") for a in steps[2]["analysis"]["args"]}


def test_a_cluster_in_a_hurry_is_said_to_scrape_as_often_as_before():
    more = set(ClusterTarget.not_scaled) - set(time_compression.NOT_SCALED)
    assert [said for said in more if "Prometheus scrapes" in said]


@pytest.mark.parametrize(
    ("promote_s", "pause"), [(None, {}), (0.0, {"duration": "1s"}), (30.0, {"duration": "10s"})]
)
def test_a_pause_for_a_person_is_promoted_on_a_cluster_by_a_duration_that_argo_takes(
    promote_s, pause
):
    body = {"kind": "Rollout", "spec": {"strategy": {"canary": {"steps": [{"pause": {}}]}}}}
    time_compression.shorten([body], 3, promote_s)
    assert body["spec"]["strategy"]["canary"]["steps"] == [{"pause": pause}]


def test_a_wait_in_bare_seconds_and_the_delays_of_a_router_are_shortened_on_a_cluster_too():
    canary = {
        "steps": [{"pause": {"duration": 60}}, {"pause": {"duration": "30"}}],
        "scaleDownDelaySeconds": 90,
        "abortScaleDownDelaySeconds": 0,
    }
    bodies = [{"kind": "Rollout", "spec": {"strategy": {"canary": canary}}}]
    metric = {"initialDelay": "1m", "provider": {"web": {}}}
    bodies += [{"kind": "ClusterAnalysisTemplate", "spec": {"metrics": [metric]}}]
    bodies += [{"kind": "Rollout", "spec": {"strategy": {"canary": {}}}}]
    time_compression.shorten(bodies, 3)
    assert [step["pause"]["duration"] for step in canary["steps"]] == ["20s", "10s"]
    assert (canary["scaleDownDelaySeconds"], canary["abortScaleDownDelaySeconds"]) == (30, 0)
    assert metric["initialDelay"] == "20s"


@pytest.mark.parametrize(
    ("promote_s", "wanted"),
    [(None, {"autoPromotionEnabled": False}), (30.0, {"autoPromotionSeconds": 10})],
)
def test_a_blue_greens_waits_are_shortened_on_a_cluster_and_its_pause_for_a_person_ends(
    promote_s, wanted
):
    gate = {"args": [{"name": "window", "value": "1m"}]}
    strategy = {"autoPromotionEnabled": False, "scaleDownDelaySeconds": 60}
    strategy |= {"postPromotionAnalysis": gate}
    bodies = [{"kind": "Rollout", "spec": {"strategy": {"blueGreen": strategy}}}]
    time_compression.shorten(bodies, 3, promote_s)
    args = [{"name": "window", "value": "20s"}]
    shortened = {"scaleDownDelaySeconds": 20, "postPromotionAnalysis": {"args": args}}
    assert strategy == shortened | wanted


def kubectl_of(folder, *lines):
    """A kubectl that is a script of these lines."""
    program = folder / "kubectl"
    program.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    program.chmod(0o755)
    return program


@pytest.fixture
def kube(tmp_path, monkeypatch):
    """A kubectl that is in the context its file names, and in no cluster."""

    def in_context(name):
        fails = 'echo "connection refused" >&2; exit 1'
        kubectl_of(tmp_path, f'[ "$1" = config ] && echo "{name}" && exit 0', fails)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    return in_context


@pytest.mark.parametrize("context", ["aks-gridos-prd-weu", "production", "eu-prod-1", "live"])
def test_a_context_that_looks_like_production_is_refused_until_it_is_named(kube, context):
    kube(context)
    with pytest.raises(UsageError, match="looks like production"):
        kubectl.connect(None)
    assert kubectl.connect(context).context == context


@pytest.mark.parametrize("context", ["kind-kind", "k3d-gridos", "minikube", "reproduction-lab"])
def test_any_other_context_is_taken(kube, context):
    kube(context)
    assert kubectl.connect(None).context == context


def test_a_cluster_that_does_not_answer_is_one_line_with_kubectls_words(kube):
    kube("kind-kind")
    with pytest.raises(MachineError, match="connection refused"):
        kubectl.connect(None).get("gridos", ["pods"])


def test_many_looks_at_a_cluster_go_through_one_proxy(tmp_path):
    def answer(asked):
        name = urllib.parse.urlsplit(asked.path).path
        pods = {"kind": "PodList", "items": [{"metadata": {"name": name}}]}
        return (404 if name.endswith("gone") else 200), json.dumps(pods).encode()

    with answering(answer) as port:
        program = kubectl_of(
            tmp_path,
            '[ "$*" = "--context kind-kind proxy --port=0" ] || exit 1',
            f'echo "Starting to serve on 127.0.0.1:{port}"',
            "exec sleep 60",
        )
        watch = kubectl.Watch(kubectl.Kubectl(program, "kind-kind"), tmp_path / "log")
        try:
            (pod,) = watch.get("gridos", ["pods"])
            assert pod["kind"] == "Pod"
            assert pod["metadata"]["name"] == "/api/v1/namespaces/gridos/pods"
            with pytest.raises(MachineError, match=r"did not answer to .*gone"):
                watch.one("gridos", "rollouts", "gone")
        finally:
            watch.close()


def test_a_proxy_that_does_not_serve_is_an_error_with_its_words(kube, tmp_path):
    kube("kind-kind")
    with pytest.raises(MachineError, match="connection refused"):
        kubectl.Watch(kubectl.connect(None), tmp_path / "log")


def test_what_only_one_machine_can_do_is_refused_on_a_cluster(capsys):
    assert cli.main(["rehearse", "--target", "cluster", "--without", "prometheus"]) == 2
    assert "is not possible on a cluster" in capsys.readouterr().err
