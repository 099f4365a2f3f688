"""What the Prometheus operator makes of the charts' objects and of ours, by the operator itself."""

import urllib.parse

import pytest
import yaml
from observe import alertmanager, rules

from acceptance import apiserver
from acceptance.cluster import PODS_JOB
from acceptance.composition import contract
from acceptance.composition.composed import Composed
from acceptance.composition.operated import HASH, OVERLAY, STACK, Operated
from canary.errors import MachineError
from canary.runtime.alertmanager import amtool
from policies import objects

pytestmark = pytest.mark.cluster
SCRAPED = ("job", "endpoint", "instance")
# Who is told what, as files of the vault (deploy/argocd/platform/receivers.yaml).
RECEIVERS = "/etc/alertmanager/secrets/gridos-receivers"
# Commands of runbooks, and of each what it must find.
FOUND = {
    "kubectl -n monitoring get servicemonitors": ["kube-prometheus-stack-prometheus"],
    "kubectl get servicemonitors,podmonitors,probes -A": [
        "servicemonitor.monitoring.coreos.com/kube-prometheus-stack-alertmanager",
        "podmonitor.monitoring.coreos.com/gridos",
        "probe.monitoring.coreos.com/gridos",
    ],
}


@pytest.fixture(scope="module")
def contracts(root):
    return contract.load(root / "acceptance/composition/contracts")


@pytest.fixture(scope="module")
def operated(tmp_path_factory, contracts):
    if missing := apiserver.missing("prometheus", "go"):
        remedy = "build the test cluster's programs, and install Go 1.26"
        raise MachineError(f"not on PATH: {', '.join(missing)}", remedy)
    folder = tmp_path_factory.mktemp("operated")
    # Endpoints of the API server itself are made for an address that others could reach.
    with apiserver.serve(folder, "--advertise-address=192.0.2.1") as server:
        running = Operated(server, folder, contracts)
        try:
            running.bring_up()
            running.scrape()
            yield running
        finally:
            running.close()


@pytest.fixture(scope="module")
def ours(operated):
    """Our pods' target as the operator's configuration has it, and as the local overlay's has."""
    found = {one.pool: one.labels for one in operated.found()}
    return found["podMonitor/gridos/gridos/0"], found[PODS_JOB]


def test_what_is_scraped_is_what_the_composition_counts_on(operated, contracts):
    """Jobs, ports, paths, whether labels are kept, and which series are dropped."""
    assert operated.targets() == set(Composed(contracts).targets)


def test_a_pod_of_a_release_carries_its_hash_as_gates_ask_for_it(ours):
    labels, _ = ours
    assert labels["rollouts_pod_template_hash"] == HASH
    assert labels["job"] == "gridos/gridos"
    assert labels["endpoint"] == "management"


def test_the_local_overlays_prometheus_labels_our_pods_as_the_operators_does(ours):
    """Rehearsals on a cluster would prove gates against other labels than production has."""
    theirs, local = ({k: v for k, v in one.items() if k not in SCRAPED} for one in ours)
    assert local == theirs
    assert theirs.keys() == {"namespace", "pod", "container", "rollouts_pod_template_hash"}


def test_the_probe_asks_the_way_in_by_https(operated, root):
    (ingress,) = objects.of(objects.read(root / OVERLAY), "Ingress")
    (probe,) = (one for one in operated.found() if one.pool == "probe/gridos/gridos")
    asked = urllib.parse.urlsplit(probe.url)
    assert asked.netloc == "blackbox-exporter.monitoring.svc:9115"
    (target,) = urllib.parse.parse_qs(asked.query)["target"]
    assert target == f"https://{ingress['spec']['rules'][0]['host']}/v1/"
    assert probe.labels["instance"] == target
    assert probe.labels["namespace"] == "gridos"


def test_prometheus_takes_in_every_rule_of_ours(operated, root):
    groups = rules.read(root / "observability/rules")
    assert {rule.name for group in groups for rule in group.rules} <= operated.evaluated()


def test_alertmanager_gets_the_shipped_routes_and_the_texts_that_they_name(
    operated, root, tmp_path
):
    shipped = (root / "observability/alertmanager/alertmanager.yaml").read_text("utf-8")
    text, files = operated.routes()
    assert yaml.safe_load(text) == yaml.safe_load(shipped)
    file = tmp_path / "alertmanager.yaml"
    file.write_text(text.replace("/etc/alertmanager/config/", f"{tmp_path}/"), "utf-8")
    (tmp_path / "gridos.tmpl").write_text(
        (root / "observability/alertmanager/gridos.tmpl").read_text("utf-8"), "utf-8"
    )
    assert alertmanager.check(amtool(), file) == ""
    spec = operated.template("Alertmanager")["spec"]
    (program,) = (c for c in spec["containers"] if c["name"] == "alertmanager")
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    mounts = {
        m["mountPath"]: volumes[m["name"]] for m in program["volumeMounts"] if m["name"] in volumes
    }
    for named in yaml.safe_load(shipped)["templates"]:
        folder, _, name = named.rpartition("/")
        assert name in files
        assert mounts[folder]["secret"]["secretName"].endswith("-generated")
    assert mounts[RECEIVERS]["csi"]["volumeAttributes"] == {
        "secretProviderClass": "gridos-receivers"
    }


@pytest.mark.parametrize("kind", ["Prometheus", "Alertmanager"])
def test_the_operators_pods_and_services_are_those_that_the_contract_says(
    operated, contracts, kind
):
    """NetworkPolicies and gates name them."""
    stack = contracts[STACK]
    (service,) = (s for s in stack.services if s.name == f"{kind.lower()}-operated")
    made = operated.service(service.namespace, service.name)
    assert service.labels.items() <= made["metadata"]["labels"].items()
    ports = {port["name"]: port["port"] for port in made["spec"]["ports"]}
    assert service.ports.items() <= ports.items()
    labels = operated.template(kind)["metadata"]["labels"]
    (pods,) = (p for p in stack.pods if kind.lower() in p.labels)
    assert pods.labels.items() <= labels.items()


def test_the_kubelets_service_is_the_one_that_the_contract_says(operated, contracts):
    (service,) = (s for s in contracts[STACK].services if s.name.endswith("-kubelet"))
    made = operated.service(service.namespace, service.name)
    assert service.labels.items() <= made["metadata"]["labels"].items()
    assert service.ports == {port["name"]: port["port"] for port in made["spec"]["ports"]}


@pytest.mark.parametrize("command", FOUND)
def test_a_runbooks_command_finds_the_charts_monitors_and_ours(operated, command):
    said = operated.types(command)
    assert [name for name in FOUND[command] if name not in said] == []


def test_a_log_that_is_asked_for_without_a_container_is_alertmanagers(operated):
    """A runbook asks for it by the pods' label; beside the program each has a reloader."""
    about = operated.template("Alertmanager")["metadata"]["annotations"]
    assert about["kubectl.kubernetes.io/default-container"] == "alertmanager"
