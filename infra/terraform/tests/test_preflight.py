"""The steps from an empty subscription, and the script that says which comes next.

Azure and GitHub are answers in a table here. That az knows what it is asked, by the names and options
that the script and the documents use, is asked of the real az: scripts/linters.py.
"""

import re
import subprocess

import preflight
import pytest
import steps
import workspace
import yaml

ROOT = workspace.SOURCE.parent.parent
ITS = steps.names("production")
REPOSITORY = "owner/gridos"
CHECKS = list(steps.checks(ITS, ["gridos-api-keys"], REPOSITORY))

# What Azure and GitHub say when everything is there, where it is not just any answer.
SAID = {
    "redirectUris": steps.SIGNED_IN,
    "groupMembershipClaims": "SecurityGroup",
    "account show": "subscription",
    "feature show": "Registered",
    "label list": "terraform-destroys",
    "storage blob exists": "true",
    "oidc/customization/sub": "true",
    "aks show": "Succeeded",
    "application-gateway show": "Running",
    "flexible-server show": "Ready",
    "keyvault show": "Disabled",
    "virtualNetworkRules": f"/x/vnet-{ITS.stem}/subnets/snet-runners",
    "ipRules": "",
    "public-ip show": "192.0.2.1",
}


def answered(said=(), stderr="", returncode=0):
    """Everything is there, but what `said` answers otherwise, by a part of the command."""
    of_others = {part: (0, answer, "") for part, answer in SAID.items()}
    table = of_others | {part: (returncode, answer, stderr) for part, answer in dict(said).items()}

    def ask(command):
        line = " ".join(command)
        answer = next((answer for part, answer in table.items() if part in line), (0, "yes", ""))
        return subprocess.CompletedProcess(command, *answer)

    return ask


@pytest.fixture(autouse=True)
def signed_in(monkeypatch):
    monkeypatch.setenv("ARM_SUBSCRIPTION_ID", "subscription")
    monkeypatch.setattr(steps, "_address", lambda _: "192.0.2.1")


def examined(ask):
    return preflight.examine_all([], CHECKS, ask)


def last_line(found):
    return next(line for line in preflight.report(ITS, found) if line.startswith("production: "))


def test_the_page_has_the_same_steps_in_the_same_order():
    text = (workspace.SOURCE.parents[1] / "docs/azure.md").read_text()
    section = text.partition("## From an empty subscription")[2].partition("\n### ")[0]
    written = re.findall(r"^(\d+)\. \*\*([^*]+?)\.?\*\*", section, re.MULTILINE)

    assert {int(number): title for number, title in written} == steps.STEPS
    assert [int(number) for number, _ in written] == list(range(1, len(written) + 1))


def test_people_come_back_from_entra_to_the_address_that_argo_cd_has():
    values = yaml.safe_load((workspace.SOURCE / "gitops/argo-cd-values.yaml").read_text())
    page = (workspace.SOURCE.parents[1] / "docs/azure.md").read_text()

    assert values["configs"]["cm"]["url"] + "/auth/callback" == steps.SIGNED_IN
    assert f"--public-client-redirect-uris {steps.SIGNED_IN}" in page


def test_each_step_brings_something_that_can_be_looked_at():
    from_files = {finding.check.step for finding in preflight.files(ITS, ROOT)}

    assert {check.step for check in CHECKS} | from_files == steps.STEPS.keys()


def test_where_everything_is_there_it_is_said():
    assert last_line(examined(answered())) == "production: everything is there"


@pytest.mark.parametrize(
    ("said", "step"),
    [
        ({"account show": "another"}, 1),
        ({"redirectUris": "https://localhost:8080"}, 3),
        ({"groupMembershipClaims": ""}, 3),
        ({"feature show": "Registering"}, 4),
        ({"storage blob exists": "false"}, 5),
        ({"oidc/customization/sub": "false"}, 6),
        ({"aks show": "Creating"}, 8),
        ({"keyvault show": "Enabled"}, 10),
        ({"virtualNetworkRules": ""}, 11),
        ({"public-ip show": "192.0.2.9"}, 12),
        ({"run list": ""}, 14),
        ({"ipRules": "203.0.113.7"}, 15),
    ],
)
def test_what_is_not_as_it_should_be_is_the_next_step(said, step):
    found = examined(answered(said))

    assert f"next, step {step} of" in last_line(found)
    assert found[-1].check.step == step


@pytest.mark.parametrize(
    ("part", "said", "step"),
    [
        ("ad group show", "Resource 'x' does not exist or one of its queried objects", 3),
        ("secrets/gridos-api-keys", "(SecretNotFound) A secret was not found in this vault", 9),
        ("variable get", "variable REGISTRY was not found", 6),
        ("containerapp job show", "The Resource 'Microsoft.App/jobs/x' was not found.", 10),
    ],
)
def test_what_azure_or_github_does_not_find_is_missing(part, said, step):
    found = examined(answered({part: ""}, stderr=f"ERROR: {said}", returncode=3))

    assert found[-1].check.step == step
    assert "missing" in {finding.state for finding in found}


def test_a_program_that_is_not_installed_is_named_and_says_nothing_of_what_is_missing():
    def ask(command):
        raise FileNotFoundError(2, "No such file or directory", command[0])

    found = {(finding.state, finding.reason) for finding in examined(ask)}
    assert found == {("unseen", "az is not installed"), ("unseen", "gh is not installed")}


def test_what_may_not_be_looked_at_is_not_taken_for_missing():
    said = "ERROR: (AuthorizationFailed) The client does not have authorization"

    found = examined(answered({"aks show": ""}, stderr=said, returncode=1))

    (unseen,) = (finding for finding in found if finding.state != "there")
    assert (unseen.state, unseen.reason) == ("unseen", said)


def test_nothing_is_looked_at_beyond_the_first_step_that_is_not_done():
    """What rests on it would only be missing too."""
    asked = []

    def ask(command):
        asked.append(command)
        return answered({"feature show": "Registering"})(command)

    examined(ask)

    assert {check.step for check in CHECKS if check.command in asked} <= {1, 3, 4}


def test_names_that_are_still_the_examples_are_found(tmp_path):
    findings = [f for f in preflight.files(ITS, ROOT) if f.state == "missing"]
    by_step = {finding.check.step for finding in findings}

    # This repository's own are examples.
    assert {2, 7, 13} <= by_step
    assert any("bootstrap/gridos.tfvars" in finding.reason for finding in findings)


def test_names_of_ones_own_are_none(tmp_path):
    path = tmp_path / "own.tfvars"
    path.write_text('owner = "grid" # not example\nid = "7d1f0a86-2f0e-4a57-9f7f-1c0f0d1d2e3f"\n')

    (finding,) = preflight.examples(2, path, tmp_path)

    assert finding.state == "there"


def test_an_unknown_environment_is_unusable_input(capsys):
    assert preflight.main(["moon"]) == 2
    assert "there are dev, production, staging" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (answered({"account show": "another"}), 1),
        (answered({"account show": ""}, stderr="ERROR: no network", returncode=1), 3),
    ],
)
def test_the_exit_code_tells_missing_from_unseen(ask, code, monkeypatch):
    monkeypatch.setattr(preflight, "files", lambda *_: [])

    assert preflight.main(["production"], ask) == code


def test_nothing_that_is_asked_changes_anything():
    verbs = {"show", "list", "exists", "get", "token"}

    for check in CHECKS:
        words = [word for word in check.command if not word.startswith("-")]
        if check.command[:2] in {("az", "rest"), ("gh", "api")}:
            assert check.command[2:4] == ("--method", "get")
        else:
            assert verbs & set(words[1:5]), check.command


def test_the_runner_image_has_every_program_that_is_called_inside():
    """By the scripts that run there: in a job of the workflows, or as the container's own."""
    image = (workspace.SOURCE / "runners/Dockerfile").read_text()
    scripts = ["ci/terraform", "ci/may-destroy", "infra/terraform/scripts/create_role"]
    scripts += ["infra/terraform/runners/register", "infra/terraform/certificate/renew"]
    called = {
        program
        for script in scripts
        for program in re.findall(
            r"\b(az|certbot|curl|gh|git|jq|openssl|psql|python3)(?= )",
            re.sub(r"#.*", "", (ROOT / script).read_text()),
        )
    }

    installed = {"az", "certbot"} | set(
        re.findall(r"[\w-]+", image.partition("--no-install-recommends")[2].partition("&&")[0])
    )
    assert "postgresql-client-16" in installed
    assert "python3-venv" in installed
    assert called <= installed | {"psql", "python3"}
    assert {"az", "certbot", "gh", "jq", "openssl", "psql", "curl"} <= called
