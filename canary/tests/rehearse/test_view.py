"""The view: a picture on a terminal, lines elsewhere, the verdict on both."""

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest

from canary.argo import analysis
from canary.argo.model import Measurement, Metric, Pause, Phase, ReplicaCounts, Rollout, SetWeight
from canary.rehearse.load import Second
from canary.rehearse.result import Result
from canary.rehearse.target import Event, Observation
from canary.rehearse.timeline import Timeline
from canary.rehearse.view import View, gates, lines
from canary.runtime.gateway import Counts

GATE = Metric(
    "error-ratio", "x[1m]", success_condition="result[0] < 0.01", failure_condition="false"
)
ROLLOUT = Rollout("gridos", "n", 10, (SetWeight(10), Pause(10.0)))
FAILED = analysis.record(
    analysis.start("gridos-h-2-2", (GATE,), 0.0),
    "error-ratio",
    Measurement(Phase.FAILED, 1, 1, "[0.031]", "", 0.031, 0.0004),
)
SEEN = Observation(
    at_s=3.0,
    phase="Paused",
    message="CanaryPauseStep",
    step_index=1,
    stable=ReplicaCounts(9, 9, 9),
    canary=ReplicaCounts(1, 1, 1),
    runs=(FAILED,),
    canary_traffic=Counts(40, 1),
    seconds=(Second(0.0, 400, 1, 0, 0, 4.0, 12.0),),
    step_remaining_s=7.0,
)


def show(*, terminal, events=()):
    stream, record = io.StringIO(), Timeline()
    with View("rehearsing gridos", ROLLOUT, stream, terminal=terminal) as view:
        fresh = record.take(replace(SEEN, events=tuple(events)))
        view.watch(record, SEEN, fresh)
        view.watch(record, SEEN, ())
        view.conclude([("report", "out/report.html")], "Rolled back at 10 %", 1)
    return stream.getvalue()


def test_without_a_terminal_each_event_is_one_whole_line_and_figures_are_not_repeated():
    long = "x" * 200
    text = show(terminal=False, events=[Event(3.0, "pod", long)])
    assert f"   3.0 s  pod       {long}\n" in text
    assert text.count("400 requests/s") == 1
    assert "\x1b[" not in text


def test_on_a_terminal_steps_pods_and_gates_are_drawn():
    text = show(terminal=True)
    for words in (
        "pause 10s 7s",
        "■■■■■■■■■",
        "error-ratio",
        "3.1 %",
        "< 1 %",
        "canary answered 40",
    ):
        assert words in text, words


@pytest.mark.parametrize("terminal", [True, False])
def test_the_verdict_ends_both(terminal):
    text = show(terminal=terminal)
    assert "Rolled back at 10 %" in text
    assert text.rstrip().endswith("out/report.html")


def test_no_colour_is_sent_where_none_is_wanted_and_no_line_is_wider_than_the_terminal(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")
    text = show(terminal=True)
    assert not re.findall(r"\x1b\[[0-9;]*3[0-7][0-9;]*m", text)
    panel = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", text.partition("Rolled back")[0])
    assert max(len(line) for line in panel.splitlines()) <= 60


def test_what_names_the_cause_stands_right_below_the_verdict(document):
    document["machine"]["cpu_seconds_total"] = 95.0
    document["evidence"] = {
        "cause": ["GET /a: 9 of 9 requests failed with 500 (stable 0 of 40)"],
        "coverage": {"known": 3, "missing": ["GET /b"]},
        "changed": ["app.py (show)"],
    }
    told = list(lines(Result.model_validate(document), Path("run/result.json"), Path("run/x.html")))
    assert told[0] == ("cause", "GET /a: 9 of 9 requests failed with 500 (stable 0 of 40)")
    assert told[1] == ("changed", "app.py (show)")
    assert told[2] == ("routes", "2 of 3 routes exercised; not exercised: GET /b")


def test_a_gates_latest_look_is_shown_with_what_stable_read():
    (gate,) = gates((FAILED,))
    assert (gate.value, gate.wanted, gate.stable, gate.phase) == (
        "3.1 %",
        "< 1 %",
        "0.04 %",
        Phase.FAILED,
    )
