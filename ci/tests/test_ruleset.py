"""The rules of main: the App's id is filled in, and nobody else goes past them."""

import json

import pytest
from pipeline import cli, ruleset
from pipeline.errors import PipelineError, RefusedError


@pytest.fixture(scope="module")
def text(root):
    return (root / ".github/rulesets/main.json").read_text()


def test_the_apps_id_is_filled_in_and_nothing_else_is_changed(text):
    filled = json.loads(ruleset.fill(text, 4711))
    assert filled["bypass_actors"][0].pop("actor_id") == 4711
    given = json.loads(text)
    assert given["bypass_actors"][0].pop("actor_id") == ruleset.UNKNOWN
    assert filled == given


@pytest.mark.parametrize("app_id", [0, -1])
def test_an_id_that_can_be_nobodys_is_refused(text, app_id):
    with pytest.raises(PipelineError, match="no App's id"):
        ruleset.fill(text, app_id)


@pytest.mark.parametrize(
    "actor",
    [
        {"actor_id": 5, "actor_type": "RepositoryRole", "bypass_mode": "always"},
        {"actor_id": 0, "actor_type": "Integration", "bypass_mode": "always"},
        {"actor_id": 12, "actor_type": "Integration", "bypass_mode": "always"},
    ],
)
def test_whoever_else_may_go_past_the_rules_is_named(text, actor):
    wide = json.loads(text)
    wide["bypass_actors"].append(actor)
    with pytest.raises(RefusedError, match="past the rules"):
        ruleset.fill(json.dumps(wide), 4711)


@pytest.mark.parametrize("broken", ["", "[]", '{"target": "tag"}'])
def test_what_is_no_ruleset_is_said_to_be_none(broken):
    with pytest.raises(PipelineError, match="the ruleset is"):
        ruleset.fill(broken, 4711)


def test_the_program_prints_what_github_is_given(root, monkeypatch, capsys):
    monkeypatch.chdir(root)
    assert cli.main(["ruleset", "--app-id", "4711"]) == 0
    assert '"actor_id": 4711' in capsys.readouterr().out
