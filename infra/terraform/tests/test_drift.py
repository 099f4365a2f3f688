"""What Azure changes by itself is no change to a plan, and what holds data is never destroyed.

Real Terraform plans on a state that says what Azure would after it grew a disc, failed over, let AGIC
route and took an imported certificate. The provider here knows schemas only: it shows as an update
what azurerm 5.2.0 makes a replacement of (a disc that is larger than configured).
"""

import re
import shutil
from pathlib import Path

import applied
import pytest
import workspace

pytestmark = pytest.mark.acceptance

SERVER = "azurerm_postgresql_flexible_server.this"
GATEWAY = "azurerm_application_gateway.this"
CERTIFICATE = "azurerm_key_vault_certificate.gateway"
STATE_ACCOUNT = "azurerm_storage_account.state"
DATABASE = "azurerm_postgresql_flexible_server_database"
DAY_2 = workspace.SOURCE.parent.parent / "docs" / "day-2.md"

# What holds data, secrets, images or the state.
KEPT = {
    ".": (
        SERVER,
        "azurerm_postgresql_flexible_server_database.gridos",
        "azurerm_container_registry.this",
        "azurerm_key_vault.this",
    ),
    "bootstrap": (STATE_ACCOUNT, "azurerm_storage_container.state"),
}
IGNORED = re.compile(r"ignore_changes\s*=\s*\[(?:[^\[\]]|\[\d\])*\]")
VARIABLES = {".": "environments/production.tfvars", "bootstrap": "gridos.tfvars"}


@pytest.fixture(scope="session")
def settled(tmp_path_factory):
    """A copy of each root with a state whose plan is empty."""
    copies = {}
    for root in KEPT:
        copies[root] = workspace.copy(tmp_path_factory.mktemp("settled")) / root
        try:
            applied.settle(copies[root], copies[root] / VARIABLES[root])
        except workspace.UnavailableError as cause:
            pytest.skip(str(cause))
    return copies


@pytest.fixture
def standing(settled, tmp_path):
    """A copy of those, to be changed."""
    folders = {}
    for root, folder in settled.items():
        whole = folder if root == "." else folder.parent
        target = tmp_path / root.replace(".", "platform")
        shutil.copytree(whole, target, symlinks=True)
        folders[root] = target / root
    return folders


def planned(folder: Path, root: str) -> dict[str, str]:
    return dict(applied.changes(workspace.plan(folder, folder / VARIABLES[root])))


def grow_the_disc(state):
    attributes = applied.attributes(state, SERVER)
    assert attributes["storage_mb"] == 131072
    attributes |= {"storage_mb": 262144, "storage_tier": "P15"}


def fail_over(state):
    attributes = applied.attributes(state, SERVER)
    attributes["zone"] = "2"
    attributes["high_availability"][0]["standby_availability_zone"] = "1"


def let_agic_route(state):
    attributes = applied.attributes(state, GATEWAY)
    pool, settings = attributes["backend_address_pool"][0], attributes["backend_http_settings"][0]
    attributes["backend_address_pool"] = [
        pool | {"name": "pool-gridos", "ip_addresses": ["10.244.0.9"]}
    ]
    attributes["backend_http_settings"] = [settings | {"name": "bp-gridos"}]
    for listener in attributes["http_listener"]:
        listener["name"] = "fl-" + listener["name"]
    for port in attributes["frontend_port"]:
        port["name"] = "fp-" + port["name"]
    for rule in attributes["request_routing_rule"]:
        rule |= {
            "name": "rr-" + rule["name"],
            "http_listener_name": "fl-" + rule["http_listener_name"],
        }
    attributes["redirect_configuration"][0]["name"] = "sslr-gridos"
    attributes["tags"] = attributes["tags"] | {"managed-by-k8s-ingress": "1.9.4"}


def import_a_certificate(state):
    """As the ACME job does: the vault writes the policy anew."""
    policy = applied.attributes(state, CERTIFICATE)["certificate_policy"][0]
    policy["issuer_parameters"][0]["name"] = "Unknown"
    policy["lifetime_action"] = []


def let_an_operator_in(state):
    """`az storage account network-rule add`, and a subnet's rule stays."""
    applied.attributes(state, STATE_ACCOUNT)["network_rules"][0]["ip_rules"] = ["192.0.2.7"]


CHANGES = {
    ".": (grow_the_disc, fail_over, let_agic_route, import_a_certificate),
    "bootstrap": (let_an_operator_in,),
}


def drift(folders):
    for root, changes in CHANGES.items():
        state = applied.read(folders[root])
        for change in changes:
            change(state)
        applied.write(folders[root], state)


def test_a_plan_right_after_an_apply_is_empty(standing):
    assert {root: planned(folder, root) for root, folder in standing.items()} == {
        ".": {},
        "bootstrap": {},
    }


def test_what_azure_changes_by_itself_is_no_change_to_a_plan(standing):
    drift(standing)

    assert {root: planned(folder, root) for root, folder in standing.items()} == {
        ".": {},
        "bootstrap": {},
    }


def test_each_of_those_changes_is_one_where_it_is_not_ignored(standing):
    """Or the test above would pass because nothing changed."""
    drift(standing)
    for folder in standing.values():
        for file in folder.glob("main.*.tf"):
            text = IGNORED.sub("", file.read_text())
            file.write_text(text)

    assert planned(standing["."], ".").keys() == {SERVER, GATEWAY, CERTIFICATE}
    assert planned(standing["bootstrap"], "bootstrap").keys() == {STATE_ACCOUNT}


@pytest.mark.parametrize(
    ("root", "kept"), [(root, kept) for root, all_kept in KEPT.items() for kept in all_kept]
)
def test_what_holds_data_cannot_be_destroyed(standing, root, kept):
    """Nor replaced: Terraform refuses the plan, whoever approved it. Each by itself, since Terraform
    does not look at a server when it may not delete what is in it."""
    override = (workspace.SOURCE / lifts_protection(root)).read_text()
    kind, name = kept.split(".")
    alone = re.sub(rf'resource "{kind}" "{name}" {{\n.*?\n}}\n', "", override, flags=re.DOTALL)
    assert alone != override
    (standing[root] / "destroy_override.tf").write_text(alone)

    refused = destroy(standing[root], root)

    assert refused.returncode == 1
    named = re.findall(r"Resource ([\w.]+)\S* has lifecycle\.prevent_destroy", said(refused))
    assert set(named) == {kept}


@pytest.mark.parametrize("root", KEPT)
def test_who_means_it_can_destroy_it_with_the_file_that_the_page_gives(standing, root):
    shutil.copy(workspace.SOURCE / lifts_protection(root), standing[root] / "destroy_override.tf")

    done = destroy(standing[root], root)

    assert done.returncode == 0, done.stderr


def lifts_protection(root):
    page = (workspace.SOURCE.parents[1] / "docs/azure.md").read_text()
    command = rf"^cp (\S+) {re.escape(root)}/destroy_override\.tf$"
    (file,) = re.findall(command, page, re.MULTILINE)
    return file


def test_a_restored_server_takes_the_old_ones_place_and_nothing_is_deleted(standing):
    """As docs/day-2.md says: the old server's parts leave the state, the new server is imported.

    What only changes here is replaced by azurerm when it is tied to a server, so nothing that is may.
    """
    folder, root = standing["."], "."
    restored = "psql-gridos-prd-weu-x1g-r1"
    forgotten = re.search(
        r"terraform state rm (.*?)\n +terraform import", DAY_2.read_text(), re.DOTALL
    )
    assert forgotten, "docs/day-2.md no longer says what the state is to forget"
    addresses = re.findall(r"azurerm_[\w.]+(?:\[\"\w+\"\])?", forgotten[1])
    state = applied.read(folder)
    server = dict(applied.attributes(state, SERVER))
    database = dict(applied.attributes(state, f"{DATABASE}.gridos"))
    for address in addresses:
        applied.forget(state, address)
    applied.adopt(state, SERVER, server | {"name": restored, "id": server["id"] + "-r1"})
    applied.adopt(state, f"{DATABASE}.gridos", database | {"server_id": server["id"] + "-r1"})
    applied.write(folder, state)
    variables = folder / VARIABLES[root]
    variables.write_text(
        variables.read_text().replace(
            "database = {", f'database = {{\n  server_name = "{restored}"'
        )
    )

    done = planned(folder, root)

    made = {address for address, acts in done.items() if acts == "create"}
    assert {address.partition("[")[0] for address in made} == {
        "azurerm_management_lock.this",
        "azurerm_monitor_diagnostic_setting.this",
        "azurerm_postgresql_flexible_server_active_directory_administrator.this",
        "azurerm_postgresql_flexible_server_configuration.this",
    }
    assert done.keys() - made == {'azurerm_monitor_metric_alert.this["database-storage"]'}


def destroy(folder, root):
    return workspace.terraform(
        folder,
        "plan",
        "-destroy",
        "-input=false",
        "-no-color",
        f"-var-file={folder / VARIABLES[root]}",
    )


def said(done):
    return " ".join(done.stderr.replace("│", " ").split())
