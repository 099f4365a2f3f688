"""The proofs' own parts: every scenario walks, and the script answers as it says."""

import json
import urllib.parse
import urllib.request

import pytest
from policies import objects, schemas

from acceptance.conformance import cli, evaluator, kit, walks
from acceptance.conformance.rollbacks import Measured
from acceptance.conformance.scenarios import SCENARIOS
from acceptance.conformance.scripted import WORDS, Reader, Script, Scripted, gate_of
from canary.argo import manifests
from canary.runtime import documents

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
OURS = [scenario for scenario in SCENARIOS if not scenario.expected]


def ask(url, query):
    data = urllib.parse.urlencode({"query": query}).encode()
    with urllib.request.urlopen(f"{url}/api/v1/query", data=data, timeout=5) as answer:
        return [float(s["value"][1]) for s in json.load(answer)["data"]["result"]]


def test_each_shipped_gate_is_told_by_a_word_of_its_query(root):
    background = manifests.rollout(manifests.read(documents.read(root / "deploy/base"))).background
    assert {m.name: gate_of(m.query) for m in background.metrics} == {name: name for name in WORDS}


def test_answers_come_in_order_and_the_last_one_repeats():
    server = Scripted("127.0.0.1", {"s": Script({"*": [(1.0,), (2.0, 3.0)]})})
    try:
        assert [ask(f"{server.url}/s", "up") for _ in range(3)] == [[1.0], [2.0, 3.0], [2.0, 3.0]]
        assert server.asked("s") == 3
    finally:
        server.close()


@pytest.mark.parametrize("scenario", OURS, ids=lambda s: s.name)
def test_our_controller_ends_every_scenario(scenario, tmp_path):
    walk = walks.ours(scenario, tmp_path)
    assert walk.phase in {"Healthy", "Degraded", "Paused"}
    assert walk.aborted is (walk.phase == "Degraded")


def test_a_fault_at_the_second_step_has_shown_the_first_to_users(tmp_path):
    walk = walks.ours(BY_NAME["errors-at-the-second-step"], tmp_path)
    assert walk.counts == {1: (1, 9), 4: (3, 8)}
    assert [(run.place, run.phase) for run in walk.runs] == [
        ("step 2", "Successful"),
        ("step 5", "Failed"),
    ]


def test_a_script_turns_once_its_gate_was_asked_for_a_window():
    reader = Reader(Script({"*": [(0.0,)]}, turn="[12s]", then={"*": [(1.0,), (2.0,)]}))
    asked = [f"increase(x[{window}])" for window in ("4s", "12s", "4s", "4s")]
    assert [reader.read(query) for query in asked] == [(0.0,), (0.0,), (1.0,), (2.0,)]


def test_a_fault_after_the_last_look_is_met_by_the_guard_while_the_last_pods_come(tmp_path):
    walk = walks.ours(BY_NAME["errors-after-the-last-look"], tmp_path)
    assert walk.aborted
    assert walk.counts.keys() == {1, 4, 7}
    guard, *looks = walk.runs
    assert (guard.place, guard.phase) == ("background", "Failed")
    assert {look.phase for look in looks} == {"Successful"}


def test_two_walks_that_differ_are_told_apart(tmp_path):
    good, bad = (walks.ours(BY_NAME[name], tmp_path) for name in ("healthy", "errors"))
    assert list(walks.differences(good, good)) == []
    assert len(list(walks.differences(good, bad))) == 4


def test_what_a_scenario_ships_is_valid(tmp_path):
    for scenario in SCENARIOS:
        assert schemas.check(walks.objects(scenario, "http://p", "pause:1"), "1.35") == []


def test_generated_cases_are_the_same_each_time_and_end_in_every_phase():
    cases = list(evaluator.generate(300, 7))
    assert cases == list(evaluator.generate(300, 7))
    phases = {evaluator.ours(case).run for case in cases}
    assert phases == {"Successful", "Failed", "Inconclusive", "Error"}


def test_the_local_overlays_images_all_have_a_stand_in(root):
    images = {
        c["image"]
        for group in objects.pods(objects.read(root / "deploy/overlays/local"))
        for c in group.containers
    }
    assert images == {"localhost/gridos:dev", *kit.STAND_INS}
    for name in kit.STAND_INS.values():
        assert (kit.IMAGES / f"{name}.Dockerfile").is_file()


def test_a_machine_without_a_kit_is_told_what_to_do(monkeypatch):
    monkeypatch.setenv("GRIDOS_CLUSTER_KIT", "/nowhere/cluster")
    assert "rehearse --target cluster" in kit.unusable()
    assert kit.find() is None


def test_a_kit_that_is_not_built_whole_is_not_used_and_how_to_build_it_is_said(
    tmp_path, monkeypatch
):
    program = tmp_path / "cluster"
    program.touch()
    (tmp_path / ".control-plane").touch()
    monkeypatch.setenv("GRIDOS_CLUSTER_KIT", str(program))
    monkeypatch.setattr(kit, "CACHE", tmp_path)
    monkeypatch.setattr(kit.os, "geteuid", lambda: 0)
    assert kit.unusable() == "the cluster kit is not built (addons): run cluster build"


def test_the_core_is_skipped_with_its_reason_where_it_cannot_be_run(monkeypatch, capsys):
    monkeypatch.setenv("GRIDOS_CLUSTER_KIT", "/nowhere/cluster")
    assert cli.main(["core"]) == 0
    assert capsys.readouterr().out.startswith("skipped: no cluster kit")


@pytest.mark.parametrize("part", sorted(cli.PARTS.keys() - {"core"}))
def test_a_proof_that_cannot_be_run_here_has_not_passed(monkeypatch, capsys, part):
    monkeypatch.setenv("GRIDOS_CLUSTER_KIT", "/nowhere/cluster")
    assert cli.main([part]) == 4
    assert capsys.readouterr().err.startswith("conformance: no cluster kit")


def test_a_way_back_is_told_in_seconds_and_requests():
    assert str(Measured("undo", 9.04, 12.0, 800, not_its_own=0, failed_after=1)) == (
        "undo: last bad response after 9.0 s, Healthy after 12.0 s; of 800 requests "
        "0 failed but not by the release, 1 afterwards"
    )


def test_a_way_back_is_well_only_if_users_met_nothing_but_the_bad_release():
    assert Measured("undo", 9.0, 12.0, 800, not_its_own=0, failed_after=0).well
    assert not Measured("undo", 9.0, 12.0, 800, not_its_own=1, failed_after=0).well
    assert not Measured("undo", 9.0, 12.0, 800, not_its_own=0, failed_after=1).well


@pytest.mark.parametrize(
    ("end", "slow"),
    [
        (cli.End(3), True),
        (cli.End(4), True),
        (cli.End(1, "p95-latency-seconds"), True),
        (cli.End(1, "error-ratio"), False),
        (cli.End(1, "container-restarts"), False),
        (cli.End(1), False),
        (cli.End(2), False),
        (cli.End(0), False),
    ],
    ids=str,
)
def test_only_what_a_slow_machine_does_is_tried_again(end, slow):
    assert end.slow is slow


def test_the_gates_that_a_slow_machine_moves_are_shipped_ones():
    assert cli.SLOWED.issubset(WORDS)


def test_what_a_bad_release_fails_is_its_own_and_what_is_lost_never_is():
    traffic = {"failed": 38, "lost": 1}
    assert cli.hurt(traffic, cli.End(1, "error-ratio")) == 1
    assert cli.hurt(traffic, cli.End(0)) == 39


class Rehearsals:
    """Stands for `canary rehearse`: each call leaves the next end's result behind, as the program does."""

    def __init__(self, folder, *ends):
        self.folder, self.ends = folder, list(ends)

    def __call__(self, run, *command):
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


GOOD, IDLE, BAD = cli.End(0), cli.End(3), cli.End(1, "error-ratio")


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
    rehearsals = Rehearsals(tmp_path / "out/rehearsals", *ends)
    monkeypatch.setattr(cli, "ROOT", tmp_path)
    monkeypatch.setattr(cli, "_way_in", lambda run: "http://gateway")
    monkeypatch.setattr(cli, "_run", rehearsals)
    if wrong is None:
        cli.rehearse(None, GOOD)
    else:
        with pytest.raises(AssertionError, match=wrong):
            cli.rehearse(None, GOOD)
    assert rehearsals.ends == []
