"""A container's environment, resolved as the kubelet would, from what stands in on this machine."""

import math
import os
import re
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from canary.argo import objects, quantities
from canary.errors import UsageError

_PLACEHOLDER = re.compile(r"\{([\w.-]+)\}")
_REFERENCE = re.compile(r"\$?\$\(([\w.-]+)\)")
_LABEL_PATH = re.compile(r"^metadata\.(labels|annotations)\['([^']+)'\]$")


@dataclass(frozen=True)
class Sources:
    """Where values come from: the bundle's ConfigMaps and the machine's stand-ins for Secrets."""

    config_maps: Mapping[str, Mapping[str, str]]
    secrets: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class PodFacts:
    """What the downward API can tell a container of its pod."""

    name: str
    namespace: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    ip: str

    @property
    def uid(self) -> str:
        """What an API server would call it; the same for the same name."""
        return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{self.name}.{self.namespace}"))


def fill(text: str, values: Mapping[str, str]) -> str:
    """The text with each `{name}` that has a value replaced by it; other braces stay."""
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), text)


def expand(text: str, variables: Mapping[str, str]) -> str:
    """The text with each `$(NAME)` replaced as Kubernetes does, `$$(NAME)` standing for itself."""
    return _REFERENCE.sub(
        lambda found: (
            found[0][1:] if found[0].startswith("$$") else variables.get(found[1], found[0])
        ),
        text,
    )


def resolve(container: objects.Container, pod: PodFacts, sources: Sources) -> dict[str, str]:
    """The variables a container starts with: `envFrom` first, then `env`, later ones winning.

    Raises:
        UsageError: if a ConfigMap, Secret, key or field cannot be had on this machine.
    """
    variables: dict[str, str] = {}
    for source in container.env_from:
        variables.update(_whole(source, sources))
    for variable in container.env:
        value = _single(variable, container, pod, sources, variables)
        if value is not None:
            variables[variable.name] = value
    return variables


def _whole(source: objects.EnvFrom, sources: Sources) -> Mapping[str, str]:
    reference = source.config_map_ref or source.secret_ref
    if reference is None:
        return {}
    store = sources.config_maps if source.config_map_ref else sources.secrets
    if reference.name in store or reference.optional:
        values = store.get(reference.name, {})
        return {source.prefix + name: value for name, value in values.items()}
    raise _missing(reference.name, bool(source.config_map_ref))


def _single(
    variable: objects.EnvVar,
    container: objects.Container,
    pod: PodFacts,
    sources: Sources,
    known: Mapping[str, str],
) -> str | None:
    source = variable.value_from
    if source is None:
        return expand(variable.value, known)
    if source.field_ref is not None:
        return _field(source.field_ref.field_path, pod)
    if source.resource_field_ref is not None:
        return _resource(source.resource_field_ref, container)
    if source.config_map_key_ref is not None:
        return _key(source.config_map_key_ref, sources.config_maps, config_map=True)
    if source.secret_key_ref is not None:
        return _key(source.secret_key_ref, sources.secrets, config_map=False)
    raise UsageError(f"env {variable.name} has an empty valueFrom", "give it a source")


def _field(path: str, pod: PodFacts) -> str:
    simple = {
        "metadata.name": pod.name,
        "metadata.namespace": pod.namespace,
        "status.podIP": pod.ip,
        "status.podIPs": pod.ip,
        "status.hostIP": pod.ip,
        "status.hostIPs": pod.ip,
        "metadata.uid": pod.uid,
        "spec.nodeName": "localhost",
        "spec.serviceAccountName": "default",
    }
    if path in simple:
        return simple[path]
    if found := _LABEL_PATH.match(path):
        return {"labels": pod.labels, "annotations": pod.annotations}[found[1]].get(found[2], "")
    raise UsageError(f"fieldPath {path} is not understood", f"use one of {', '.join(simple)}")


def _resource(selector: objects.ResourceSelector, container: objects.Container) -> str:
    """A request or limit; a limit that is not set is all that the machine has, as on a node."""
    kind, _, name = selector.resource.partition(".")
    resources = container.resources
    text = resources.limits.get(name) if kind == "limits" else resources.requests.get(name)
    if text is None:
        # An API server sets a request to its limit where there is none.
        text = resources.limits.get(name, "0") if kind == "requests" else _machine(name)
    # Kubernetes rounds up to whole divisors, and takes 0 as 1.
    return str(math.ceil(quantities.parse(text) / (quantities.parse(selector.divisor) or 1)))


def _machine(resource: str) -> str:
    """How much of a resource this machine has."""
    pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    disk = shutil.disk_usage(os.sep).total
    found = {"cpu": os.cpu_count() or 1, "memory": pages, "ephemeral-storage": disk}
    return str(found.get(resource, 0))


def _key(
    selector: objects.KeySelector, store: Mapping[str, Mapping[str, str]], *, config_map: bool
) -> str | None:
    if selector.key in store.get(selector.name, {}):
        return store[selector.name][selector.key]
    if selector.optional:
        return None
    raise _missing(f"{selector.name}.{selector.key}", config_map)


def _missing(name: str, config_map: bool) -> UsageError:
    if config_map:
        return UsageError(f"ConfigMap {name} is referenced and missing", "add it to the manifests")
    return UsageError(
        f"Secret {name} is referenced and has no fake",
        "add it under `secrets` in rehearsal.yaml",
    )
