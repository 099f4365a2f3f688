"""The pins: which release an environment runs, on a real remote."""

import subprocess
import threading

import pytest
from pipeline import kustomization, overlay
from pipeline.errors import RefusedError
from pipeline.overlay import Action
from pipeline.releases import Release
from pipeline.repository import Repository


def quickly(_: float) -> None:
    """Sleeps not at all."""


class Verdicts(dict):
    """What Argo CD reported, by commit; of whatever it reported nothing it promoted."""

    def __call__(self, commit, environment):
        return self.get(commit, self.get(environment, "success"))


def release(world, made, clone=0, environment="dev", verdict=None, kind=Repository):
    made = world.release(made) if isinstance(made, int) else made
    repository, verdict = kind(world.clones[clone]), verdict or Verdicts()
    return overlay.update(repository, environment, made, verdict, sleep=quickly)


def roll_back(world, verdict=None, wanted="", clone=1):
    repository = Repository(world.clones[clone])
    now, to = overlay.destination(repository, "dev", verdict or Verdicts(), wanted)
    return overlay.roll_back(repository, "dev", now.commit, to.commit, sleep=quickly)


def pinned(world):
    return kustomization.read(world.text(world.head()))


def on_main(world, proof):
    return proof.git(world.folder / "remote.git", "rev-parse", "main")


def test_a_release_becomes_one_commit_that_says_what_it_was_built_from(world, proof):
    main = on_main(world, proof)
    outcome = release(world, 0)
    assert outcome == overlay.Outcome(Action.RELEASED, world.head())
    remote = world.folder / "remote.git"
    assert proof.git(remote, "rev-list", "--count", outcome.commit) == "1"
    message = proof.git(remote, "show", "-s", "--format=%B", outcome.commit)
    assert f"Release-Source: {world.sources[0]}" in message
    assert pinned(world).digest == world.release(0).digest
    assert pinned(world).tag == f"1.0.0-g{world.sources[0][:12]}"
    assert on_main(world, proof) == main


def test_what_runs_are_the_manifests_of_the_commit_but_for_the_two_lines_of_the_pin(world, proof):
    outcome = release(world, 1)
    remote = world.folder / "remote.git"
    differs = proof.git(
        remote, "diff", "--numstat", world.sources[1], outcome.commit, "--", "deploy"
    )
    assert differs.split() == ["2", "2", proof.FILE]


def test_a_pin_has_no_file_outside_of_the_manifests_and_so_no_workflow(world, proof):
    outcome = release(world, 1)
    remote = world.folder / "remote.git"
    assert proof.git(remote, "ls-tree", "-r", "--name-only", outcome.commit) == proof.FILE
    assert "service.txt" in proof.git(remote, "ls-tree", "--name-only", world.sources[1])


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


def test_a_rollback_brings_back_the_release_before_with_its_manifests(world, proof):
    before = release(world, 0)
    release(world, 1)
    outcome = roll_back(world)
    assert outcome == overlay.Outcome(Action.ROLLED_BACK, world.head())
    remote = world.folder / "remote.git"
    assert proof.git(remote, "diff", before.commit, outcome.commit) == ""
    assert pinned(world).digest == world.release(0).digest


def test_a_release_that_was_rolled_back_does_not_come_back_when_its_job_is_run_again(world):
    release(world, 0)
    release(world, 1)
    roll_back(world)
    assert release(world, 1).action is Action.ALREADY
    assert release(world, 0).action is Action.ALREADY
    assert pinned(world).digest == world.release(0).digest


def test_a_newer_release_goes_over_a_rollback(world):
    release(world, 0)
    release(world, 1)
    roll_back(world)
    assert release(world, 2).action is Action.RELEASED
    assert pinned(world).digest == world.release(2).digest


def test_a_rollback_passes_over_what_was_never_promoted(world):
    release(world, 0)
    aborted = release(world, 1)
    release(world, 2)
    roll_back(world, Verdicts({aborted.commit: "failure"}))
    assert pinned(world).digest == world.release(0).digest


def test_a_second_rollback_goes_farther_back_and_not_to_what_the_first_left(world):
    for index in range(3):
        release(world, index)
    roll_back(world)
    roll_back(world)
    assert pinned(world).digest == world.release(0).digest
    with pytest.raises(RefusedError, match="has not promoted a release before"):
        roll_back(world)


def test_a_rollback_to_a_revision_that_is_named_goes_there(world):
    for index in range(3):
        release(world, index)
    roll_back(world, wanted=world.release(0).tag)
    assert pinned(world).digest == world.release(0).digest
    roll_back(world, wanted=world.sources[1][:10])
    assert pinned(world).digest == world.release(1).digest


def test_a_rollback_that_was_approved_for_another_release_is_refused(world):
    release(world, 0)
    release(world, 1)
    repository = Repository(world.clones[1])
    now, to = overlay.destination(repository, "dev", Verdicts())
    release(world, 2)
    with pytest.raises(RefusedError, match="look again"):
        overlay.roll_back(repository, "dev", now.commit, to.commit, sleep=quickly)
    assert pinned(world).digest == world.release(2).digest


def test_a_rollback_that_somebody_else_has_made_is_not_made_twice(world):
    release(world, 0)
    release(world, 1)
    repository = Repository(world.clones[1])
    now, to = overlay.destination(repository, "dev", Verdicts())
    made = roll_back(world, clone=0)
    again = overlay.roll_back(repository, "dev", now.commit, to.commit, sleep=quickly)
    assert again == overlay.Outcome(Action.ALREADY, made.commit)


def test_a_commit_that_the_environment_never_ran_is_not_gone_back_to(world):
    now = release(world, 0)
    with pytest.raises(RefusedError, match="is not a release of dev"):
        overlay.roll_back(
            Repository(world.clones[0]), "dev", now.commit, world.sources[1], sleep=quickly
        )


def test_a_push_that_loses_a_race_is_made_anew_on_what_won(world, proof):
    class Overtaken(Repository):
        """Somebody else's push always comes first, twice."""

        left = 2

        def push(self, commit, branch):
            if self.left:
                self.left -= 1
                release(world, 1 - self.left, clone=1)
            return super().push(commit, branch)

    outcome = release(world, 2, kind=Overtaken)
    assert outcome == overlay.Outcome(Action.RELEASED, world.head())
    assert proof.git(world.folder / "remote.git", "rev-list", "--count", outcome.commit) == "3"


def test_two_clones_that_release_at_once_both_arrive_or_give_way(world):
    outcomes = {}

    def act(index):
        outcomes[index] = overlay.update(
            Repository(world.clones[index - 1]), "dev", world.release(index), Verdicts()
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
            super().push(commit, branch)
            return "connection lost"

    outcome = release(world, 0, kind=Deaf)
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
        release(world, again)


def test_a_commit_that_is_not_on_main_is_refused(world):
    stray = Release("1.0.0", "0123456789" * 4, "sha256:" + "a" * 64)
    with pytest.raises(RefusedError, match="is not on main"):
        release(world, stray)


@pytest.fixture
def staged(world, proof):
    """The world with a staging too."""
    file = world.person / overlay.path("staging")
    file.parent.mkdir(parents=True)
    file.write_text(proof.START)
    world.merge(3)
    return world


def test_a_stage_takes_only_what_the_stage_before_runs(staged):
    release(staged, 3)
    release(staged, 4)
    with pytest.raises(RefusedError, match="takes only what dev runs"):
        release(staged, 3, environment="staging")
    offered = overlay.candidate(Repository(staged.clones[0]), "staging", Verdicts())
    assert offered.release == staged.release(4)
    assert release(staged, 4, environment="staging").action is Action.RELEASED


@pytest.mark.parametrize(
    ("state", "said"), [("", "nothing"), ("pending", "pending"), ("failure", "failure")]
)
def test_a_stage_takes_nothing_that_the_stage_before_has_not_promoted(staged, state, said):
    release(staged, 3)
    verdict = Verdicts({"dev": state})
    with pytest.raises(RefusedError, match=f"dev has not promoted .* reported {said}"):
        release(staged, 3, environment="staging", verdict=verdict)
    with pytest.raises(RefusedError, match="dev has not promoted"):
        overlay.candidate(Repository(staged.clones[0]), "staging", verdict)


def test_before_the_first_release_there_is_nothing_to_take(world):
    with pytest.raises(RefusedError, match="nothing was released to dev yet"):
        overlay.candidate(Repository(world.clones[0]), "staging", Verdicts())
    with pytest.raises(RefusedError, match="dev is the first stage"):
        overlay.candidate(Repository(world.clones[0]), "dev", Verdicts())


def test_a_shallow_clone_learns_the_history_it_needs(world, proof, tmp_path):
    release(world, 2)
    shallow = tmp_path / "shallow"
    proof.git(
        tmp_path, "clone", "--quiet", "--depth=1", f"file://{world.folder}/remote.git", str(shallow)
    )
    late = world.release(1)
    outcome = overlay.update(Repository(shallow), "dev", late, Verdicts(), sleep=quickly)
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


def test_interleavings_hold(proof, tmp_path):
    """A few here; `make accept-pipeline` plays a thousand."""
    wrong, _ = proof.play_all(tmp_path, range(7, 11))
    assert wrong == []


def test_the_judge_notices_an_update_that_pushes_by_force(proof, monkeypatch, tmp_path):
    def forced(self, commit, branch):
        self.git("push", "--quiet", "--force", "origin", f"{commit}:refs/heads/{branch}")
        return ""

    monkeypatch.setattr(Repository, "push", forced)
    wrong, _ = proof.play_all(tmp_path, range(1, 26))
    assert "is lost from environments/dev" in str(wrong)


def test_the_program_says_what_it_did_and_refuses_half_a_commit_id(world, root):
    def run(source):
        digest = world.release(0).digest
        return subprocess.run(
            [root / "ci/run-pipeline", "pin", "--environment", "dev", "--version", "1.0.0", "--digest", digest, "--source", source],
            cwd=world.clones[0], capture_output=True, text=True, check=False,
        )  # fmt: skip

    assert "dev: released" in run(world.sources[0]).stdout
    half = run(world.sources[0][:12])
    assert half.returncode == 2
    assert "is not a whole commit id" in half.stderr
