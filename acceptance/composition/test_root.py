"""Argo CD from an empty cluster, and the three rollback paths, on production's overlay."""

import pytest
from observe import runbooks

from acceptance.cluster import ROOT
from acceptance.composition.root import Root


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
    measured("path 3, the sync paused, undo", f"{root.undo(to=1):.1f} s")
    assert not root.syncs_itself(), "the root Application took the rollback's pause back"
    root.resume_sync()
    assert root.differences() == []

    said, ended = root.ship_by_hand(5)
    measured("a commit, synced by the program argocd while the sync is paused: promoted", ended)
    assert 'release: "5"' in said
    assert ended.phase == "Healthy"
    assert root.syncs_itself()
    assert root.differences() == []

    assert "gridos" in root.watched()
    typed = runbooks.listed((ROOT / "docs/runbooks/commands.md").read_text("utf-8"), runbooks.TYPED)
    assert list(root.refused(typed)) == []
    measured("commands of the runbooks that a person types", f"{len(typed)} ended well")
