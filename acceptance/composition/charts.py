"""The charts that Argo CD and Terraform install: name, version, namespace and our values."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from policies import objects

APPLICATIONS = Path("deploy/argocd")
TERRAFORM = Path("infra/terraform/gitops/main.tf")
# What an ApplicationSet fills in from the cluster's labels (infra/terraform/gitops).
LABELS = {
    "alertmanager_client_id": "00000000-0000-4000-8000-00000000e003",
    "environment": "production",
    "loki_account": "stgridosprdweux1g",
    "loki_client_id": "00000000-0000-4000-8000-00000000e004",
    "registry": "crgridosprdweux1g.azurecr.io",
    "tenant_id": "00000000-0000-4000-8000-000000000002",
    "vault_name": "kv-gridos-prd-weu-x1g",
    "workload_client_id": "00000000-0000-4000-8000-00000000e002",
}
_LABEL = re.compile(r"\{\{ \.metadata\.labels\.(\w+) \}\}")
_RELEASE = re.compile(r'^resource "helm_release" "\w+" \{\n(.*?)^\}', re.DOTALL | re.MULTILINE)
_FIELD = re.compile(r'^ +(\w+) += "([^"]+)"', re.MULTILINE)
_FILE = re.compile(r'file\("\$\{path\.module\}/([^"]+)"\)')


@dataclass(frozen=True)
class Chart:
    """One chart as it is installed; later values win."""

    release: str
    name: str
    repository: str
    version: str
    namespace: str
    values: tuple[Mapping[str, Any], ...]

    @property
    def digest(self) -> str:
        """What our values are known by: the contract of other values is another."""
        text = json.dumps(self.values, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def read(root: Path) -> tuple[Chart, ...]:
    """Every chart that the repository installs, by the name of its release."""
    found = [*_of_argo_cd(root), *_of_terraform(root)]
    return tuple(sorted(found, key=lambda chart: chart.release))


def applications(root: Path) -> Iterator[Mapping[str, Any]]:
    """Argo CD's Applications, those that an ApplicationSet makes included, labels filled in."""
    environment = root / APPLICATIONS / f"application-{LABELS['environment']}.yaml"
    for thing in [*objects.read(root / APPLICATIONS), *objects.read(environment)]:
        if thing["kind"] == "Application":
            yield thing
        elif thing["kind"] == "ApplicationSet":
            template = json.loads(_LABEL.sub(_filled, json.dumps(thing["spec"]["template"])))
            metadata = {**thing["metadata"], **template["metadata"]}
            yield {"kind": "Application", "metadata": metadata, "spec": template["spec"]}


def sources(application: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Where an Application takes its objects from."""
    spec = application["spec"]
    return list(spec.get("sources") or [spec["source"]])


def _of_argo_cd(root: Path) -> Iterator[Chart]:
    for application in applications(root):
        for source in sources(application):
            if "chart" in source:
                helm = source.get("helm", {})
                files = [name.removeprefix("$values/") for name in helm.get("valueFiles", [])]
                inline = [helm["valuesObject"]] if "valuesObject" in helm else []
                yield Chart(
                    release=application["metadata"]["name"],
                    name=source["chart"],
                    repository=source["repoURL"],
                    version=str(source["targetRevision"]),
                    namespace=application["spec"]["destination"]["namespace"],
                    values=(*(_values(root / name) for name in files), *inline),
                )


def _of_terraform(root: Path) -> Iterator[Chart]:
    text = (root / TERRAFORM).read_text(encoding="utf-8")
    for block in _RELEASE.findall(text):
        fields = dict(_FIELD.findall(block))
        yield Chart(
            release=fields["name"],
            name=fields["chart"],
            repository=fields["repository"],
            version=fields["version"],
            namespace=fields["namespace"],
            values=tuple(
                _values((root / TERRAFORM).with_name(name)) for name in _FILE.findall(block)
            ),
        )


def _values(file: Path) -> Mapping[str, Any]:
    content: Mapping[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    return content


def _filled(found: re.Match[str]) -> str:
    return LABELS[found[1]]
