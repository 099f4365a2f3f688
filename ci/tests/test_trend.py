"""The trend of a benchmark: what a night measured is kept beside the nights before."""

import subprocess

import pytest

TABLE = """\
| what | goal | measured |
|---|---|---|
| ours ÷ bare, requests/s | ≥ 0.95 | 0.951 (0.94…0.96), 812/s |
| /metrics | ≤ 0.5 ms | 0.31 ms; 20 × |
| instructions |  | valgrind is not there |
"""
COMMIT = "ab" * 20


@pytest.fixture
def history(tmp_path):
    return tmp_path / "trend/history.jsonl"


@pytest.fixture
def add(root, tmp_path, history):
    """Adds a night by the program, and returns the table that it shows."""

    def run(text, *day, refused=False):
        table = tmp_path / "bench.md"
        table.write_text(text)
        done = subprocess.run(
            [root / "ci/trend", table, history, COMMIT, *day],
            capture_output=True, text=True, check=not refused,
        )  # fmt: skip
        return done if refused else done.stdout

    return run


def test_each_figure_is_kept_by_its_first_number(add):
    table = add(TABLE, "2026-11-24")
    assert "| ours ÷ bare, requests/s | 0.951 |" in table
    assert "| /metrics | 0.31 |" in table
    assert "instructions" not in table
    assert "2026-11-24 `abababa`" in table


def test_a_figure_that_is_new_or_gone_leaves_a_dash(add):
    add(TABLE, "2026-11-23")
    table = add("| other |  | 7 ms |\n", "2026-11-24")
    assert "| /metrics | 0.31 | – |" in table
    assert "| other | – | 7 |" in table


def test_a_night_that_runs_again_replaces_itself(add, history):
    add(TABLE, "2026-11-24")
    table = add(TABLE.replace("0.951", "0.90"), "2026-11-24")
    assert len(history.read_text().splitlines()) == 1
    assert "0.90" in table


def test_the_last_fortnight_is_shown_and_everything_is_kept(add, history):
    for day in range(1, 17):
        table = add(TABLE, f"2026-11-{day:02}")
    assert len(history.read_text().splitlines()) == 16
    assert "2026-11-02" not in table
    assert "2026-11-03" in table


def test_a_benchmark_that_measured_nothing_is_refused(add):
    done = add("| what | goal | measured |\n|---|---|---|\n", refused=True)
    assert done.returncode == 2
    assert "measured nothing" in done.stderr


@pytest.mark.parametrize("broken", ["no JSON\n", "[]\n", '{"day": "2026-11-24"}\n'])
def test_a_broken_history_is_said_to_be_none(add, history, broken):
    history.parent.mkdir()
    history.write_text(broken)
    done = add(TABLE, refused=True)
    assert done.returncode == 2
    assert "is not the history" in done.stderr
    assert history.read_text() == broken
