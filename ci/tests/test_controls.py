"""The controls: the checkout holds them, and each fails on a copy that was made bad."""

import re

import pytest
from pipeline import cli, controls
from pipeline.checkout import DECIDED, Checkout
from pipeline.errors import PipelineError

OVERLAY = "images:\n  - {{name: gridos, {pin}}}\n"
PIN = "newName: {registry}/gridos, digest: 'sha256:" + "ab" * 32 + "'"
PROJECT = "kind: AppProject\nspec: {{sourceRepos: ['{repo}'], destinations: [{{namespace: '{namespace}', server: s}}], clusterResourceWhitelist: [{{group: '', kind: '{kind}'}}]}}\n"
W = ".github/workflows"

# Row, file, what is replaced (None: the whole file), by what, and a word of the finding.
BAD = [
    (19, "Dockerfile", r"@sha256:\w+", "", "base image"),
    (19, "deploy/overlays/staging/kustomization.yaml", None, OVERLAY.format(pin="newTag: latest"), "staging"),
    (19, "deploy/overlays/dev/kustomization.yaml", None, "images: []\n", "dev"),
    (19, "deploy/overlays/production/kustomization.yaml", None, "", "production"),
    (19, "deploy/overlays/staging/kustomization.yaml", None, OVERLAY.format(pin="digest: 'sha256:ab'"), "by digest"),
    (19, "deploy/overlays/staging/kustomization.yaml", None, OVERLAY.format(pin=PIN.format(registry="docker.io/stranger")), "a registry of ours"),
    (19, "deploy/base/rollout.yaml", r"image: gridos", "image: gridos:1.2.3", "nor pinned"),
    (20, "Dockerfile", r"USER 10001:10001", "USER root", "USER"),
    (20, "Dockerfile", r"USER 10001:10001", "USER 0:0", "USER"),
    (20, "Dockerfile", r"COPY service", "ADD service", "ADD"),
    (20, "Dockerfile", r"--require-hashes", "", "hashes"),
    (20, "Dockerfile", r"--only-binary :all:", "", "source distribution"),
    (20, "Dockerfile", r"\nFROM \$\{BASE\}\n", "\n", "one stage"),
    (20, "Dockerfile", r"python:3.13-slim@", "python:latest@", "latest"),
    *((20, f"requirements/{lock}.txt", r"\A", "--extra-index-url https://example.com/simple\n", "from elsewhere") for lock in ("pipeline", "service")),
    (20, "requirements/dev.txt", r"\A", "gridos @ https://example.com/gridos.whl\n", "from elsewhere"),
    (21, f"{W}/ci.yaml", r"@[0-9a-f]{40} # v7.0.1", "@v7", "no full SHA"),
    (21, f"{W}/ci.yaml", r" # v7.0.1", "", "no full SHA"),
    (21, ".github/actions/setup/action.yaml", r"@[0-9a-f]{40}", "@main", "no full SHA"),
    (21, f"{W}/publish.yaml", r"persist-credentials: false", "persist-credentials: true", "token in the clone"),
    (22, f"{W}/ci.yaml", r"permissions: \{\}", "permissions: read-all", "at the top"),
    (22, f"{W}/ci.yaml", r"contents: read", "contents: write", "not among those"),
    (22, f"{W}/ci.yaml", r"contents: read", "id-token: write", "not among those"),
    (22, f"{W}/build.yaml", r"contents: read \}\n    outputs", "contents: read, id-token: write }\n    outputs", "not among those"),
    (22, f"{W}/ci.yaml", r"    permissions: \{ contents: read \}\n", "", "says not which"),
    (23, f"{W}/rehearse.yaml", r"pull_request:", "pull_request_target:", "pull_request_target"),
    (23, f"{W}/rehearse.yaml", r'changes "\$BASE"', "changes ${{ github.event.pull_request.title }}", "inside run"),
    (23, f"{W}/publish.yaml", r'"\$DIGEST"', "${{ inputs.digest }}", "inside run"),
    (23, f"{W}/rehearse-comment.yaml", r'ref: "[^"]*"', 'ref: "${{ github.event.workflow_run.head_sha }}"', "checks the pull request out"),
    (23, ".github/actions/setup/action.yaml", r"make setup", "${{ inputs.x }}", "inside run"),
    (23, f"{W}/release.yaml", r"- id: changes", "- uses: actions/github-script@0\n        with: {script: '${{ github.ref }}'}\n      - id: changes", "inside run"),
    (24, f"{W}/publish.yaml", r"    environment: .*-push\n", "", "without an environment"),
    (24, f"{W}/release.yaml", r"    environment: dev-pin\n", "", "without an environment"),
    (24, f"{W}/terraform.yaml", r"    environment: .*\n", "", "without an environment"),
    (24, f"{W}/promote.yaml", r" +repositories: .*\n", "", "every repository"),
    (24, f"{W}/rollback.yaml", r" +permission-contents: write\n", "", "every permission"),
    (24, f"{W}/release.yaml", r"branches: \[main\]", "branches: ['**']", "not on main"),
    (24, f"{W}/release.yaml", r"\n  queue: max", "", "drops all but the newest"),
    (24, f"{W}/terraform.yaml", r", queue: max", "", "drops all but the newest"),
    (25, f"{W}/build.yaml", r"uses: ./.github/actions/scan", "run: 'true'", "nothing judges"),
    (25, ".github/actions/scan/action.yaml", r'exit-code: "1"', 'exit-code: "0"', "ends well"),
    (25, ".github/actions/scan/action.yaml", r"HIGH,CRITICAL", "CRITICAL", "from HIGH on"),
    (25, ".github/actions/scan/action.yaml", r"ci/scanned out/scan.json", "true", "saw nothing"),
    (25, f"{W}/build.yaml", r"- uses: ./.github/actions/scan", "- continue-on-error: true\n        uses: ./.github/actions/scan", "cannot fail"),
    (25, f"{W}/security.yaml", r"    name: secrets\n", "    name: secrets\n    continue-on-error: true\n", "cannot fail"),
    (25, ".github/trivyignore.yaml", None, "vulnerabilities: [{id: CVE-1, statement: not reached by what we start, expired_at: 2026-01-01}]", "expired"),
    (25, ".github/trivyignore.yaml", None, "vulnerabilities: [{id: CVE-1, statement: x, expired_at: 2026-01-01}]", "say why"),
    (25, ".github/trivyignore.yaml", None, "vulnerabilities: [{id: '*', statement: not reached by what we start, expired_at: 2026-01-01}]", "not the id"),
    (25, f"{W}/security.yaml", r"sarif_file: out/scan.sarif, ", "", "is not told"),
    (25, f"{W}/guard.yaml", r"shell: bash", "shell: sh", "a pipe hides"),
    (26, f"{W}/build.yaml", r"workflow_call:", "push:", "could change"),
    (26, f"{W}/publish.yaml", r"workflow_call:", "push:", "its caller's"),
    (26, f"{W}/build.yaml", r" +sbom-path: .*\n", "", "no bill of materials"),
    (26, f"{W}/publish.yaml", r" +run: ci/verify-provenance.*\n", "        run: 'true'\n", "nobody verified"),
    (26, f"{W}/publish.yaml", r"push-image", "push-image --key cosign.key", "static key"),
    (26, "ci/verify-provenance", r".*--signer-workflow.*\n", "", "another workflow's"),
    (27, "deploy/admission/signature.yaml", r"publish.yaml@refs/heads/main", "*", "does not ask"),
    (27, "deploy/admission/signature.yaml", r"\[Deny\]", "[Audit]", "only warns"),
    (27, "deploy/admission/signature.yaml", r"issuer: \S+", "issuer: https://example.com", "issuer"),
    (27, "deploy/admission/signature.yaml", r" \+ images\.init\w+", "", "init containers"),
    *((27, f"deploy/admission/{policy}.yaml", r", pods/ephemeralcontainers", "", "debug container") for policy in ("images", "signature")),
    (27, "deploy/admission/images.yaml", r"\[Deny\]", "[Warn]", "only warns"),
    (27, "deploy/admission/images.yaml", r"failurePolicy: Fail", "failurePolicy: Ignore", "cannot judge"),
    (27, "deploy/admission/images.yaml", r"parameterNotFoundAction: Deny", "parameterNotFoundAction: Allow", "without a registry"),
    (28, "deploy/bad.yaml", None, PROJECT.format(repo="*", namespace="gridos", kind="Namespace"), "any repository"),
    (28, "deploy/bad.yaml", None, PROJECT.format(repo="r", namespace="*", kind="Namespace"), "any namespace"),
    (28, "deploy/bad.yaml", None, PROJECT.format(repo="r", namespace="gridos", kind="*"), "any cluster-wide"),
    (28, "deploy/bad.yaml", None, "kind: Application\nspec: {project: default}\n", "default project"),
    (28, "deploy/argocd/project-gridos.yaml", r"clusterResourceWhitelist", "c", "for none that it names"),
    (28, "deploy/argocd/application-dev.yaml", r"  project: gridos\n", "", "default project"),
    (28, "deploy/argocd/project-gridos.yaml", r"kind: ConfigMap", "kind: Secret", "Secrets"),
    (28, "deploy/argocd/project-gridos.yaml", r"group: batch", "group: '*'", "roles"),
    (28, "deploy/argocd/project-gridos.yaml", r"namespaceResourceW", "w", "every kind"),
    (28, "deploy/bad.yaml", None, "kind: ApplicationSet\nspec: {template: {spec: {project: default}}}\n", "default project"),
    (29, "SECURITY.md", None, "", "SECURITY.md: is missing"),
    (29, ".github/dependabot.yaml", r"package-ecosystem: docker", "package-ecosystem: npm", "nobody updates docker"),
    (29, f"{W}/security.yaml", r"codeql-action/analyze", "codeql-action/nothing", "static analysis"),
    (29, ".github/rulesets/main.json", r'"deletion"', '"creation"', "no rule deletion"),
    (29, ".github/rulesets/main.json", r'"bypass_actors": \[\]', '"bypass_actors": [{"actor_id": 5, "actor_type": "RepositoryRole"}]', "past review goes"),
    (29, ".github/rulesets/environments.json", '"Integration"', '"OrganizationAdmin"', "others than decided"),
    (29, ".github/rulesets/environments.json", r'\{"type": "update"\},', "", "anybody may write"),
    (29, ".github/rulesets/environments.json", r"environments/\*", "env/*", "not for every"),
    (29, ".github/rulesets/main.json", r'"context": "lint"', '"context": "lnit"', "no job is called lnit"),
    (29, ".github/rulesets/main.json", r" +\{\"context\": \"changes\".*\n", "", "when changes fails"),
    (29, ".github/rulesets/main.json", r', "integration_id": 15368', "", "anybody's status"),
    (29, ".github/rulesets/main.json", r'review_count": 1', 'review_count": 0', "nobody reviews"),
    (29, ".github/CODEOWNERS", r"/loadtest/rehearsal.yaml .*\n", "", "rehearsal.yaml decides"),
    (29, ".github/CODEOWNERS", r"(/deploy/overlays/) .*", r"\1", "deploy/overlays/ decides"),
    (29, ".github/CODEOWNERS", r"\Z", "* @example/grid-platform\n", "rollout.yaml decides"),
    (29, ".github/rulesets/main.json", r'"require_code_owner_review": true', '"require_code_owner_review": false', "CODEOWNERS are not asked"),
    (29, ".github/rulesets/main.json", r'"dismiss_stale_reviews_on_push": true', '"dismiss_stale_reviews_on_push": false', "after its review"),
    (23, f"{W}/nightly.yaml", r"      - uses: helm/kind-action", f"      - uses: actions/cache/save@{'ab' * 20} # v4.2.4\n        with: {{ path: .cache/trivy, key: cache-trivy-2026-12-01 }}\n      - uses: helm/kind-action", "reads a cache"),
    (24, f"{W}/nightly.yaml", r"    name: bench\n", "    name: bench\n    concurrency: { group: release, cancel-in-progress: true }\n", "not called after its workflow"),
    (23, f"{W}/nightly.yaml", r"(?=      - run: make accept-bench)", f"      - uses: actions/download-artifact@{'ab' * 20} # v8.0.1\n        with: {{ name: image }}\n", "where programs may be"),
    (23, ".github/actions/scan/action.yaml", r'cache: "false" #.*', 'cache: "true"', "reads a cache"),
    (29, ".github/rulesets/tags.json", r"refs/tags/environments/\*", "refs/tags/v*", "not for every ref"),
    (31, f"{W}/promote.yaml", r"state == 'success'", "state != ''", "not what was reviewed"),
    (31, f"{W}/new.yaml", None, "on: push\njobs: {}\n", "nobody reviewed it"),
    (31, "ci/verify-provenance", None, "", "not what was reviewed"),
]  # fmt: skip


def findings(root, row):
    (control,) = (c for c in controls.CONTROLS if c.row == row)
    return control.check(Checkout(root))


@pytest.mark.parametrize("control", controls.CONTROLS, ids=lambda c: str(c.row))
def test_the_checkout_holds_each_control(root, control):
    assert control.check(Checkout(root)) == []


@pytest.mark.parametrize(("row", "path", "pattern", "by", "word"), BAD)
def test_a_bad_copy_fails_its_control(copy, row, path, pattern, by, word):
    file = copy / path
    file.parent.mkdir(parents=True, exist_ok=True)
    if pattern is None:
        file.write_text(by)
    else:
        changed, count = re.subn(pattern, lambda _: by, file.read_text())
        assert count, f"{pattern} is not in {path} any more"
        file.write_text(changed)
    assert any(word in finding for finding in findings(copy, row)), findings(copy, row)


def test_every_row_is_shown_to_fail():
    assert {bad[0] for bad in BAD} == {control.row for control in controls.CONTROLS}


def test_the_program_lists_every_row_and_says_which_fails(copy, capsys):
    assert cli.main(["controls", "--root", str(copy)]) == 0
    (copy / "SECURITY.md").unlink()
    assert cli.main(["controls", "--root", str(copy)]) == 1
    out = capsys.readouterr().out
    assert "FAILS  29" in out
    assert out.count("holds  19") == 2


def test_a_folder_without_workflows_is_no_pass(tmp_path):
    with pytest.raises(PipelineError, match="run this in the checkout"):
        findings(tmp_path, 22)


@pytest.mark.parametrize("path", DECIDED["deciding"])
def test_what_has_owners_of_its_own_is_there(root, path):
    assert (root / path).exists()
