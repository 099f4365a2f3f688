"""ci/terraform, which the workflow calls, with the real Terraform on a small configuration.

Its one resource is Terraform's own, so nothing outside is asked or made; the state is a file where the
pipeline's is a blob.
"""

import json
import os
import shutil

import pytest
import workspace

from canary.runtime import processes

ROOT = workspace.SOURCE.parent.parent
CONFIGURATION = """
terraform {
  backend "local" {}
}

variable "size" {
  type = number
}

variable "place" {
  type    = string
  default = "here"
}

resource "terraform_data" "server" {
  input            = var.size
  triggers_replace = var.place
}
"""


class Checkout:
    """A checkout with one environment, and what CI would keep of a plan."""

    def __init__(self, folder):
        self.folder = folder
        platform = folder / "infra/terraform"
        (platform / "environments").mkdir(parents=True)
        (folder / "ci").mkdir()
        shutil.copy(ROOT / "ci/terraform", folder / "ci")
        shutil.copytree(workspace.SOURCE / "scripts", platform / "scripts")
        (platform / "main.tf").write_text(CONFIGURATION)
        self.state = folder / "dev.tfstate"
        (platform / "environments/dev.backend.hcl").write_text(f'path = "{self.state}"\n')
        self.variables = platform / "environments/dev.tfvars"
        self.plan = folder / "out/terraform/dev/plan.bin"
        self.output = folder / "output"

    def run(self, *arguments, **environment):
        given = {
            "GITHUB_OUTPUT": str(self.output),
            "GITHUB_STEP_SUMMARY": str(self.folder / "summary"),
            **environment,
        }
        return processes.run(
            [self.folder / "ci/terraform", *arguments],
            env=processes.inherited(**given), capture_output=True, text=True, timeout=120,
        )  # fmt: skip

    def planned(self, variables, **environment):
        """Plans; returns how it ended, and the hash that the next job is handed."""
        self.variables.write_text(variables)
        self.output.write_text("")
        done = self.run("plan", "dev", **environment)
        return done, self.output.read_text().strip().removeprefix("dev=")

    def size(self):
        """The size of the server that is there, or None."""
        if not self.state.exists():
            return None
        (resource,) = json.loads(self.state.read_text())["resources"]
        return resource["instances"][0]["attributes"]["input"]["value"]


@pytest.fixture
def checkout(terraform, tmp_path):
    return Checkout(tmp_path)


def test_what_was_approved_is_what_is_applied(checkout):
    done, sha256 = checkout.planned("size = 1\n")
    assert done.returncode == 0, done.stderr
    # Whatever the code says by now.
    checkout.variables.write_text("size = 2\n")

    applied = checkout.run("apply", "dev", PLAN_SHA256=sha256)

    assert applied.returncode == 0, applied.stderr
    assert checkout.size() == 1
    assert sha256 in (checkout.folder / "summary").read_text()


def test_another_plan_than_the_approved_one_is_refused(checkout):
    _, approved = checkout.planned("size = 1\n")
    checkout.planned("size = 666\n")

    refused = checkout.run("apply", "dev", PLAN_SHA256=approved)

    assert refused.returncode == 2
    assert f"not the one that was approved ({approved})" in refused.stderr
    assert checkout.size() is None


def test_a_plan_without_an_approval_is_refused(checkout):
    checkout.planned("size = 1\n")

    assert "PLAN_SHA256" in checkout.run("apply", "dev").stderr
    assert checkout.size() is None


def test_a_plan_from_before_somebody_elses_apply_is_refused(checkout):
    _, approved = checkout.planned("size = 1\n")
    waiting = checkout.plan.read_bytes()
    _, other = checkout.planned("size = 2\n")
    assert checkout.run("apply", "dev", PLAN_SHA256=other).returncode == 0
    checkout.plan.write_bytes(waiting)

    refused = checkout.run("apply", "dev", PLAN_SHA256=approved)

    assert refused.returncode == 1
    assert "Saved plan is stale" in refused.stderr
    assert checkout.size() == 2


@pytest.mark.parametrize(
    ("change", "act"),
    [('size = 1\nplace = "there"\n', "would be replaced"), (None, "would be deleted")],
)
def test_a_plan_that_destroys_is_handed_on_only_when_it_was_meant(checkout, change, act):
    _, approved = checkout.planned("size = 1\n")
    checkout.run("apply", "dev", PLAN_SHA256=approved)
    if change is None:
        main = checkout.folder / "infra/terraform/main.tf"
        main.write_text(CONFIGURATION.partition("resource ")[0])
        change = "size = 1\n"

    refused, handed_on = checkout.planned(change)
    assert refused.returncode == 1
    assert f"terraform_data.server: {act}" in refused.stdout
    assert handed_on == ""

    allowed, handed_on = checkout.planned(change, ALLOW_DESTROYS="true")
    assert allowed.returncode == 0, allowed.stderr
    assert len(handed_on) == 64


def test_a_plan_is_nobody_elses_to_read(checkout):
    checkout.planned("size = 1\n")

    assert checkout.plan.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("plan", "none"), "no such environment: none"),
        (("apply", "dev"), "there is no plan of dev"),
        (("destroy", "dev"), "destroy: unknown"),
    ],
)
def test_what_it_cannot_do_is_said(checkout, arguments, complaint):
    checkout.variables.write_text("size = 1\n")

    refused = checkout.run(*arguments, PLAN_SHA256="0")

    assert refused.returncode == 2
    assert complaint in refused.stderr


OUTPUTS = """
output "resource_group" {
  value = "rg-gridos-dev-weu"
}

output "cluster_name" {
  value = "aks-gridos-dev-weu"
}

output "gitops_labels" {
  value = {
    environment            = "dev"
    workload_client_id     = "00000000-0000-4000-8000-00000000e002"
    alertmanager_client_id = "00000000-0000-4000-8000-00000000e003"
    loki_client_id         = "00000000-0000-4000-8000-00000000e004"
    loki_account           = "stgridosdevweux1g"
    tenant_id              = "00000000-0000-4000-8000-000000000002"
    vault_name             = "kv-gridos-dev-weu-x1g"
    registry               = "crgridosdevweux1g.azurecr.io"
  }
}
"""
# As az writes it for a cluster whose users are Entra's.
KUBECONFIG = """
apiVersion: v1
kind: Config
clusters:
- cluster:
    certificate-authority-data: QVVUSE9SSVRZ
    server: https://gridos-dev-weu.private.example:443
  name: aks-gridos-dev-weu
users:
- name: clusterUser
  user:
    exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: kubelogin}
"""
AZ = """#!/bin/sh
case "$*" in
  "aks get-credentials "*) cat "{folder}/given" ;;
  "account get-access-token --resource 6dae42f8-4368-4678-94ff-3960e28e3630 "*) echo a-token ;;
  *) echo "az: $*?" >&2; exit 1 ;;
esac
"""
# Looks at what the provider is given, which is gone at the end.
TERRAFORM = """#!/bin/sh
cp "{folder}/out/terraform/dev/kubeconfig" "{folder}/seen" 2>/dev/null
exec {terraform} "$@"
"""


def test_argo_cd_is_installed_with_a_token_and_what_the_platform_says(checkout):
    """Its real configuration, planned and applied by a provider that knows schemas only."""
    if not os.access(os.environ.get("TF_CLI_CONFIG_FILE", "none"), os.R_OK):
        pytest.skip("helm's own provider wants a cluster: TF_CLI_CONFIG_FILE names no mirror")
    folder, terraform = checkout.folder, shutil.which("terraform")
    (folder / "given").write_text(KUBECONFIG)
    (folder / "bin").mkdir()
    for name, script in {"az": AZ, "terraform": TERRAFORM}.items():
        (folder / "bin" / name).write_text(script.format(folder=folder, terraform=terraform))
        (folder / "bin" / name).chmod(0o755)
    gitops = folder / "infra/terraform/gitops"
    ignored = shutil.ignore_patterns(".terraform*", "tests")
    shutil.copytree(workspace.SOURCE / "gitops", gitops, ignore=ignored)
    (gitops / workspace.BACKEND).write_text(workspace.LOCAL_BACKEND)
    (gitops / "environments/dev.backend.hcl").write_text(f'path = "{folder}/gitops.tfstate"\n')
    (folder / "infra/terraform/outputs.tf").write_text(OUTPUTS)
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    _, approved = checkout.planned("size = 1\n")
    assert checkout.run("apply", "dev", PLAN_SHA256=approved).returncode == 0

    done = checkout.run("gitops", "dev", PATH=path)

    assert done.returncode == 0, done.stderr
    seen = json.loads((folder / "seen").read_text())
    assert seen["clusters"][0]["cluster"] == {
        "server": "https://gridos-dev-weu.private.example:443",
        "certificate-authority-data": "QVVUSE9SSVRZ",
    }
    assert seen["current-context"] == seen["contexts"][0]["name"] == "aks-gridos-dev-weu"
    assert seen["users"][0]["user"] == {"token": "a-token"}
    assert not (folder / "out/terraform/dev/kubeconfig").exists()
    releases = json.loads((folder / "gitops.tfstate").read_text())["resources"]
    assert "argo_cd" in {release["name"] for release in releases}
