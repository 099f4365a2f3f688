"""The overlay update, on a real remote."""

import subprocess
import threading

import pytest
from pipeline import kustomization, overlay
from pipeline.errors import RefusedError
from pipeline.overlay import Action, Request
from pipeline.releases import Release
from pipeline.repository import Push, Repository


def quickly(_: float) -> None:
    """Sleeps not at all."""


def release(world, index, clone=0, **options):
    request = Request("staging", world.release(index), **options)
    return overlay.update(Repository(world.clones[clone]), request, sleep=quickly)


def pinned(world):
    return kustomization.read(world.text(world.head()))


def test_a_release_becomes_one_commit_of_two_lines_that_says_what_it_was_built_from(world, proof):
    before = world.head()
    outcome = release(world, 0)
    assert outcome.action is Action.RELEASED
    assert outcome.commit == world.head()
    remote = world.folder / "remote.git"
    assert proof.git(remote, "rev-list", "--count", f"{before}..main") == "1"
    assert proof.git(remote, "show", "--numstat", "--format=", "main").split()[:2] == ["2", "2"]
    message = proof.git(remote, "show", "-s", "--format=%B", "main")
    assert f"Release-Source: {world.sources[0]}" in message
    assert pinned(world).digest == world.release(0).digest
    assert pinned(world).tag == f"1.0.0-g{world.sources[0][:12]}"


def test_the_same_release_again_commits_nothing(world):
    first = release(world, 0)
    again = release(world, 0, clone=1)
    assert again.action is Action.ALREADY
    assert again.commit == first.commit == world.head()


def test_an_older_release_that_comes_late_gives_way_to_the_newer(world):
    newer = release(world, 2)
    late = release(world, 1, clone=1)
    assert late == overlay.Outcome(Action.SUPERSEDED, newer.commit)
    assert pinned(world).digest == world.release(2).digest


def test_a_reverted_release_does_not_come_back_when_its_job_is_run_again(world, proof):
    release(world, 0)
    bad = release(world, 1)
    proof.git(world.person, "pull", "--quiet", "origin", "main")
    proof.git(world.person, "revert", "--no-edit", bad.commit)
    proof.git(world.person, "push", "--quiet", "origin", "HEAD:main")
    assert release(world, 1).action is Action.ALREADY
    assert release(world, 0).action is Action.ALREADY
    assert pinned(world).digest == world.release(0).digest


def test_a_newer_release_goes_over_a_revert(world, proof):
    bad = release(world, 0)
    proof.git(world.person, "pull", "--quiet", "origin", "main")
    proof.git(world.person, "revert", "--no-edit", bad.commit)
    proof.git(world.person, "push", "--quiet", "origin", "HEAD:main")
    assert release(world, 2).action is Action.RELEASED
    assert pinned(world).digest == world.release(2).digest


def test_what_somebody_else_wrote_into_the_same_file_meanwhile_stays(world, proof):
    file = world.person / proof.FILE
    file.write_text("# by hand\n" + file.read_text().replace("count: 4", "count: 9 # more"))
    proof.git(world.person, "commit", "--quiet", "-am", "By hand")
    proof.git(world.person, "push", "--quiet", "origin", "HEAD:main")
    release(world, 0)
    text = world.text(world.head())
    assert text.startswith("# by hand\n")
    assert text.endswith("count: 9 # more")


def test_a_push_that_loses_a_race_is_made_anew_on_what_won(world, proof):
    class Overtaken(Repository):
        """Somebody else's push always comes first, twice."""

        left = 2

        def push(self, commit, branch):
            if self.left:
                self.left -= 1
                world.merge(1)
            return super().push(commit, branch)

    outcome = overlay.update(
        Overtaken(world.clones[0]), Request("staging", world.release(0)), sleep=quickly
    )
    assert outcome.action is Action.RELEASED
    assert outcome.commit == world.head()
    assert len(world.sources) == 5
    assert (
        proof.git(world.folder / "remote.git", "merge-base", world.sources[-1], "main")
        == world.sources[-1]
    )


def test_two_clones_that_release_at_once_both_arrive_or_give_way(world):
    outcomes = {}

    def act(index):
        outcomes[index] = overlay.update(
            Repository(world.clones[index - 1]), Request("staging", world.release(index))
        )

    threads = [threading.Thread(target=act, args=(index,)) for index in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes[2].action is Action.RELEASED
    assert outcomes[1].action in {Action.RELEASED, Action.SUPERSEDED}
    assert pinned(world).digest == world.release(2).digest


def test_a_push_that_arrived_although_the_answer_was_lost_is_found_and_not_repeated(world):
    class Deaf(Repository):
        """Hears nothing of a push that went through."""

        def push(self, commit, branch):
            done = super().push(commit, branch)
            return type(done)(arrived=False, reason="connection lost")

    outcome = overlay.update(
        Deaf(world.clones[0]), Request("staging", world.release(0)), sleep=quickly
    )
    assert outcome == overlay.Outcome(Action.ALREADY, world.head())


def test_a_remote_that_refuses_by_a_rule_is_reported_with_its_words(world):
    hook = world.folder / "remote.git/hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho 'changes come by pull request' >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(RefusedError, match="changes come by pull request"):
        release(world, 0)


def test_an_image_that_was_built_twice_from_one_commit_is_refused(world):
    release(world, 0)
    again = Release("1.0.0", world.sources[0], "sha256:" + "f" * 64)
    with pytest.raises(RefusedError, match="built once"):
        overlay.update(Repository(world.clones[0]), Request("staging", again), sleep=quickly)


def test_a_commit_that_is_not_on_main_is_refused(world):
    stray = Release("1.0.0", "0123456789" * 4, "sha256:" + "a" * 64)
    with pytest.raises(RefusedError, match="is not on main"):
        overlay.update(Repository(world.clones[0]), Request("staging", stray), sleep=quickly)


def test_a_promotion_takes_only_what_the_environment_before_runs_now(world, proof):
    production = world.person / overlay.path("production")
    production.parent.mkdir(parents=True)
    production.write_text(proof.START.format(zeros="0" * 64))
    proof.git(world.person, "add", ".")
    proof.git(world.person, "commit", "--quiet", "-m", "Production")
    proof.git(world.person, "push", "--quiet", "origin", "HEAD:main")
    release(world, 0)
    repository = Repository(world.clones[0])
    other = Request("production", world.release(1), after="staging")
    with pytest.raises(RefusedError, match="takes only what staging runs"):
        overlay.update(repository, other, sleep=quickly)
    candidate = overlay.promotable(repository, "staging")
    assert candidate == world.release(0)
    same = Request("production", candidate, after="staging")
    assert overlay.update(repository, same, sleep=quickly).action is Action.RELEASED


def test_what_no_release_put_into_an_overlay_is_not_promotable(world):
    with pytest.raises(RefusedError, match="which no release put there"):
        overlay.promotable(Repository(world.clones[0]), "staging")


def test_a_shallow_clone_learns_the_history_it_needs(world, proof, tmp_path):
    release(world, 2)
    shallow = tmp_path / "shallow"
    proof.git(
        tmp_path, "clone", "--quiet", "--depth=1", f"file://{world.folder}/remote.git", str(shallow)
    )
    outcome = overlay.update(
        Repository(shallow), Request("staging", world.release(1)), sleep=quickly
    )
    assert outcome.action is Action.SUPERSEDED


def test_the_checkout_of_the_one_who_releases_is_left_as_it_was(world, proof):
    clone = world.clones[0]
    (clone / "notes.txt").write_text("half done\n")
    proof.git(clone, "add", "notes.txt")
    release(world, 0)
    assert proof.git(clone, "status", "--porcelain") == "A  notes.txt"


def test_a_token_is_given_to_git_by_environment_and_kept_nowhere(world):
    seen = {}

    class Spying(Repository):
        def _try(self, *arguments, **options):
            seen.setdefault("arguments", []).extend(arguments)
            return super()._try(*arguments, **options)

    Spying(world.clones[0], token="app-token").fetch("main")
    assert not any("app-token" in argument for argument in seen["arguments"])
    assert "extraheader" not in (world.clones[0] / ".git/config").read_text()


def test_interleavings_hold(proof, capsys):
    """A few here; `make prove-pipeline` plays a thousand."""
    assert proof.main(["--rounds", "4", "--seed", "7"]) == 0
    assert "held" in capsys.readouterr().out


def test_the_proof_notices_an_update_that_pushes_by_force(proof, monkeypatch, capsys):
    def forced(self, commit, branch):
        self._git("push", "--quiet", "--force", "origin", f"{commit}:refs/heads/{branch}")
        return Push(arrived=True)

    monkeypatch.setattr(Repository, "push", forced)
    assert proof.main(["--rounds", "25", "--seed", "1"]) == 1
    assert "is lost from main" in capsys.readouterr().out


def test_the_program_says_what_it_did_and_refuses_half_a_commit_id(world, root):
    def run(source):
        return subprocess.run(
            [
                root / "ci/run-pipeline",
                "overlay",
                "--environment",
                "staging",
                "--version",
                "1.0.0",
                "--digest",
                world.release(0).digest,
                "--source",
                source,
            ],
            cwd=world.clones[0],
            capture_output=True,
            text=True,
            check=False,
        )

    assert "staging: released" in run(world.sources[0]).stdout
    half = run(world.sources[0][:12])
    assert half.returncode == 2
    assert "is not a whole commit id" in half.stderr
