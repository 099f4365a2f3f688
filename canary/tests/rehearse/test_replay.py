"""A recorded run is judged again by other gates, on the recorded data."""

import json
import shutil
import tarfile
from dataclasses import replace
from types import SimpleNamespace

import pytest

from canary.argo import manifests
from canary.argo.model import Analysis, Pause
from canary.errors import UsageError
from canary.rehearse import replay, time_compression
from canary.rehearse import result as results
from canary.rehearse.plan import Plan
from canary.rehearse.replay import Recording
from canary.rehearse.result import Result
from canary.runtime import documents


@pytest.fixture
def recorded(rollout):
    return as_recorded(rollout)


def as_recorded(rollout):
    """The run is from before a guard stood beside the steps, and a step of 100 % after them."""
    scaled = time_compression.scale(rollout, 6)
    return replace(scaled, steps=scaled.steps[:-2], background=None)


@pytest.fixture
def recording(document, tmp_path):
    document["released_at"] = "2026-11-24T05:16:20.000+00:00"
    return Recording(Result.model_validate(document), tmp_path)


@pytest.fixture
def empty(recording):
    """The same, with a Prometheus that holds no data."""
    (recording.folder / "prometheus/data").mkdir(parents=True)
    return recording


def test_a_recording_without_data_answers_nothing_and_no_gate_is_called_good(empty, recorded):
    """An empty Prometheus gives empty vectors: our gates find them Inconclusive, and ask again."""
    judged = replay.replay(empty, recorded)
    said = replay.decide(empty, judged)
    assert said.outcome.exit_code == 3
    measured = [m for run in judged.runs for r in run.results.values() for m in r.measurements]
    assert {m.phase for m in measured} == {"Inconclusive"}


def test_each_gate_is_shown_as_recorded_and_as_judged_again(empty, recorded):
    rows = replay.compared(empty, replay.replay(empty, recorded))
    assert {(row.step_index, row.value) for row in rows} == {(2, None), (5, None)}
    # The run is from before some of these gates; the others have their recorded phase.
    known = [row for row in rows if row.recorded is not None]
    assert known
    assert all(row.recorded_phase for row in known)
    table = replay.table(rows).splitlines()
    assert len(table) == 1 + len(rows)
    assert table[1].startswith(f"step 2, {rows[0].at_s:.0f} s")


def test_each_look_is_asked_when_the_recorded_release_came_to_it(empty, recorded):
    first = replay.replay(empty, recorded).runs[0]
    known = empty.result.analysis_runs[0]
    assert known.step_index == 2
    for result in first.results.values():
        assert result.measurements[0].started_at == known.started_s


def test_whatever_still_measures_is_asked_when_the_measurement_that_decided_was(
    empty, recorded, rollout
):
    """The same gates would else pass, at other instants, what they have failed."""
    background = time_compression.scale(rollout, 6).background
    passing = tuple(_passing(metric) for metric in background.metrics)
    guard = replace(background, metrics=passing)
    judged = replay.replay(empty, replace(_changed(recorded, _passing), background=guard))
    gate = empty.result.verdict.gate.name
    decided = max(
        one.at_s
        for run in empty.result.analysis_runs
        for metric in run.metrics
        if metric.name == gate
        for one in metric.measurements
    )
    assert [
        result.measurements[-1].started_at
        for run in judged.runs
        if run.step_index is None
        for result in run.results.values()
    ] == [decided] * len(passing)


def test_a_run_of_the_base_is_judged_by_productions_gates_but_for_what_alerts_said(root, empty):
    bundle = manifests.read(documents.read(root / "deploy/overlays/production"))
    judged = replay.replay(empty, as_recorded(manifests.rollout(bundle)))
    asked, gates = judged.runs[:2]
    (result,) = asked.results.values()
    assert (result.name, result.phase) == ("blocking-alerts-before", "Successful")
    assert "not recorded" in result.measurements[0].message
    assert "p95-latency-seconds" in gates.results


def test_gates_that_would_have_gone_on_are_not_called_good(empty, recorded):
    judged = replay.replay(empty, _changed(recorded, _passing))
    said = replay.decide(empty, judged)
    assert said.outcome.exit_code == 3
    assert said.headline.startswith("Not stopped as far as it was recorded")
    assert len(judged.runs) == 2


def _changed(rollout, change):
    """The gates of the steps, each metric changed."""
    steps = [
        replace(step, metrics=tuple(map(change, step.metrics)))
        if isinstance(step, Analysis)
        else step
        for step in rollout.steps
    ]
    return replace(rollout, steps=tuple(steps))


def _waiting(rollout):
    """With longer pauses."""
    steps = [replace(s, duration_s=99.0) if isinstance(s, Pause) else s for s in rollout.steps]
    return replace(rollout, steps=tuple(steps))


def _passing(metric):
    return replace(metric, query="vector(0)", success_condition="true", failure_condition="false")


def test_other_pauses_are_another_walk_and_refused(recording, recorded):
    with pytest.raises(UsageError, match="replay judges the same steps by other gates"):
        replay.replay(recording, _waiting(recorded))


def test_a_packed_run_opens_as_its_folder_does(document, tmp_path):
    folder = tmp_path / "run"
    (folder / "prometheus/data").mkdir(parents=True)
    (folder / "prometheus/data/wal").write_text("samples")
    (folder / "result.json").write_text(json.dumps(document | {"released_at": "2026-11-24T05:16"}))
    packed = tmp_path / "kept/run.tar.gz"
    replay.pack(folder, packed)
    for path in (packed, folder):
        with replay.opened(path) as recording:
            assert recording.result.id == document["id"]
            assert (recording.folder / "prometheus/data/wal").read_text() == "samples"


def test_what_is_no_recording_is_refused(tmp_path, document):
    (tmp_path / "file").write_text("nothing")
    with tarfile.open(tmp_path / "empty.tar.gz", "w:gz"):
        pass
    for name in ("missing", "file", "empty.tar.gz", "."):
        with (
            pytest.raises(UsageError, match="is not a recording"),
            replay.opened(tmp_path / name),
        ):
            pass


def test_an_argument_of_the_gates_can_be_given_for_all_of_them(bundle):
    changed = manifests.rollout(bundle, {"window": "2m"})
    measurements = [m for s in changed.steps if isinstance(s, Analysis) for m in s.metrics]
    assert all("[1m]" not in m.query and "[170s]" not in m.query for m in measurements)
    assert "[2m]" in changed.steps[-1].metrics[1].query


@pytest.mark.parametrize("act", ["promote", "promote-full", "abort", "retry", "undo", "pause"])
def test_a_run_that_a_person_acted_on_is_refused_by_the_name_of_the_act(tmp_path, document, act):
    document["released_at"] = "2026-11-24T05:16:20.000+00:00"
    told = [
        "traffic=0@1s",
        f"{act}@12.5s",
        f"{act}@step=9 never came: the release was over",
    ]
    document["events"] = [{"at_s": 1, "kind": "event", "text": text} for text in told]
    (tmp_path / "result.json").write_text(json.dumps(document))
    (tmp_path / "prometheus/data").mkdir(parents=True)
    with (
        pytest.raises(UsageError, match=f"a person's {act}@12.5s decided"),
        replay.opened(tmp_path),
    ):
        pass


def test_an_argument_that_no_gate_declares_is_refused_with_those_there_are(bundle):
    with pytest.raises(UsageError, match=r"declares the argument 'wndow' — there are .*window"):
        manifests.rollout(bundle, {"wndow": "2m"})


# ----------------------------------------------------------------- beside the gates of another


@pytest.fixture
def promoted(empty):
    """The record of a run that its own gates promoted, with an empty Prometheus."""
    verdict = empty.result.verdict.model_copy(
        update={"outcome": "promoted", "exit_code": 0, "headline": "Promoted"}
    )
    made = empty.result.model_copy(update={"verdict": verdict})
    results.write(made, empty.folder)
    return made


def under(rollout, change):
    """The shipped gates at real durations, each metric changed; steps as they were recorded."""
    return _changed(replace(rollout, steps=rollout.steps[:-2], background=None), change)


def _unmet(metric):
    """Neither passed nor failed, whatever was recorded."""
    return replace(
        metric,
        query="vector(1)",
        success_condition="false",
        failure_condition="false",
        inconclusive_limit=0,
    )


def test_a_release_that_the_gates_of_main_would_stop_is_not_promoted_by_its_own(
    promoted, recording, rollout
):
    made = replay.judged_by_both(promoted, recording.folder, under(rollout, _unmet), "main")
    assert (made.verdict.outcome, made.verdict.exit_code) == ("inconclusive", 3)
    assert made.verdict.headline.startswith("Promoted by its own gates, and not by those of main: ")
    assert made.release.changes[-1].startswith("the gates of main, asked of the same measurements")


def test_gates_of_main_for_other_steps_give_no_verdict_and_that_is_said(
    promoted, recording, rollout
):
    waiting = _waiting(under(rollout, _unmet))
    made = replay.judged_by_both(promoted, recording.folder, waiting, "main")
    assert made.verdict == promoted.verdict
    assert "the recorded steps are" in made.release.changes[-1]


def test_the_own_verdict_stays_where_it_is_the_worse_one(promoted, recording, rollout):
    bad = recording.result
    made = replay.judged_by_both(bad, recording.folder, under(rollout, _passing), "main")
    assert made.verdict == bad.verdict


def test_only_a_branch_that_brings_other_gates_is_judged_by_those_of_main_too(root, tmp_path):
    shutil.copytree(root / "deploy/base", tmp_path / "base")
    file = tmp_path / "base/analysis-release-gates.yaml"
    main, same = (manifests.read(documents.read(p)) for p in (root / "deploy/base", file.parent))
    file.write_text(file.read_text().replace('value: "0.70"', 'value: "0.95"'))
    looser = manifests.read(documents.read(file.parent))

    def others(bundle, commit="abc"):
        candidate = SimpleNamespace(bundle=bundle, commit=commit)
        plan = SimpleNamespace(stable=SimpleNamespace(bundle=main), candidate=candidate)
        return Plan.other_gates.func(plan)

    assert others(same) is None
    assert others(looser, commit="") is None
    assert others(looser) == manifests.rollout(main)
