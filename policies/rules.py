"""The policies: each says what it found wrong in a set of rendered objects.

They restate what a cluster would enforce or an auditor would ask (Pod Security `restricted`, CIS
benchmark sections 4 and 5), so that a pull request hears of it before a cluster does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from policies.objects import Object, Pods, called, namespace, of, platform, pods

# What Pod Security `restricted` lets a pod mount.
VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
HOST = ("hostNetwork", "hostPID", "hostIPC")
WAVE = "argocd.argoproj.io/sync-wave"
FAULTS = "GRIDOS_FAULTS"
GATEWAY = "appgw.ingress.kubernetes.io/"
# gunicorn_config.graceful_timeout: what a pod may take to answer what it has begun.
GRACEFUL_S = 25

Found = Iterator[tuple[Object, str]]
Check = Callable[[Sequence[Object]], Found]


@dataclass(frozen=True)
class Rule:
    """A policy: `control` is where it comes from."""

    id: str
    control: str
    check: Check


@dataclass(frozen=True)
class Finding:
    """One object that breaks one rule."""

    rule: str
    object: str
    text: str


RULES: dict[str, Rule] = {}


def _rule(name: str, control: str) -> Callable[[Check], Check]:
    def add(check: Check) -> Check:
        RULES[name] = Rule(name, control, check)
        return check

    return add


def check(objects: Sequence[Object]) -> list[Finding]:
    """Everything wrong with some objects."""
    return [
        Finding(rule.id, called(thing), text)
        for rule in RULES.values()
        for thing, text in rule.check(objects)
    ]


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether labels meet a selector as Kubernetes reads it; an empty one meets everything."""
    wanted = selector.get("matchLabels", {})
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        _meets(expression, labels) for expression in selector.get("matchExpressions", [])
    )


def _meets(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values", [])
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    raise ValueError(f"no operator: {expression['operator']}")


# ---------------------------------------------------------------------------------------- pods


@_rule("restricted-namespace", "Pod Security; CIS 4.2")
def _namespace(objects: Sequence[Object]) -> Found:
    enforce = "pod-security.kubernetes.io/enforce"
    for thing in of(objects, "Namespace"):
        if thing["metadata"].get("labels", {}).get(enforce) != "restricted":
            yield thing, f"{enforce} is not restricted"
        version = thing["metadata"].get("labels", {}).get(f"{enforce}-version", "latest")
        if version == "latest":
            yield thing, f"{enforce}-version is not said: an upgrade could refuse what runs"


@_rule("own-namespace", "CIS 4.6.3; CKV_K8S_21")
def _own_namespace(objects: Sequence[Object]) -> Found:
    for group in pods(objects):
        if group.namespace == "default":
            yield group.owner, "is in the default namespace, which no policy of ours covers"


@_rule("restricted-pod", "Pod Security; CIS 4.2.1–4.2.9")
def _restricted(objects: Sequence[Object]) -> Found:
    for group in pods(objects):
        yield from ((group.owner, text) for text in _pod_breaks(group))
        for container in group.containers:
            for text in _container_breaks(container):
                yield group.owner, f"container {container['name']}: {text}"


def _pod_breaks(group: Pods) -> Iterator[str]:
    context = group.spec.get("securityContext", {})
    if context.get("runAsNonRoot") is not True or context.get("runAsUser") == 0:
        yield "may run as root"
    if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "has no seccomp profile"
    yield from (f"has {field}" for field in HOST if group.spec.get(field))
    for volume in group.spec.get("volumes", []):
        yield from (f"mounts {kind}" for kind in volume.keys() - VOLUMES - {"name"})


def _container_breaks(container: Mapping[str, Any]) -> Iterator[str]:
    context = container.get("securityContext", {})
    if context.get("allowPrivilegeEscalation") is not False:
        yield "may gain privileges"
    if context.get("capabilities", {}).get("drop") != ["ALL"]:
        yield "keeps capabilities"
    if context.get("capabilities", {}).get("add"):
        yield "adds capabilities"
    if context.get("privileged"):
        yield "is privileged"


@_rule("read-only-root", "CIS 4.6.2; CKV_K8S_22")
def _read_only(objects: Sequence[Object]) -> Found:
    for group in pods(objects):
        for container in group.containers:
            if container.get("securityContext", {}).get("readOnlyRootFilesystem") is not True:
                yield group.owner, f"container {container['name']} may write to its image"


@_rule("bounded-resources", "CKV_K8S_10–13")
def _bounded(objects: Sequence[Object]) -> Found:
    for group in pods(objects):
        for container in group.containers:
            given = container.get("resources", {})
            for kind in ("requests", "limits"):
                for missing in {"cpu", "memory"} - given.get(kind, {}).keys():
                    yield group.owner, f"container {container['name']} has no {kind}.{missing}"


@_rule("probed", "CKV_K8S_8, 9")
def _probed(objects: Sequence[Object]) -> Found:
    for group in pods(objects):
        if group.owner["kind"] in ("Job", "CronJob"):
            continue
        wanted = {"readinessProbe"}
        if group.owner["kind"] == "Rollout":
            wanted |= {"livenessProbe", "startupProbe"}
        for missing in wanted - group.spec["containers"][0].keys():
            yield group.owner, f"has no {missing}"


@_rule("drain-fits", "minimise downtime during deployments (AGIC)")
def _drains(objects: Sequence[Object]) -> Found:
    for group in pods(objects):
        if group.owner["kind"] != "Rollout":
            continue
        stop = group.spec["containers"][0].get("lifecycle", {}).get("preStop", {})
        asleep = stop.get("sleep", {}).get("seconds", 0)
        grace = group.spec.get("terminationGracePeriodSeconds", 30)
        if not asleep:
            yield group.owner, "goes without a preStop sleep: gateways still send it requests"
        if asleep + GRACEFUL_S >= grace:
            yield group.owner, f"is killed after {grace} s and needs {asleep + GRACEFUL_S} s"


@_rule("own-account", "CIS 4.1.5, 4.1.6")
def _account(objects: Sequence[Object]) -> Found:
    bound = {
        (subject["name"], subject.get("namespace"))
        for binding in of(objects, "RoleBinding", "ClusterRoleBinding")
        for subject in binding.get("subjects", [])
    }
    accounts = {(t["metadata"]["name"], namespace(t)): t for t in of(objects, "ServiceAccount")}
    for group in pods(objects):
        key = (group.spec.get("serviceAccountName", "default"), group.namespace)
        account: Object = accounts.get(key, {})
        mounts = group.spec.get(
            "automountServiceAccountToken", account.get("automountServiceAccountToken", True)
        )
        if mounts and key not in bound:
            yield group.owner, "mounts a token that it has no use for"


@_rule("no-wildcards", "CIS 4.1.3")
def _wildcards(objects: Sequence[Object]) -> Found:
    for role in of(objects, "Role", "ClusterRole"):
        for rule in role.get("rules", []):
            for field in ("apiGroups", "resources", "verbs"):
                if "*" in rule.get(field, []):
                    yield role, f"{field}: *"


# ------------------------------------------------------------------------------------- secrets


@_rule("secrets-as-files", "CIS 4.5.1")
def _as_files(objects: Sequence[Object]) -> Found:
    for group in pods(objects):
        for container in group.containers:
            sources = [v.get("valueFrom", {}) for v in container.get("env", [])]
            if any("secretKeyRef" in source for source in sources) or any(
                "secretRef" in source for source in container.get("envFrom", [])
            ):
                yield group.owner, f"container {container['name']} has a secret in its environment"


@_rule("no-secret-in-git", "CIS 4.5.2")
def _in_git(objects: Sequence[Object]) -> Found:
    for thing in of(objects, "Secret"):
        yield thing, "a Secret's values would be in Git"


@_rule("no-copied-secret", "CIS 4.5.2")
def _copied(objects: Sequence[Object]) -> Found:
    for thing in of(objects, "SecretProviderClass"):
        if thing.get("spec", {}).get("secretObjects"):
            yield thing, "copies the vault's values into a Secret"


# ---------------------------------------------------------------------------- configuration


@_rule("configuration-exists", "Kustomize leaves a hash out where it knows no name")
def _exists(objects: Sequence[Object]) -> Found:
    made = {(t["metadata"]["name"], namespace(t)) for t in of(objects, "ConfigMap")}
    for group in pods(objects):
        for name in sorted(_config_maps(group)):
            if (name, group.namespace) not in made:
                yield group.owner, f"waits for ConfigMap {name}, which nothing here makes"


def _config_maps(group: Pods) -> set[str]:
    """The ConfigMaps without which its pods do not start."""
    wanted: list[Mapping[str, Any]] = []
    for volume in group.spec.get("volumes", []):
        wanted += [volume.get("configMap", {})]
        wanted += [s.get("configMap", {}) for s in volume.get("projected", {}).get("sources", [])]
    for container in group.containers:
        wanted += [source.get("configMapRef", {}) for source in container.get("envFrom", [])]
        given = [variable.get("valueFrom", {}) for variable in container.get("env", [])]
        wanted += [value.get("configMapKeyRef", {}) for value in given]
    return {str(one["name"]) for one in wanted if "name" in one and not one.get("optional")}


@_rule("no-faults", "the service's faults are for rehearsals")
def _faults(objects: Sequence[Object]) -> Found:
    for thing in of(objects, "ConfigMap"):
        if platform(objects) and FAULTS in thing.get("data", {}):
            yield thing, f"sets {FAULTS}: users would meet the faults"
    for group in pods(objects):
        for container in group.containers:
            if any(variable["name"] == FAULTS for variable in container.get("env", [])):
                yield group.owner, f"container {container['name']} sets {FAULTS}"


# ------------------------------------------------------------------------------------- images


@_rule("pinned-image", "CIS 5.1.4; OpenSSF Pinned-Dependencies")
def _pinned(objects: Sequence[Object]) -> Found:
    registry = platform(objects).get("REGISTRY")
    for group in pods(objects):
        for container in group.containers:
            image = str(container["image"])
            if registry and not re.match(rf"{re.escape(registry)}/gridos[:@]", image):
                yield group.owner, f"{image} is not {registry}'s gridos"
            if registry and not re.search(r"@sha256:[0-9a-f]{64}$", image):
                yield group.owner, f"{image} is not pinned by digest"
            if image.endswith(":latest") or ":" not in image.rpartition("/")[2]:
                yield group.owner, f"{image} is whatever was pushed last"


# ------------------------------------------------------------------------------------- network


@_rule("default-deny", "CIS 4.4.2")
def _default_deny(objects: Sequence[Object]) -> Found:
    closed: dict[str, set[str]] = {}
    for policy in of(objects, "NetworkPolicy"):
        spec = policy.get("spec", {})
        if not spec.get("podSelector") and not spec.get("ingress") and not spec.get("egress"):
            closed.setdefault(namespace(policy), set()).update(spec.get("policyTypes", []))
    exposed = {namespace(t) for t in of(objects, "Rollout")}
    for thing in of(objects, "Namespace"):
        name = thing["metadata"]["name"]
        if name in exposed:
            for way in {"Ingress", "Egress"} - closed.get(name, set()):
                yield thing, f"{way} is open to pods that no policy names"


@_rule("edge-is-the-api", "own judgement")
def _edge(objects: Sequence[Object]) -> Found:
    for ingress in of(objects, "Ingress"):
        for rule in ingress.get("spec", {}).get("rules", []):
            for path in rule.get("http", {}).get("paths", []):
                api = path.get("path") == "/v1" and path["pathType"] in ("Prefix", "Exact")
                # The bare address leads to the map below /v1.
                if not api and (path.get("path"), path["pathType"]) != ("/", "Exact"):
                    yield ingress, f"exposes {path.get('path', '/')} ({path['pathType']})"
        if ingress.get("spec", {}).get("defaultBackend"):
            yield ingress, "exposes everything by a default backend"


@_rule("edge-is-encrypted", "CIS 5.4.5")
def _encrypted(objects: Sequence[Object]) -> Found:
    for ingress in of(objects, "Ingress"):
        notes = ingress["metadata"].get("annotations", {})
        if not notes.get(f"{GATEWAY}appgw-ssl-certificate"):
            yield ingress, "has no certificate"
        if notes.get(f"{GATEWAY}ssl-redirect") != "true":
            yield ingress, "answers plain HTTP"


# -------------------------------------------------------------------------------- availability


@_rule("disruption-budget", "CKV_K8S; own judgement")
def _budget(objects: Sequence[Object]) -> Found:
    budgets = [
        t["spec"]["selector"]
        for t in of(objects, "PodDisruptionBudget")
        if "selector" in t.get("spec", {})
    ]
    for group in pods(objects):
        if group.owner["kind"] == "Rollout":
            matching = [s for s in budgets if selects(s, group.labels)]
            if not matching:
                yield group.owner, "has no PodDisruptionBudget over stable and canary"


@_rule("spread", "own judgement")
def _spread(objects: Sequence[Object]) -> Found:
    for group in pods(objects):
        if group.owner["kind"] == "Rollout":
            keys = {c["topologyKey"] for c in group.spec.get("topologySpreadConstraints", [])}
            for missing in {"topology.kubernetes.io/zone", "kubernetes.io/hostname"} - keys:
                yield group.owner, f"is not spread over {missing}"


@_rule("autoscaler-keeps-shares", "own judgement")
def _shares(objects: Sequence[Object]) -> Found:
    replicas = {t["metadata"]["name"]: t["spec"].get("replicas", 1) for t in of(objects, "Rollout")}
    for scaler in of(objects, "HorizontalPodAutoscaler"):
        spec = scaler.get("spec", {})
        name, least = spec.get("scaleTargetRef", {}).get("name"), spec.get("minReplicas", 1)
        if least < replicas.get(name, 0):
            yield scaler, f"may leave {least} pods, too few to say the first step's share"


# ------------------------------------------------------------------------------------- Argo CD


@_rule("nothing-waits-for-the-rollout", "Argo CD sync waves")
def _last(objects: Sequence[Object]) -> Found:
    def wave(thing: Object) -> int:
        # Argo CD takes what is no number as none.
        given = str(thing["metadata"].get("annotations", {}).get(WAVE, "0"))
        return int(given) if re.fullmatch(r"-?\d{1,9}", given) else 0

    rollouts = [wave(thing) for thing in of(objects, "Rollout")]
    for thing in objects:
        if rollouts and wave(thing) > max(rollouts):
            yield thing, "comes after the Rollout: its sync would last as long as the canary"
