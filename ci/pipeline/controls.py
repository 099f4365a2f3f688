"""The supply chain's controls, each a check of the checkout that names what breaks it.

The rows are those of docs/pipeline.md, "Controls". Scanners look for known bad patterns; these say
that what we decided, in decided.toml, is still so. Each is shown to fail on a bad copy in
tests/test_controls.py.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fnmatch import fnmatch
from functools import reduce
from typing import Any

from pipeline import overlay, trust
from pipeline.checkout import DECIDED, Checkout, Step

# In a script, whatever is not a constant is passed as environment.
EXPRESSION = re.compile(r"\$\{\{")
OFF = ("False", "false")
PIPE = re.compile(r"[^|]\|[^|]")
PINNED = re.compile(r"uses:\s+[\w./-]+@[0-9a-f]{40} # v[0-9][\w.]*$")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
IMAGE = re.compile(r"^[ -]*image: (\S+)$", re.MULTILINE)
# In a lock: an option, an address in the place of a version, or no hash.
ELSEWHERE = re.compile(r"^(?:-.*|.*\s@\s.*|\w[^\\\n]*)$|^\w.*\\\n(?! +--hash=)", re.MULTILINE)
REGISTRY = re.compile(r"crgridos[a-z0-9]+\.azurecr\.io/gridos")  # infra/terraform/modules/naming
APP_TOKEN = "actions/create-github-app-token"  # noqa: S105 — an action's name
APPLICATIONS = ("Application", "ApplicationSet")
IGNORES = ".github/trivyignore.yaml"
# Long enough for a distribution to ship a fix, short enough that somebody looks again.
MAX_IGNORE = timedelta(days=90)
MIN_STATEMENT = 20
VULNERABILITY = re.compile(r"[A-Z]+-[\w-]+")
RULESETS = ".github/rulesets"
RBAC = "rbac.authorization.k8s.io"

# GitHub Actions, as an App: without its id, a check is whatever bears the name, a status by any App
# with `statuses: write` among it.
ACTIONS_APP_ID = 15368


@dataclass(frozen=True)
class Control:
    """A row, what it says, and a check that returns what breaks it."""

    row: int
    sentence: str
    finds: Callable[[Checkout], Iterable[str]] = lambda _: ()

    def check(self, checkout: Checkout) -> list[str]:
        """Returns what breaks it: of its texts, and then what it finds besides."""
        texts = DECIDED["texts"].get(str(self.row), ())
        unmet = (
            f"{f}: {wrong}" for f, form, wrong in texts if not re.search(form, checkout.text(f))
        )
        return [*unmet, *self.finds(checkout)]


def _digests(checkout: Checkout) -> Iterator[str]:
    for path in map(overlay.path, overlay.ENVIRONMENTS):
        images = (checkout.load(path) or {}).get("images", [])
        entries = [image for image in images if image.get("name") == "gridos"]
        if len(entries) != 1 or not DIGEST.fullmatch(str(entries[0].get("digest"))):
            yield f"{path}: the image gridos is not named by digest"
        elif not REGISTRY.fullmatch(str(entries[0].get("newName"))):
            yield f"{path}: the image gridos is not of a registry of ours"
    deploy = checkout.root / "deploy"
    for file in (*deploy.glob("base/**/*.yaml"), *deploy.glob("components/**/*.yaml")):
        for image in IMAGE.findall(file.read_text(encoding="utf-8")):
            if image != "gridos" and "@sha256:" not in image:
                where = file.relative_to(checkout.root)
                yield f"{where}: {image} is neither the overlay's to pin nor pinned"


def _locks(checkout: Checkout) -> Iterator[str]:
    for lock in sorted((checkout.root / "requirements").glob("*.txt")):
        if found := ELSEWHERE.search(lock.read_text(encoding="utf-8")):
            yield f"{lock.name}: packages from elsewhere, or without a hash: {found[0]}"


def _pins(checkout: Checkout) -> Iterator[str]:
    for file in sorted((checkout.root / ".github").glob("**/*.y*ml")):
        path = file.relative_to(checkout.root)
        for number, line in enumerate(checkout.text(str(path)).splitlines(), 1):
            if re.search(r"\buses:\s+[^.\s]", line) and not PINNED.search(line):
                yield f"{path}:{number}: no full SHA with its version: {line.strip()}"
    for step in checkout.steps:
        kept = step.given.get("persist-credentials") is not False
        if step.action == "actions/checkout" and kept:
            yield f"{step.where}: checkout leaves its token in the clone"


def _permissions(checkout: Checkout) -> Iterator[str]:
    for file, workflow in checkout.workflows.items():
        if workflow.get("permissions") != {}:
            yield f"{file}: permissions at the top are not {{}}"
    for job in checkout.jobs:
        permissions = job.raw.get("permissions")
        if not isinstance(permissions, dict):
            yield f"{job}: says not which permissions it needs"
            continue
        for scope, level in permissions.items():
            decided = f"{job.file} / {job.name} / {scope}" in DECIDED["writing"]
            if level == "write" and not decided:
                yield f"{job}: {scope}: write is not among those decided on"


def _untrusted(checkout: Checkout) -> Iterator[str]:
    for step in checkout.steps:
        script = step.run or str(step.given.get("script", ""))  # github-script's
        if EXPRESSION.search(script):
            yield f"{step.where}: an expression inside run; pass it as env: {script[:60]!r}"
        place = str(step.given.get("path", "")).rstrip("/")
        if step.action == "actions/download-artifact" and place not in DECIDED["landing"]:
            yield f"{step.where}: an artifact is put where programs may be: {place or '.'}"
        kept = step.action in DECIDED["caching"] and str(step.given.get("cache")) not in OFF
        if kept or step.action.startswith("actions/cache"):
            yield f"{step.where}: reads a cache, which another job may have filled"
    for job in checkout.jobs:
        if "pull_request_target" in job.events:
            yield f"{job}: pull_request_target runs a stranger's change with our rights"
        refs = [str(step.given.get("ref", "")) for step in job.steps]
        if "workflow_run" in job.events and any("head" in ref for ref in refs):
            yield f"{job}: checks the pull request out, with a token that writes"


def _environments(checkout: Checkout) -> Iterator[str]:
    for job in checkout.jobs:
        logs_in = {"azure/login", APP_TOKEN} & job.actions or "ARM_CLIENT_ID" in job.raw.get(
            "env", {}
        )
        if logs_in and not job.raw.get("environment"):
            yield f"{job}: logs in without an environment, so any branch may"
    for step in checkout.steps:
        if step.action == APP_TOKEN and not _narrow(step):
            yield f"{step.where}: the App's token is for every repository or every permission"
    for where, file, group in _groups(checkout):
        dropped = group.get("queue") != "max" and group.get("cancel-in-progress") is not True
        if dropped and where not in DECIDED["read_only"]:
            yield f"{where}: of those that wait, a concurrency group drops all but the newest"
        # Groups are the repository's: by another's name a workflow holds back or cancels that one.
        if not str(group.get("group", "")).startswith(file.partition(".")[0]):
            yield f"{where}: its concurrency group is not called after its workflow"


def _groups(checkout: Checkout) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    heads = ((file, file, workflow) for file, workflow in checkout.workflows.items())
    for where, file, raw in (*heads, *((str(job), job.file, job.raw) for job in checkout.jobs)):
        if group := raw.get("concurrency"):
            yield where, file, group if isinstance(group, dict) else {}


def _narrow(step: Step) -> bool:
    permissions = [key for key in step.given if key.startswith("permission-")]
    return bool(step.given.get("repositories")) and permissions == ["permission-contents"]


def _scans(checkout: Checkout) -> Iterator[str]:
    rescan = [step.given for j in checkout.jobs if j.name == "rescan" for step in j.steps]
    if not any(given.get("sarif_file") == "out/scan.sarif" for given in rescan):
        yield "security.yaml: what runs is rescanned, and code scanning is not told"
    for job in checkout.jobs:
        if job.raw.get("continue-on-error"):
            yield f"{job}: a job that cannot fail"
    for step in checkout.steps:
        if step.raw.get("continue-on-error") and step.where not in DECIDED["forgiven"]:
            yield f"{step.where}: a step that cannot fail"
    yield from _hidden(checkout)
    found = ignored(checkout.load(IGNORES) or {}, datetime.now(UTC).date())
    yield from (f"{IGNORES}: {why}" for why in found)


def _hidden(checkout: Checkout) -> Iterator[str]:
    """GitHub's own shell has no pipefail; the one that is asked for by name has."""
    for job in checkout.jobs:
        shell = checkout.workflows[job.file].get("defaults", {}).get("run", {}).get("shell")
        for step in job.steps:
            if PIPE.search(step.run) and shell != "bash":
                yield f"{step.where}: a pipe hides that its first program failed"


def ignored(document: Mapping[str, Any], today: date) -> Iterator[str]:
    """Returns what is wrong with the ignores that Trivy is given."""
    if others := document.keys() - {"vulnerabilities"}:
        yield f"{', '.join(sorted(others))}: only vulnerabilities are ignored"
    for entry in document.get("vulnerabilities") or []:
        if not isinstance(entry, dict):
            yield f"{entry!r} is not an entry: id, statement and expired_at"
            continue
        name, until = entry.get("id"), entry.get("expired_at")
        if not VULNERABILITY.fullmatch(str(name)):
            yield f"{name} is not the id of a vulnerability, such as CVE-2026-0001"
        if not isinstance(until, date):
            yield f"{name}: expired_at is a day such as 2026-12-31"
        elif until < today:
            yield f"{name} expired on {until}"
        elif until > today + MAX_IGNORE:
            yield f"{name}: an ignore lasts {MAX_IGNORE.days} days at most"
        if len(str(entry.get("statement", "")).strip()) < MIN_STATEMENT:
            yield f"{name}: say why it does not concern us, in a sentence"


def _argo(checkout: Checkout) -> Iterator[str]:
    for path, document in checkout.manifests():
        spec = document.get("spec") or {}
        if document.get("kind") == "AppProject":
            yield from (f"{path}: {reason}" for reason in _too_wide(spec))
        spec = spec.get("template", {}).get("spec", spec)
        if document.get("kind") in APPLICATIONS and spec.get("project", "default") == "default":
            yield f"{path}: an Application in the default project"


def _too_wide(project: Mapping[str, Any]) -> Iterator[str]:
    destinations = project.get("destinations", [])
    kinds = project.get("clusterResourceWhitelist", [])
    own = {(k.get("group"), k.get("kind")) for k in project.get("namespaceResourceWhitelist", [])}
    service = any(d.get("namespace") == "gridos" for d in destinations)
    if "*" in project.get("sourceRepos", ["*"]):
        yield "an AppProject for any repository"
    if any("*" in (d.get("namespace"), d.get("server")) for d in destinations):
        yield "an AppProject for any namespace or cluster"
    if not kinds or any("*" in (k.get("group"), k.get("kind")) for k in kinds):
        yield "an AppProject for any cluster-wide kind, or for none that it names"
    if service and not own:
        yield "the service's AppProject allows every kind"
    if any(group in {"*", RBAC} or kind in {"*", "Secret", "Pod"} for group, kind in own):
        yield "the service's AppProject allows roles, Secrets or bare pods"


def _repository(checkout: Checkout) -> Iterator[str]:
    yield from _owned(checkout)
    for name, wanted in DECIDED["rulesets"].items():
        found = _ruleset(checkout, name)
        for path, value, wrong in wanted:
            if reduce(lambda part, key: (part or {}).get(key), path.split("."), found) != value:
                yield f"{RULESETS}/{name}.json: {wrong}"
    yield from (f"{RULESETS}/main.json: {finding}" for finding in _checks(checkout))


def _ruleset(checkout: Checkout, name: str) -> Any:
    """A ruleset, with the parameters of its rules by their types."""
    ruleset = json.loads(checkout.text(f"{RULESETS}/{name}.json") or '{"rules": []}')
    rules = {rule["type"]: rule.get("parameters", {}) for rule in ruleset["rules"]}
    return ruleset | {"rules": rules}


def _owned(checkout: Checkout) -> Iterator[str]:
    """What decides belongs to somebody else than whoever wants to release."""
    lines = (line.split() for line in checkout.text(".github/CODEOWNERS").splitlines())
    rules = [words for words in lines if words and not words[0].startswith("#")]
    for path in DECIDED["deciding"]:
        # The last line that matches counts.
        pattern, *owners = next((r for r in reversed(rules) if _covers(r[0], f"/{path}")), ["*"])
        if pattern == "*" or not owners:
            yield f".github/CODEOWNERS: {path} decides about releases, and has no owner of its own"


def _covers(pattern: str, path: str) -> bool:
    return path.startswith(pattern) if pattern.endswith("/") else fnmatch(path, pattern)


def _checks(checkout: Checkout) -> Iterator[str]:
    """To GitHub a skipped job is a good one, and a job is skipped when one that it needs fails."""
    rules = _ruleset(checkout, "main")["rules"]
    checks = rules.get("required_status_checks", {}).get("required_status_checks", [])
    required = {check["context"] for check in checks}
    jobs = [job for job in checkout.jobs if "pull_request" in job.events]
    titles = {(job.file, job.name): job.title for job in jobs}
    for context in sorted(required - set(titles.values())):
        yield f"no job is called {context}"
    for check in checks:
        if check.get("integration_id") != ACTIONS_APP_ID:
            yield f"anybody's status passes for {check['context']}"
    for job in jobs:
        if job.title in required:
            needed = (titles[job.file, need] for need in job.needs)
            yield from (f"{job} passes when {n} fails" for n in needed if n not in required)


CONTROLS = (
    Control(19, "images by digest, the base too", _digests),
    Control(20, "an image that is small, unprivileged and made of hashes", _locks),
    Control(21, "actions by full SHA, and no token left in a clone", _pins),
    Control(22, "no permission but those decided on", _permissions),
    Control(23, "nothing that a stranger wrote is run with our rights", _untrusted),
    Control(
        24,
        "logins bound to environments, and no release or apply that a queue drops",
        _environments,
    ),
    Control(25, "a scan that can fail, and ignores that expire", _scans),
    Control(26, "materials, signature and provenance no caller can change"),
    Control(27, "admission by the signer's identity"),
    Control(28, "Argo CD in a project that allows what it needs", _argo),
    Control(
        29, "who answers, reviews and updates, and the rules of main and of the pins", _repository
    ),
    Control(31, "what has rights, or judges, is what was reviewed", trust.differences),
)
