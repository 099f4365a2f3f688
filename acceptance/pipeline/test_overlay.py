"""A thousand random interleavings of concurrent overlay updates: nothing lost, undone or doubled."""

import pytest

from acceptance.pipeline.overlay import play_all


@pytest.mark.parametrize(("rounds", "free"), [(1000, False), (100, True)], ids=["steps", "clock"])
def test_no_interleaving_of_updates_loses_undoes_or_doubles_anything(
    tmp_path, measured, times, seed, rounds, free
):
    wrong, seen = play_all(tmp_path, range(seed, seed + times(rounds)), free=free)
    for what, count in sorted(seen.items()):
        measured(what, count)
    assert wrong == []
