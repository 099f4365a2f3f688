"""What the acceptance tests on a cluster stand on: every scenario ends, and the script answers."""

import json
import os
import subprocess
import sys
import urllib.parse

import pytest

from acceptance import client, cluster
from acceptance.conformance import evaluator, outcomes, rehearsals
from acceptance.conformance.blue_green import BLUE_GREEN
from acceptance.conformance.rollbacks import Measured
from acceptance.conformance.routed import ROUTED
from acceptance.conformance.scenarios import SCENARIOS
from acceptance.conformance.scripted import WORDS, Reader, Script, gate_of, serving
from canary.argo import manifests
from canary.argo.model import Analysis
from canary.runtime import documents
from policies import objects, schema

pytestmark = pytest.mark.quick
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


def ask(url, query):
    data = urllib.parse.urlencode({"query": query}).encode()
    answer = json.loads(client.ask(f"{url}/api/v1/query", data).text)
    return [float(s["value"][1]) for s in answer["data"]["result"]]


def test_each_shipped_gate_is_told_by_a_word_of_its_query(root):
    rollout = manifests.rollout(manifests.read(documents.read(root / "deploy/base")))
    analyses = [rollout.background, *(s for s in rollout.steps if isinstance(s, Analysis))]
    told = {(m.name, gate_of(m.query)) for analysis in analyses for m in analysis.metrics}
    assert told == {(name, name) for name in WORDS}


def test_answers_come_in_order_and_the_last_one_repeats():
    with serving({"s": Script({"*": [(1.0,), (2.0, 3.0)]})}) as server:
        assert [ask(f"{server.url}/s", "up") for _ in range(3)] == [[1.0], [2.0, 3.0], [2.0, 3.0]]
        assert server.asked("s") == 3


@pytest.mark.parametrize("scenario", [*SCENARIOS, *ROUTED, *BLUE_GREEN], ids=lambda s: s.name)
def test_our_controller_ends_every_scenario(scenario, tmp_path):
    outcome = outcomes.ours(scenario, tmp_path)
    assert outcome.phase in {"Healthy", "Degraded", "Paused"}
    assert outcome.aborted is (outcome.phase == "Degraded")


@pytest.mark.parametrize(
    ("fault", "runs"),
    [
        ("errors", {"background": "Failed", "step 2": "Successful"}),
        ("refusals", {"background": "Successful", "step 2": "Successful", "step 5": "Failed"}),
    ],
)
def test_a_fault_at_the_second_step_has_shown_the_first_to_users(fault, runs, tmp_path):
    outcome = outcomes.ours(BY_NAME[f"{fault}-at-the-second-step"], tmp_path)
    assert outcome.aborted
    assert outcome.counts == {1: (1, 9), 4: (3, 8)}
    assert {run.place: run.phase for run in outcome.runs} == runs


def test_a_script_turns_once_its_gate_was_asked_for_a_window():
    turn = ("canary-requests", "[12s]")
    reader = Reader(Script({"*": [(0.0,)]}, turn=turn, then={"*": [(1.0,), (2.0,)]}))
    asked = [f"increase(http_requests_total[{window}])" for window in ("4s", "12s", "4s", "4s")]
    assert [reader.read(query) for query in asked] == [(0.0,), (0.0,), (1.0,), (2.0,)]


def test_a_script_turns_by_no_other_gate_and_for_every_gate():
    turn = ("canary-requests", "[12s]")
    reader = Reader(Script({"*": [(0.0,)]}, turn=turn, then={"*": [(1.0,)]}))
    asked = ["restarts_total[12s]", "restarts_total", "http_requests_total[12s]", "restarts_total"]
    assert [reader.read(query) for query in asked] == [(0.0,), (0.0,), (0.0,), (1.0,)]


def test_a_fault_after_the_last_look_is_met_by_the_guard_while_the_last_pods_come(tmp_path):
    outcome = outcomes.ours(BY_NAME["errors-after-the-last-look"], tmp_path)
    assert outcome.aborted
    assert outcome.counts.keys() == {1, 4, 7}
    guard, *measurements = outcome.runs
    assert (guard.place, guard.phase) == ("background", "Failed")
    assert {look.phase for look in measurements} == {"Successful"}


def test_two_outcomes_that_differ_are_told_apart(tmp_path):
    good, bad = (outcomes.ours(BY_NAME[name], tmp_path) for name in ("healthy", "errors"))
    assert list(outcomes.differences(good, good)) == []
    assert len(list(outcomes.differences(good, bad))) == 4


def test_what_a_scenario_ships_is_valid(tmp_path):
    for scenario in (*SCENARIOS, *ROUTED, *BLUE_GREEN):
        assert schema.check(outcomes.objects(scenario, "http://p", "pause:1"), "1.35") == []


def test_generated_cases_are_the_same_each_time_and_end_in_every_phase():
    cases = list(evaluator.generate(300, 7))
    assert cases == list(evaluator.generate(300, 7))
    phases = {evaluator.ours(case).run for case in cases}
    assert phases == {"Successful", "Failed", "Inconclusive", "Error"}


def test_the_local_overlays_images_all_have_a_fake(root):
    images = {
        c["image"]
        for group in objects.pods(objects.read(root / "deploy/overlays/local"))
        for c in group.containers
    }
    assert images == {"localhost/gridos:dev", *cluster.FAKES}
    for name in cluster.FAKES.values():
        assert (cluster.IMAGES / f"{name}.Dockerfile").is_file()


def test_a_machine_without_a_cluster_is_told_what_to_do(monkeypatch):
    monkeypatch.setenv("GRIDOS_CLUSTER_KIT", "/nowhere/cluster")
    assert "rehearse --target cluster" in cluster.unusable()


def test_a_cluster_that_is_not_built_whole_is_not_used_and_how_to_build_it_is_said(
    tmp_path, monkeypatch
):
    program = tmp_path / "cluster"
    program.touch()
    (tmp_path / ".control-plane").touch()
    monkeypatch.setenv("GRIDOS_CLUSTER_KIT", str(program))
    monkeypatch.setattr(cluster, "CACHE", tmp_path)
    monkeypatch.setattr(cluster.os, "geteuid", lambda: 0)
    assert cluster.unusable() == "the test cluster is not built (addons): run cluster build"


def run(root, *words):
    return subprocess.run(
        [sys.executable, "-m", "acceptance", *words],
        cwd=root, check=False, capture_output=True, text=True, timeout=120,
        env={**os.environ, "GRIDOS_CLUSTER_KIT": "/nowhere/cluster"},
    )  # fmt: skip


def test_the_core_is_skipped_with_its_reason_where_it_cannot_be_run(root):
    done = run(root, "conformance", "--part", "core")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no test cluster" in done.stdout
    assert " passed" not in done.stdout


@pytest.mark.parametrize(
    ("area", "tests"), [("conformance", 13), ("pipeline", 1), ("load", 3), ("observability", 1)]
)
def test_a_test_that_cannot_be_run_here_has_not_passed(root, area, tests):
    done = run(root, area, "--part", "cluster or inside")
    assert done.returncode == 4, done.stdout + done.stderr
    assert done.stdout.count("no test cluster") >= tests
    assert " passed" not in done.stdout


def rolled_back(**counts):
    return Measured(
        "undo", 9.04, 12.0, 800, **{"failed": 38, "not_its_own": 0, "failed_after": 0} | counts
    )


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"failed": 0}, ""),
        (
            {"failed_after": 1},
            ", last bad response after 9.0 s; 0 failed but not by the release, 1 afterwards",
        ),
    ],
)
def test_a_way_back_is_told_in_requests_and_seconds(counts, words):
    path = rolled_back(**counts)
    assert str(path) == f"undo: {path.failed} failed of 800 requests, Healthy after 12.0 s{words}"


def test_a_way_back_is_well_only_if_users_met_nothing_but_the_bad_release():
    assert rolled_back().well
    assert not rolled_back(not_its_own=1).well
    assert not rolled_back(failed_after=1).well


@pytest.mark.parametrize(
    ("end", "slow"),
    [
        (rehearsals.End(3), True),
        (rehearsals.End(4), True),
        (rehearsals.End(1, "p95-latency-seconds"), True),
        (rehearsals.End(1, "error-ratio"), False),
        (rehearsals.End(1, "container-restarts"), False),
        (rehearsals.End(1), False),
        (rehearsals.End(2), False),
        (rehearsals.End(0), False),
    ],
    ids=str,
)
def test_only_what_a_slow_machine_does_is_tried_again(end, slow):
    assert end.slow is slow


def test_the_gates_that_a_slow_machine_moves_are_shipped_ones():
    assert rehearsals.SLOWED.issubset(WORDS)


def test_what_a_bad_release_fails_is_its_own_and_what_is_lost_never_is():
    traffic = {"failed": 38, "lost": 1}
    assert rehearsals.hurt(traffic, rehearsals.End(1, "error-ratio")) == 1
    assert rehearsals.hurt(traffic, rehearsals.End(0)) == 39


class Rehearsals:
    """Stands for `canary rehearse`: each call leaves the next end's result behind, as the program does."""

    def __init__(self, folder, *ends):
        self.folder, self.ends = folder, list(ends)

    def __call__(self, cluster, *command):
        end, lost = self.ends.pop(0)
        if lost is not None:
            run_folder = self.folder / f"run-{len(self.ends)}"
            run_folder.mkdir(parents=True)
            gate = end.gate and {"name": end.gate}
            told = {"verdict": {"gate": gate}, "traffic": {"failed": 0, "lost": lost}}
            (run_folder / "result.json").write_text(json.dumps(told))
            (self.folder / "latest").unlink(missing_ok=True)
            (self.folder / "latest").symlink_to(run_folder)
        return end.code


GOOD, IDLE, BAD = rehearsals.End(0), rehearsals.End(3), rehearsals.End(1, "error-ratio")


@pytest.mark.parametrize(
    ("ends", "wrong"),
    [
        ([(GOOD, 0)], None),
        ([(IDLE, 0), (GOOD, 0)], None),
        ([(IDLE, 0), (IDLE, 0)], "exit 3, not exit 0"),
        ([(IDLE, 1)], "1 requests failed"),
        ([(BAD, 0)], "exit 1 by error-ratio, not exit 0"),
        ([(GOOD, None)], "no result"),
    ],
)
def test_a_rehearsal_on_a_slow_machine_has_one_more_try_and_no_third(
    tmp_path, monkeypatch, ends, wrong
):
    program = Rehearsals(tmp_path / "out/rehearsals", *ends)
    monkeypatch.setattr(rehearsals, "ROOT", tmp_path)
    monkeypatch.setattr(rehearsals, "_gateway", lambda cluster: "http://gateway")
    monkeypatch.setattr(rehearsals, "run", program)
    if wrong is None:
        rehearsals.rehearse(None, GOOD)
    else:
        with pytest.raises(AssertionError, match=wrong):
            rehearsals.rehearse(None, GOOD)
    assert program.ends == []
