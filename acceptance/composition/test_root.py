"""Argo CD from an empty cluster, and the three rollback paths, on production's overlay."""

import pytest
from observe import runbooks

from acceptance.cluster import ROOT
from acceptance.composition.root import PAUSES, Root


@pytest.mark.cluster
def test_the_root_application_makes_production_and_each_rollback_path_leads_back(
    empty_cluster, tmp_path, measured
):
    root = Root(empty_cluster, tmp_path)
    measured("everything from empty, synced and healthy", f"{root.make():.0f} s")
    assert root.differences() == []

    ended = root.ship(1)
    measured("a healthy commit: promoted", ended)
    assert ended.phase == "Healthy"

    ended = root.ship(2, at_half=lambda: root.lose_database(lost=True))
    measured("path 1, an alert begins at the 50 % step: aborted", ended)
    assert ended.phase == "Degraded"
    root.lose_database(lost=False)
    root.await_alert(firing=False)
    measured("and its commit is reverted", f"{root.revert(to=1):.1f} s")

    assert root.ship(3).phase == "Healthy"
    measured("path 2, a promoted commit is reverted", f"{root.revert(to=1):.1f} s")

    assert root.ship(4).phase == "Healthy"
    _undone(root, measured, PAUSES[0], to=1)

    # From here on the first release lies outside the rollback window, so that a return to it
    # would run the steps.
    assert root.ship(5).phase == "Healthy"
    assert root.ship(6).phase == "Healthy"
    _undone(root, measured, PAUSES[1], to=5)

    assert root.ship(7).phase == "Healthy"
    measured("path 2, and `argocd app sync`", f"{root.revert(to=5, by_hand=True):.1f} s")

    said, ended = root.ship_by_hand(8)
    measured("a commit, synced by the program argocd while the sync is paused: promoted", ended)
    assert 'release: "8"' in said
    assert ended.phase == "Healthy"
    assert root.syncs_itself()
    assert root.differences() == []

    assert "gridos" in root.watched()
    typed = runbooks.listed((ROOT / "docs/runbooks/commands.md").read_text("utf-8"), runbooks.TYPED)
    assert list(root.refused(typed)) == []
    measured("commands of the runbooks that a person types", f"{len(typed)} ended well")


def _undone(root, measured, pause, to):
    """Path 3, and Git after it."""
    measured(f"path 3, paused by {pause.split()[0]}", f"{root.undo(to=to, pause=pause):.1f} s")
    assert not root.syncs_itself(), "the root Application ended the rollback's pause"
    root.resume_sync()
    assert root.differences() == []
