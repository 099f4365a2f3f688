"""Names that Terraform and deploy/ must agree on, held together from both sides."""

import json
import re

import configuration
import pytest
import workspace
import write_overlay
import yaml

ENVIRONMENTS = ("dev", "staging", "production")
ROOT = workspace.SOURCE.parent.parent
DEPLOY = ROOT / "deploy"
PLATFORM = DEPLOY / "argocd" / "platform"
OUTPUTS = {
    "AZURE_CLIENT_ID": "00000000-0000-4000-8000-000000000003",
    "AZURE_TENANT_ID": "00000000-0000-4000-8000-000000000002",
    "KEY_VAULT_NAME": "kv-gridos-stg-weu-x1g",
    "REGISTRY": "crgridosstgweux1g.azurecr.io",
    "INGRESS_HOST": "staging.gridos.example.com",
    "CERTIFICATE": "gridos-tls",
    "DATABASE_HOST": "psql-gridos-stg-weu-x1g.postgres.database.azure.com",
    "DATABASE_NAME": "gridos",
    "DATABASE_ROLE": "id-workload-gridos-stg-weu",
}
# What only an apply can tell; until then an overlay has zeros.
APPLIED = {"AZURE_CLIENT_ID", "AZURE_TENANT_ID"}


def overlay(name):
    path = DEPLOY / "overlays" / name / "platform.env"
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def planned(plan, address):
    return next(
        change["change"]["after"]
        for change in plan["resource_changes"]
        if change["address"] == address
    )


def documents(path):
    return list(yaml.safe_load_all((DEPLOY / path).read_text()))


def test_the_script_writes_exactly_the_outputs():
    """The output, the script and what it writes have the same keys."""
    output = configuration.load(workspace.SOURCE / "outputs.tf")["output"]
    value = next(block["overlay"]["value"] for block in output if "overlay" in block)

    assert list(value) == list(write_overlay.SETTINGS)
    assert write_overlay.render(OUTPUTS).splitlines()[1:] == [
        f"{key}={value}" for key, value in OUTPUTS.items()
    ]


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_an_overlay_names_what_its_plan_makes(plans, name):
    settings = overlay(name)
    plan = plans[name]

    def name_of(address):
        return planned(plan, address)["name"]

    server = name_of("azurerm_postgresql_flexible_server.this")
    expected = {
        "KEY_VAULT_NAME": name_of("azurerm_key_vault.this"),
        "REGISTRY": f"{name_of('azurerm_container_registry.this')}.azurecr.io",
        "INGRESS_HOST": plan["variables"]["hostname"]["value"],
        "CERTIFICATE": name_of("azurerm_key_vault_certificate.gateway"),
        "DATABASE_HOST": f"{server}.postgres.database.azure.com",
        "DATABASE_NAME": name_of("azurerm_postgresql_flexible_server_database.gridos"),
        "DATABASE_ROLE": name_of('azurerm_user_assigned_identity.this["workload"]'),
    }

    assert {key: value for key, value in settings.items() if key not in APPLIED} == expected
    assert list(settings) == list(write_overlay.SETTINGS)


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_an_overlays_policies_admit_the_subnets_of_its_plan(plans, name):
    overlay(name)
    text = (DEPLOY / "overlays" / name / "kustomization.yaml").read_text()

    for subnet in ("gateway", "database"):
        planned_subnet = planned(plans[name], f'azurerm_subnet.this["{subnet}"]')
        assert planned_subnet["address_prefixes"][0] in text


def test_the_identity_accepts_the_service_account_of_deploy():
    account = documents("base/serviceaccount.yaml")[0]["metadata"]["name"]
    namespace = documents("base/namespace.yaml")[0]["metadata"]["name"]
    subject = configuration.local_values(workspace.SOURCE / "main.identity.tf")["workload_subject"]

    assert subject == f"system:serviceaccount:{namespace}:{account}"


@pytest.mark.parametrize(
    ("chart", "identity", "part"),
    [("loki", "loki", ()), ("kube-prometheus-stack", "alertmanager", ("alertmanager",))],
)
def test_an_identity_accepts_the_service_account_that_its_chart_makes(chart, identity, part):
    values = documents(PLATFORM / f"{chart}-values.yaml")[0]
    for key in part:
        values = values[key]
    (application,) = documents(PLATFORM / f"{chart}.yaml")
    spec = application["spec"].get("template", application)["spec"]
    stated = configuration.local_values(workspace.SOURCE / "main.identity.tf")

    assert stated["monitoring_subjects"][identity] == (
        f"system:serviceaccount:{spec['destination']['namespace']}:{values['serviceAccount']['name']}"
    )


def test_argo_cd_fills_in_only_labels_that_the_platform_gives_its_cluster():
    outputs = configuration.load(workspace.SOURCE / "outputs.tf")["output"]
    given = set(next(o["gitops_labels"]["value"] for o in outputs if "gitops_labels" in o))
    sets = [
        text for file in PLATFORM.glob("*.yaml") if "ApplicationSet" in (text := file.read_text())
    ]
    asked = {label for text in sets for label in re.findall(r"\.metadata\.labels\.(\w+)", text)}

    assert len(sets) == 4
    assert {"loki_account", "alertmanager_client_id", "registry", "environment"} <= asked <= given


def test_loki_is_kept_in_the_container_that_terraform_makes_for_as_long_as_it_keeps_blobs(plans):
    loki = documents(PLATFORM / "loki-values.yaml")[0]["loki"]
    container = planned(plans["staging"], "azurerm_storage_container.loki")
    kept = configuration.local_values(workspace.SOURCE / "main.logs.tf")["lines_kept_days"]

    assert loki["storage"]["bucketNames"]["chunks"] == container["name"]
    assert loki["limits_config"]["retention_period"] == f"{kept}d"


def provided(path):
    """Alias by object of a SecretProviderClass."""
    objects = yaml.safe_load(documents(path)[0]["spec"]["parameters"]["objects"])["array"]
    entries = [yaml.safe_load(entry) for entry in objects]
    return {entry["objectName"]: entry["objectAlias"] for entry in entries}


def test_the_pods_mount_the_secrets_that_the_vault_has():
    stated = configuration.local_values(workspace.SOURCE / "main.vault.tf")

    assert set(provided("base/secretproviderclass.yaml")) == {stated["api_keys_name"]}


def test_alertmanager_mounts_the_receivers_that_the_vault_has():
    stated = configuration.local_values(workspace.SOURCE / "main.vault.tf")
    mounted = provided(ROOT / "observability/alertmanager/azure/secretproviderclass.yaml")

    assert mounted == {f"{stated['receiver_prefix']}{file}": file for file in stated["receivers"]}


def test_the_gateway_may_reach_the_port_that_the_pods_listen_on():
    service = documents("base/rollout.yaml")[0]["spec"]["template"]["spec"]["containers"][0]
    rules = configuration.local_values(workspace.SOURCE / "main.network-security.tf")["inbound"]
    ports = next(rule["ports"] for rule in rules["nodes"] if rule["name"] == "gateway-to-pods")

    # The management port is for the kubelet and Prometheus, and no gateway.
    assert [str(p["containerPort"]) for p in service["ports"] if p["name"] == "http"] == list(ports)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({**OUTPUTS, "SPARE": "x"}, "unknown ['SPARE']"),
        ({key: OUTPUTS[key] for key in list(OUTPUTS)[1:]}, "missing ['AZURE_CLIENT_ID']"),
        ({**OUTPUTS, "REGISTRY": "x\nEVIL=1"}, "no plain text in ['REGISTRY']"),
        ({**OUTPUTS, "REGISTRY": None}, "no plain text in ['REGISTRY']"),
        (["no", "object"], "terraform output -json overlay"),
    ],
)
def test_other_input_is_refused_and_nothing_is_written(settings, complaint, tmp_path, capsys):
    assert write_overlay.main([str(tmp_path)], json.dumps(settings)) == 2

    assert complaint in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_overlay_is_written_where_it_was_asked_for(tmp_path, capsys):
    assert write_overlay.main([str(tmp_path)], json.dumps(OUTPUTS)) == 0
    assert (tmp_path / "platform.env").read_text() == write_overlay.render(OUTPUTS)

    assert write_overlay.main([str(tmp_path / "none")], json.dumps(OUTPUTS)) == 2
    assert "no such folder" in capsys.readouterr().err
