"""The shipped overlays break no policy, and each policy is broken by something."""

import copy
import re
import urllib.parse
from pathlib import Path

import pytest

from policies import cli, objects, rules

OVERLAYS = ("dev", "staging", "production", "local")


@pytest.fixture(scope="session")
def production(root):
    return objects.read(root / "deploy/overlays/production")


def find(things, kind, name):
    return next(t for t in things if t["kind"] == kind and t["metadata"]["name"] == name)


def rollout(things):
    return find(things, "Rollout", "gridos")


def pod(things):
    return rollout(things)["spec"]["template"]["spec"]


def container(things):
    return pod(things)["containers"][0]


def policy(things, name):
    return find(things, "NetworkPolicy", name)


def ingress(things):
    return find(things, "Ingress", "gridos")


def drop(things, kind):
    things[:] = [thing for thing in things if thing["kind"] != kind]


def thing(kind, name, **fields):
    return {
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "gridos"},
        **fields,
    }


DIGEST = "sha256:" + "ab" * 32
REGISTRY = "crgridosprdweux1g.azurecr.io"
BINDING = {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["*"]}]}

# Each policy with the smallest change of the production overlay that breaks it.
BREAKS = [
    ("restricted-namespace", lambda t: find(t, "Namespace", "gridos")["metadata"].pop("labels")),
    ("restricted-namespace", lambda t: find(t, "Namespace", "gridos")["metadata"]["labels"].pop("pod-security.kubernetes.io/enforce-version")),
    ("own-namespace", lambda t: rollout(t)["metadata"].pop("namespace")),
    ("restricted-pod", lambda t: pod(t)["securityContext"].update(runAsNonRoot=False)),
    ("restricted-pod", lambda t: pod(t)["securityContext"].pop("seccompProfile")),
    ("restricted-pod", lambda t: pod(t).update(hostNetwork=True)),
    ("restricted-pod", lambda t: pod(t)["volumes"].append({"name": "h", "hostPath": {"path": "/"}})),
    ("restricted-pod", lambda t: container(t)["securityContext"].pop("allowPrivilegeEscalation")),
    ("restricted-pod", lambda t: container(t)["securityContext"].update(capabilities={})),
    ("restricted-pod", lambda t: pod(t).update(initContainers=[{"name": "i", "image": "i"}])),
    ("restricted-pod", lambda t: t.append(thing("Pod", "p", spec={"hostPID": True, "containers": [dict(container(t))]}))),
    ("restricted-pod", lambda t: t.append(thing("ReplicaSet", "r", spec={"template": {"spec": {"hostPID": True, "containers": [dict(container(t))]}}}))),
    ("read-only-root", lambda t: container(t)["securityContext"].pop("readOnlyRootFilesystem")),
    ("bounded-resources", lambda t: container(t)["resources"]["limits"].pop("memory")),
    ("probed", lambda t: container(t).pop("readinessProbe")),
    ("probed", lambda t: container(t).pop("startupProbe")),
    ("drain-fits", lambda t: container(t).pop("lifecycle")),
    ("drain-fits", lambda t: pod(t).update(terminationGracePeriodSeconds=100)),
    ("own-account", lambda t: pod(t).update(serviceAccountName="default", automountServiceAccountToken=True)),
    ("own-account", lambda t: pod(t).update(automountServiceAccountToken=True)),
    ("no-wildcards", lambda t: t.append(thing("Role", "r", **BINDING))),
    ("secrets-as-files", lambda t: container(t)["env"].append({"name": "X", "valueFrom": {"secretKeyRef": {}}})),
    ("secrets-as-files", lambda t: container(t)["envFrom"].append({"secretRef": {"name": "x"}})),
    ("no-secret-in-git", lambda t: t.append(thing("Secret", "s", stringData={"a": "b"}))),
    ("no-copied-secret", lambda t: find(t, "SecretProviderClass", "gridos")["spec"].update(secretObjects=[{}])),
    ("configuration-exists", lambda t: pod(t)["volumes"].append({"name": "c", "configMap": {"name": "gridos-config"}})),
    ("configuration-exists", lambda t: pod(t).update(initContainers=[{**container(t), "envFrom": [{"configMapRef": {"name": "gridos-config"}}]}])),
    ("no-faults", lambda t: container(t)["env"].append({"name": "GRIDOS_FAULTS", "value": "errors=3%"})),
    ("no-faults", lambda t: next(c for c in t if c["metadata"]["name"].startswith("gridos-config"))["data"].update(GRIDOS_FAULTS="errors=3%")),
    *(("pinned-image", lambda t, image=image: container(t).update(image=image)) for image in ("gridos", "docker.io/gridos@sha256:0", f"docker.io/library/python@{DIGEST}", f"{REGISTRY}/gridos:1", f"{REGISTRY}/gridos:latest", f"{REGISTRY}.evil.com/gridos@{DIGEST}", f"{REGISTRY.replace('.', '-', 1)}/gridos@{DIGEST}", f"{REGISTRY}/gridosx@{DIGEST}", f"{REGISTRY}/gridos@{DIGEST}0")),
    ("pinned-image", lambda t: pod(t).update(initContainers=[{**container(t), "image": "busybox"}])),
    ("default-deny", lambda t: policy(t, "default-deny")["spec"].update(policyTypes=["Ingress"])),
    ("default-deny", lambda t: policy(t, "default-deny")["spec"].update(ingress=[{}])),
    ("edge-is-the-api", lambda t: ingress(t)["spec"]["rules"][0]["http"]["paths"][0].update(path="/")),
    ("edge-is-the-api", lambda t: ingress(t)["spec"].update(defaultBackend={"service": {}})),
    ("edge-is-encrypted", lambda t: ingress(t)["metadata"]["annotations"].clear()),
    ("disruption-budget", lambda t: drop(t, "PodDisruptionBudget")),
    ("disruption-budget", lambda t: find(t, "PodDisruptionBudget", "gridos")["spec"]["selector"]["matchLabels"].update({"rollouts-pod-template-hash": "abc"})),
    ("spread", lambda t: pod(t).pop("topologySpreadConstraints")),
    ("autoscaler-keeps-shares", lambda t: find(t, "HorizontalPodAutoscaler", "gridos")["spec"].update(minReplicas=4)),
    ("nothing-waits-for-the-rollout", lambda t: ingress(t)["metadata"]["annotations"].update({rules.WAVE: "3"})),
]  # fmt: skip


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_shipped_overlay_breaks_no_policy(root, overlay):
    assert rules.check(objects.read(root / "deploy/overlays" / overlay)) == []


@pytest.mark.parametrize("image", [f"gridos@{DIGEST}", f"gridos:1.0.0-gabc@{DIGEST}"])
def test_our_image_by_digest_breaks_no_policy(production, image):
    pinned = [copy.deepcopy(dict(t)) for t in production]
    container(pinned)["image"] = f"{REGISTRY}/{image}"
    assert rules.check(pinned) == []


def test_argo_cds_own_objects_break_no_policy(root):
    applications = [
        t for f in (root / "deploy/argocd").glob("application-*.yaml") for t in objects.read(f)
    ]
    assert len(applications) == 3
    assert rules.check([*objects.read(root / "deploy/argocd"), *applications]) == []


@pytest.mark.parametrize(("rule", "spoil"), BREAKS)
def test_a_change_that_breaks_a_policy_is_found_by_it(production, rule, spoil):
    spoilt = [copy.deepcopy(dict(t)) for t in production]
    spoil(spoilt)
    assert rule in {finding.rule for finding in rules.check(spoilt)}


def test_every_policy_has_something_that_breaks_it():
    assert {rule for rule, _ in BREAKS} == set(rules.RULES)


def test_the_program_says_what_it_checked_and_ends_with_zero(root, capsys):
    assert cli.main([str(root / "deploy/argocd")]) == 0
    assert "0 findings" in capsys.readouterr().out


def test_the_program_shows_how_an_overlay_differs_from_the_base(root, capsys):
    paths = [str(root / "deploy" / name) for name in ("base", "overlays/production")]
    assert cli.main(["--baseline", *paths]) == 0
    shown = capsys.readouterr().out
    assert "-  maxReplicas: 30" in shown
    assert "+  maxReplicas: 60" in shown
    assert "gridos-config-" not in re.sub("gridos-config-HASH", "", shown)


def test_argo_cd_may_make_every_kind_that_an_environment_has_and_no_more(root):
    projects = objects.read(root / "deploy/argocd/project-gridos.yaml")
    spec = find(projects, "AppProject", "gridos")["spec"]
    lists = spec["namespaceResourceWhitelist"] + spec["clusterResourceWhitelist"]
    allowed = {(entry["group"], entry["kind"]) for entry in lists}
    needed = {
        (body["apiVersion"].rpartition("/")[0], body["kind"])
        for overlay in ("dev", "staging", "production")
        for body in objects.read(root / "deploy/overlays" / overlay)
    }
    swapped = {("external-secrets.io", "ExternalSecret"), ("external-secrets.io", "SecretStore")}
    assert allowed == needed | swapped


def test_the_alerts_that_abort_a_canary_are_those_that_observability_labels(root):
    templates = objects.read(root / "deploy/components/alerts-abort/analysis-blocking-alerts.yaml")
    template = find(templates, "AnalysisTemplate", "release-may-start")
    url = urllib.parse.unquote(template["spec"]["metrics"][0]["provider"]["web"]["url"])
    label, value = re.search(r'filter=(\w+)="(\w+)"', url).groups()
    rules_file = root / "observability/kubernetes/prometheusrules.generated.yaml"
    groups = [g for body in objects.read(rules_file) for g in body["spec"]["groups"]]
    alerts = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    blocking = [rule["alert"] for rule in alerts if rule["labels"].get(label) == value]
    assert "GridosMetricsAbsent" in blocking
    assert len(blocking) < len(alerts)


def test_the_program_names_object_and_rule_and_ends_with_one(tmp_path, capsys):
    (tmp_path / "secret.yaml").write_text("apiVersion: v1\nkind: Secret\nmetadata: {name: keys}\n")
    assert cli.main([str(tmp_path)]) == 1
    assert "no-secret-in-git: Secret keys:" in capsys.readouterr().out


def test_a_folder_that_is_not_there_is_one_line_and_two(capsys):
    assert cli.main(["nowhere"]) == 2
    assert Path("nowhere").name in capsys.readouterr().err


def test_each_application_is_what_its_project_lets_it_be_and_each_chart_one_version(root):
    files = (root / "deploy/argocd").rglob("*.yaml")
    told = [t for f in files if "kind: App" in f.read_text() for t in objects.read(f)]
    projects = {t["metadata"]["name"]: t["spec"] for t in objects.of(told, "AppProject")}
    applications = list(objects.of(told, "Application"))
    assert {t["spec"]["project"] for t in applications} == projects.keys()
    for application in applications:
        spec, project = application["spec"], projects[application["spec"]["project"]]
        assert spec["destination"] in project["destinations"]
        for source in spec.get("sources") or [spec["source"]]:
            assert source["repoURL"] in project["sourceRepos"]
            if "chart" in source:
                assert re.fullmatch(r"\d+\.\d+\.\d+", source["targetRevision"]), source
