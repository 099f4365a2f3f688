"""Every object meets the schema of its kind, and the schemas would say so if it did not."""

import copy
import json

import pytest

from policies import objects, schema

SETS = [
    "deploy/overlays/dev",
    "deploy/overlays/staging",
    "deploy/overlays/production",
    "deploy/overlays/local",
    "deploy/argocd",
    "deploy/argocd/platform/external-secrets.yaml",
    "deploy/notifications",
    "deploy/admission",
    "observability",
    "observability/logs",
]


@pytest.fixture(scope="session")
def optional(root, tmp_path_factory):
    """Production with each component that no overlay uses."""
    overlay = root / "deploy/overlays/production"
    found = {}
    for component in ("external-secrets",):
        folder = tmp_path_factory.mktemp(component)
        (folder / "platform.env").write_text((overlay / "platform.env").read_text())
        lines = ["resources: [base]", "components:"]
        lines += [f"  - components/{name}" for name in ("azure", component)]
        lines += [
            "configMapGenerator:",
            "  - {name: platform, namespace: gridos, envs: [platform.env]}",
        ]
        (folder / "kustomization.yaml").write_text("\n".join(lines))
        for name in ("base", "components"):
            (folder / name).symlink_to(root / "deploy" / name)
        found[component] = objects.read(folder)
    return found


@pytest.fixture(scope="session")
def rendered(root, optional):
    applications = [
        t
        for f in sorted((root / "deploy/argocd").glob("application-*.yaml"))
        for t in objects.read(f)
    ]
    sets = {path: objects.read(root / path) for path in SETS}
    return sets | {"applications": applications} | optional


@pytest.mark.parametrize("version", schema.VERSIONS)
def test_every_object_of_every_set_is_valid(rendered, version):
    # Most objects are the same in several sets.
    unlike = {json.dumps(t, default=str): (t, p) for p, things in rendered.items() for t in things}
    for thing, path in unlike.values():
        assert schema.check([thing], version) == [], path


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Rollout", ("spec", "progresDeadlineAbort"), True),
        ("Rollout", ("spec", "replicas"), "ten"),
        ("AnalysisTemplate", ("spec", "metrics", 0, "sucessCondition"), "true"),
        ("PodMonitor", ("spec", "podMetricsEndpoints", 0, "pth"), "/metrics"),
        ("SecretProviderClass", ("spec", "parametres"), {}),
        ("HorizontalPodAutoscaler", ("spec", "minReplica"), 1),
        ("NetworkPolicy", ("spec", "podSelectors"), {}),
        ("Ingress", ("spec", "rules", 0, "http", "paths", 0, "pathType"), 3),
    ],
)
def test_a_misspelt_or_mistyped_field_is_refused(rendered, kind, path, value):
    thing = copy.deepcopy(
        next(t for t in rendered["deploy/overlays/production"] if t["kind"] == kind)
    )
    holder = thing
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    assert schema.check([thing], "1.35")


def test_an_object_of_an_api_without_a_schema_is_not_waved_through():
    stranger = {"apiVersion": "example.org/v1", "kind": "Widget", "metadata": {"name": "w"}}
    assert "not an API that we have a schema of" in schema.check([stranger], "1.35")[0]


@pytest.mark.parametrize("version", schema.VERSIONS)
def test_an_unknown_field_is_refused_in_every_kind_that_we_ship(rendered, version):
    things = {(t["apiVersion"], t["kind"]): t for each in rendered.values() for t in each}
    for name, thing in things.items():
        spoilt = copy.deepcopy(dict(thing))
        spoilt.get("spec", spoilt)["noSuchField"] = "x"
        assert schema.check([spoilt], version), name


def test_every_schema_that_we_keep_is_of_a_kind_that_we_ship(rendered):
    shipped = {
        f"{t['apiVersion'].replace('/', '_')}_{t['kind']}.json".lower()
        for each in rendered.values()
        for t in each
    }
    assert {file.name for file in schema.FOLDER.glob("*.json")} <= shipped
