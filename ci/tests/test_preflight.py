"""GitHub's settings against what the workflows need, over a server in place of GitHub's API."""

import json

import pytest
from pipeline import cli, preflight

from acceptance.pipeline.fakes.github_api import serving

PREFIX = "repo:example@1000001/gridos@2000001"


@pytest.fixture
def settings(root):
    return json.loads((root / preflight.SETTINGS).read_text())


@pytest.fixture
def documents(settings):
    """What GitHub answers where all is as it must be."""
    made = {
        "actions/oidc/customization/sub": {
            "use_default": True,
            "use_immutable_subject": True,
            "sub_claim_prefix": PREFIX,
        },
        "actions/permissions/fork-pr-contributor-approval": {
            "approval_policy": "all_external_contributors"
        },
        "actions/variables": named("variables", settings["repository"]["variables"]),
        "rulesets": [{"name": name, "enforcement": "active"} for name in preflight.RULESETS],
    }
    for name, wanted in settings["environments"].items():
        rule = {
            "type": "required_reviewers",
            "prevent_self_review": wanted["prevent_self_review"],
            "reviewers": [{"type": "Team", "reviewer": {"slug": s}} for s in wanted["reviewers"]],
        }
        where = f"environments/{name}"
        made[where] = {
            "deployment_branch_policy": {"custom_branch_policies": True},
            "protection_rules": [
                {"type": "branch_policy"},
                *([rule] if wanted["reviewers"] else []),
            ],
        }
        made[f"{where}/deployment-branch-policies"] = named("branch_policies", wanted["branches"])
        made[f"{where}/variables"] = named("variables", wanted["variables"])
        made[f"{where}/secrets"] = named("secrets", wanted["secrets"])
    return made


def named(kind, names):
    return {kind: [{"name": name} for name in names]}


@pytest.fixture
def run(root, documents, monkeypatch, capsys):
    monkeypatch.chdir(root)

    def call():
        with serving() as server:
            server.documents = documents
            monkeypatch.setenv("GITHUB_API_URL", server.url)
            monkeypatch.setenv("GITHUB_REPOSITORY", "example/gridos")
            monkeypatch.setenv("GITHUB_TOKEN", "secret")
            code = cli.main(["preflight"])
        return code, capsys.readouterr().out

    return call


def test_a_repository_that_is_set_up_passes(run):
    assert run() == (0, "GitHub is set up as the workflows need it\n")


@pytest.mark.parametrize(
    ("path", "change", "said"),
    [
        ("actions/oidc/customization/sub", {"use_immutable_subject": False}, "use_immutable_subject=true"),
        ("actions/oidc/customization/sub", {"use_default": False}, "use_default=true"),
        ("actions/oidc/customization/sub", {"sub_claim_prefix": "repo:e@1/g@2"}, "tokens say repo:e@1/g@2"),
        ("actions/permissions/fork-pr-contributor-approval", {"approval_policy": "first_time_contributors"}, "run without approval"),
        ("actions/variables", {"variables": []}, "has no variable VERDICT_APP"),
        ("environments/dev-pin", None, "no environment dev-pin"),
        ("environments/dev-pin/secrets", {"secrets": []}, "dev-pin has no secret APP_PRIVATE_KEY"),
        ("environments/dev-push/secrets", {"secrets": [{"name": "X"}]}, "a secret X that nothing reads"),
        ("environments/dev-push/variables", {"variables": []}, "dev-push has no variable REGISTRY"),
        (
            "environments/dev-plan/deployment-branch-policies",
            {"branch_policies": [{"name": "main"}, {"name": "refs/pull/*/merge"}]},
            "dev-plan lets main, refs/pull/*/merge in",
        ),
        ("environments/dev", {"deployment_branch_policy": None}, "dev lets any in"),
        ("environments/production-pin", {"protection_rules": []}, "production-pin asks nobody"),
    ],
)  # fmt: skip
def test_whatever_is_set_otherwise_is_said(run, documents, path, change, said):
    if change is None:
        del documents[path]
    else:
        documents[path] = documents[path] | change
    code, out = run()
    assert code == 1
    assert said in out


def test_who_may_approve_their_own_is_asked_too(run, documents):
    documents["environments/production-pin"]["protection_rules"][1]["prevent_self_review"] = False
    assert "production-pin: prevent_self_review is not true" in run()[1]


def test_rules_that_are_only_evaluated_are_not_in_force(run, documents):
    documents["rulesets"][0]["enforcement"] = "evaluate"
    assert "no ruleset main is in force" in run()[1]
