"""What Azure changes by itself is no change to a plan, and what holds data is never destroyed.

Real Terraform plans on a state that says what Azure would after it grew a disc, failed over, let AGIC
route and took an imported certificate. With azurerm itself (from its registry, or from a mirror named
in TF_CLI_CONFIG_FILE) the server, the gateway and the state's account are made in a stand-in for
Azure's API on loopback, are changed there, and azurerm reads them. A mirror whose azurerm knows
schemas only leaves that out, and shows as an update what azurerm makes a replacement of.

Left out: what Azure would refuse; and the certificate's own API, whose answer is written into the state.
"""

import json
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

NOTHING = {".": {}, "bootstrap": {}}
# What is about the server, and replaced or changed with it.
TIED = re.compile(r"_postgresql_|\[\"database(-storage)?\"\]")
# What azurerm itself makes and reads; another's state is made up from plans.
READ = {".": (SERVER, GATEWAY), "bootstrap": (STATE_ACCOUNT,)}


@pytest.fixture(scope="module")
def settled(led_to_azure, azure, tmp_path_factory):
    """A copy of each root with a state whose plan is empty."""
    copies = {}
    for root in KEPT:
        copies[root] = workspace.copy(tmp_path_factory.mktemp("settled")) / root
        variables = copies[root] / VARIABLES[root]
        try:
            applied.settle(copies[root], variables)
        except workspace.UnavailableError as cause:
            pytest.skip(str(cause))
        if azure.asked:
            applied.make(copies[root], variables, READ[root])
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
    return dict(applied.changes(applied.plan(folder, folder / VARIABLES[root])))


def all_planned(folders):
    return {root: planned(folder, root) for root, folder in folders.items()}


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
        rule["name"] = "rr-" + rule["name"]
        rule["http_listener_name"] = "fl-" + rule["http_listener_name"]
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
    assert all_planned(standing) == NOTHING


def test_what_azure_changes_by_itself_is_no_change_to_a_plan(standing):
    drift(standing)

    assert all_planned(standing) == NOTHING


def test_each_of_those_changes_is_one_where_it_is_not_ignored(standing, azure):
    """Or the test above would pass because nothing changed."""
    drift(standing)
    for root, folder in standing.items():
        shutil.copy(workspace.SOURCE / lifts_protection(root), folder / "destroy_override.tf")
        for file in folder.glob("main.*.tf"):
            file.write_text(IGNORED.sub("", file.read_text()))

    changed = planned(standing["."], ".")
    assert planned(standing["bootstrap"], "bootstrap").keys() == {STATE_ACCOUNT}
    if azure.asked:
        # And with the server all that is tied to it.
        assert changed[SERVER] == "delete, create"
        changed = {a: acts for a, acts in changed.items() if a == SERVER or not TIED.search(a)}
    assert changed.keys() == {SERVER, GATEWAY, CERTIFICATE}


def change_in_azure(azure):
    """The same changes as `drift` writes into the state, in the words of Azure's API."""
    server = azure.find("flexibleServers")["properties"]
    server["storage"] |= {"storageSizeGB": 256, "tier": "P15"}
    server["availabilityZone"] = "2"
    server["highAvailability"]["standbyAvailabilityZone"] = "1"
    route_as_agic(azure.find("applicationGateways"))
    azure.find("storageAccounts")["properties"]["networkAcls"]["ipRules"] = [
        {"action": "Allow", "value": "192.0.2.7"}
    ]


# What AGIC owns of a gateway, and the prefix of the names that it gives.
AGICS = {
    "backendAddressPools": "pool-",
    "backendHttpSettingsCollection": "bp-",
    "frontendPorts": "fp-",
    "httpListeners": "fl-",
    "redirectConfigurations": "sslr-",
    "requestRoutingRules": "rr-",
}


def route_as_agic(gateway):
    """AGIC writes these whole, under names of its own."""
    text = json.dumps(gateway)
    for kind, prefix in AGICS.items():
        text = re.sub(rf'/{kind}/([\w-]+)"', rf'/{kind}/{prefix}\1"', text)
    gateway.update(json.loads(text))
    for kind, prefix in AGICS.items():
        for part in gateway["properties"][kind]:
            part["name"] = prefix + part["name"]
    pool = gateway["properties"]["backendAddressPools"][0]
    pool["properties"]["backendAddresses"] = [{"ipAddress": "10.244.0.9"}]
    gateway["tags"]["managed-by-k8s-ingress"] = "1.9.4"


def test_azurerm_reads_each_of_those_changes_in_azure_and_plans_none(standing, azure, tmp_path):
    if not azure.asked:
        pytest.skip("azurerm of this mirror knows schemas only and asks no API")
    change_in_azure(azure)
    for root, addresses in READ.items():
        applied.reread(standing[root], tmp_path / f"read-{len(root)}", addresses)
    state = applied.read(standing["."])

    server, gateway = (applied.attributes(state, address) for address in READ["."])
    assert (server["storage_mb"], server["storage_tier"], server["zone"]) == (262144, "P15", "2")
    assert {rule["name"] for rule in gateway["request_routing_rule"]} == {"rr-http", "rr-https"}
    assert gateway["tags"]["managed-by-k8s-ingress"] == "1.9.4"
    account = applied.attributes(applied.read(standing["bootstrap"]), STATE_ACCOUNT)
    assert account["network_rules"][0]["ip_rules"] == ["192.0.2.7"]
    assert all_planned(standing) == NOTHING


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
    server = applied.instance(state, SERVER)
    database = applied.instance(state, f"{DATABASE}.gridos")
    new = server["attributes"]["id"] + "-r1"
    for address in addresses:
        applied.forget(state, address)
    applied.adopt(state, SERVER, server, name=restored, id=new)
    applied.adopt(state, f"{DATABASE}.gridos", database, server_id=new)
    applied.write(folder, state)
    variables = folder / VARIABLES[root]
    named = f'database = {{\n  server_name = "{restored}"'
    variables.write_text(variables.read_text().replace("database = {", named))

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
    asked = ("-destroy", "-refresh=false", "-input=false", "-no-color")
    return workspace.terraform(folder, "plan", *asked, f"-var-file={folder / VARIABLES[root]}")


def said(done):
    return " ".join(done.stderr.replace("│", " ").split())
