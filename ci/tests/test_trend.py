"""The trend of a benchmark: what a night measured is kept beside the nights before."""

import pytest
from pipeline import cli, trend
from pipeline.errors import PipelineError

TABLE = """\
| what | goal | measured |
|---|---|---|
| ours ÷ bare, requests/s | ≥ 0.95 | 0.951 (0.94…0.96), 812/s |
| /metrics | ≤ 0.5 ms | 0.31 ms; 20 × |
| instructions |  | valgrind is not there |
"""
COMMIT = "ab" * 20


def test_each_figure_is_kept_by_its_first_number():
    table = trend.show(trend.add("", TABLE, "2026-11-24", COMMIT))
    assert "| ours ÷ bare, requests/s | 0.951 |" in table
    assert "| /metrics | 0.31 |" in table
    assert "instructions" not in table
    assert "2026-11-24 `abababa`" in table


def test_a_figure_that_is_new_or_gone_leaves_a_dash():
    history = trend.add("", TABLE, "2026-11-23", COMMIT)
    history = trend.add(history, "| other |  | 7 ms |", "2026-11-24", COMMIT)
    assert "| /metrics | 0.31 | – |" in trend.show(history)
    assert "| other | – | 7 |" in trend.show(history)


def test_a_night_that_runs_again_replaces_itself():
    history = trend.add("", TABLE, "2026-11-24", COMMIT)
    history = trend.add(history, TABLE.replace("0.951", "0.90"), "2026-11-24", COMMIT)
    assert len(history.splitlines()) == 1
    assert "0.90" in trend.show(history)


def test_the_last_fortnight_is_shown_and_everything_is_kept():
    history = ""
    for day in range(1, 21):
        history = trend.add(history, TABLE, f"2026-11-{day:02}", COMMIT)
    assert len(history.splitlines()) == 20
    assert "2026-11-06" not in trend.show(history)
    assert "2026-11-07" in trend.show(history)


def test_a_benchmark_that_measured_nothing_is_refused():
    with pytest.raises(PipelineError, match="measured nothing"):
        trend.add("", "| what | goal | measured |\n|---|---|---|\n", "2026-11-24", COMMIT)


@pytest.mark.parametrize("history", ["no JSON\n", "[]\n", '{"day": "2026-11-24"}\n'])
def test_a_broken_history_is_said_to_be_none(history):
    with pytest.raises(PipelineError, match="not the history"):
        trend.show(history)


def test_the_program_begins_a_history_and_prints_it(tmp_path, capsys):
    table, history = tmp_path / "bench.md", tmp_path / "trend/history.jsonl"
    table.write_text(TABLE)
    command = ["trend", str(table), "--history", str(history), "--commit", COMMIT]
    assert cli.main(command) == 0
    assert "| /metrics | 0.31 |" in capsys.readouterr().out
    assert len(history.read_text().splitlines()) == 1
