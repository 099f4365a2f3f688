"""Overlays differ in scale, host and durations, never in standard; and their names agree."""

import ipaddress
import re

import pytest
import yaml

from canary import durations, yamls
from canary.argo import manifests, replicas
from canary.runtime import documents, kustomize
from policies import objects

AZURE = ("dev", "staging", "production")
DESPITE = "metadata.annotations['gridos.example.com/release-despite']"


@pytest.fixture(scope="session")
def base(root):
    rendered = yamls.objects("deploy/base", kustomize.build(root / "deploy/base"))
    return by_name([found.body for found in rendered])


@pytest.fixture(scope="session", params=AZURE)
def overlay(root, request):
    return request.param, by_name(objects.read(root / "deploy/overlays" / request.param))


def by_name(things):
    return {(t["kind"], re.sub(r"-[a-z0-9]{10}$", "", t["metadata"]["name"])): t for t in things}


def differences(before, after, path=""):
    """Paths at which two documents differ."""
    if type(before) is type(after) and isinstance(before, dict):
        for key in before.keys() | after.keys():
            yield from differences(before.get(key), after.get(key), f"{path}.{key}")
    elif type(before) is type(after) and isinstance(before, list) and len(before) == len(after):
        for index, (b, a) in enumerate(zip(before, after, strict=True)):
            yield from differences(b, a, f"{path}[{index}]")
    elif before != after:
        yield path


# Everything in which an environment on Azure may differ from the base.
MAY_DIFFER = {
    ("ConfigMap", r"\.data\.GRIDOS_(READS|TRUSTED_PROXIES)|\.metadata\.name"),
    ("ServiceAccount", r"\.metadata\.annotations\.azure\.workload\.identity/client-id"),
    ("SecretProviderClass", r"\.spec\.parameters\.(clientID|tenantId|keyvaultName)"),
    ("Ingress", r"\.metadata\.annotations\.appgw\.ingress\.kubernetes\.io/appgw-ssl-certificate"),
    ("Ingress", r"\.spec\.rules\[0\]\.host"),
    ("HorizontalPodAutoscaler", r"\.spec\.maxReplicas"),
    ("NetworkPolicy", r"\.spec\.ingress\[0\]\.from\[0\]\.ipBlock\.cidr"),
    ("NetworkPolicy", r"\.spec\.egress\[0\]\.to\[0\]\.ipBlock\.cidr"),
    ("Rollout", r"\.spec\.minReadySeconds"),
    ("Rollout", r"\.spec\.progressDeadlineSeconds"),
    ("Rollout", r"\.spec\.template\.spec\.terminationGracePeriodSeconds"),
    ("Rollout", r"\.spec\.template\.spec\.containers\[0\]\.(image|env|envFrom\[0\].*)"),
    ("Rollout", r"\.spec\.template\.spec\.containers\[0\]\.lifecycle\.preStop\.sleep\.seconds"),
    ("Rollout", r"\.spec\.strategy\.canary\.analysis\.(args|templates|startingStep)"),
    # Alerts that a fix is released despite, in its own commit.
    ("Rollout", r"\.metadata\.annotations\.gridos\.example\.com/release-despite"),
    # What is asked before the first step; the others are held below.
    ("Rollout", r"\.spec\.strategy\.canary\.steps"),
    ("Job", r"\.spec\.template\.spec\.containers\[0\]\.(image|env|envFrom\[0\].*)"),
    (
        "CronJob",
        r"\.spec\.jobTemplate\.spec\.template\.spec\.containers\[0\]\.(image|env|envFrom\[0\].*)",
    ),
}


def test_an_overlay_differs_from_the_base_in_nothing_else(base, overlay):
    _, rendered = overlay
    assert base.keys() <= rendered.keys()
    for name, thing in base.items():
        for path in differences(thing, rendered[name]):
            assert any(k == name[0] and re.fullmatch(p, path) for k, p in MAY_DIFFER), (name, path)


def test_load_and_topology_are_public_in_dev_alone(overlay):
    name, rendered = overlay
    settings = rendered["ConfigMap", "gridos-config"]["data"]
    assert settings.get("GRIDOS_READS", "public") == ("public" if name == "dev" else "keyed")
    assert settings["GRIDOS_TRUSTED_PROXIES"] == "1"


def test_an_overlay_adds_the_platforms_names_its_watchers_and_nothing_else(base, overlay):
    _, rendered = overlay
    added = {
        ("ConfigMap", "platform"),
        ("AnalysisTemplate", "blocking-alerts"),
        ("AnalysisTemplate", "release-may-start"),
        ("Probe", "gridos"),
    }
    assert rendered.keys() - base.keys() <= added


def test_every_object_says_its_namespace_so_that_no_way_of_applying_it_chooses_one(overlay):
    """A Rollout does not find a template that lies in another namespace."""
    _, rendered = overlay
    for (kind, name), thing in rendered.items():
        if kind != "Namespace":
            assert thing["metadata"].get("namespace") == "gridos", (kind, name)


@pytest.mark.parametrize("name", [*AZURE, "local"])
def test_the_gates_are_the_bases_in_every_environment(root, base, name):
    rendered = by_name(objects.read(root / "deploy/overlays" / name))
    gates = [key for key in base if key[0] == "AnalysisTemplate"]
    assert len(gates) == 3
    if name == "local":
        # Its gateway is an Envoy: one more metric, and where Envoy reaches a pod.
        guard = rendered["AnalysisTemplate", "release-guard"]["spec"]
        assert guard["metrics"].pop()["name"] == "gateway-errors-against-stable"
        port = base["Rollout", "gridos"]["spec"]["template"]["spec"]["containers"][0]["ports"][0]
        assert guard["args"].pop() == {"name": "pod-port", "value": str(port["containerPort"])}
    for key in gates:
        assert rendered[key] == base[key]


@pytest.mark.parametrize("name", [*AZURE, "local"])
def test_the_steps_are_the_bases_in_every_environment(root, base, name):
    rollout = ("Rollout", "gridos")
    canary = by_name(objects.read(root / "deploy/overlays" / name))[rollout]["spec"]["strategy"]
    args = [{"name": "despite", "valueFrom": {"fieldRef": {"fieldPath": DESPITE}}}]
    templates = [{"templateName": "release-may-start"}]
    asked = [{"analysis": {"templates": templates, "args": args}}]
    first = asked if name in ("staging", "production") else []
    steps = base[rollout]["spec"]["strategy"]["canary"]["steps"]
    assert canary["canary"]["steps"] == first + steps


@pytest.mark.parametrize("name", [*AZURE, "local"])
def test_the_guard_begins_with_the_first_weight_in_every_environment(root, name):
    canary = by_name(objects.read(root / "deploy/overlays" / name))["Rollout", "gridos"]["spec"][
        "strategy"
    ]["canary"]
    assert canary["steps"][canary["analysis"]["startingStep"]] == {"setWeight": 10}


def test_nothing_is_left_for_an_overlay_to_say(overlay):
    _, rendered = overlay
    text = yaml.safe_dump_all(rendered.values())
    assert "set-by-overlay" not in text
    assert "0.0.0.0/32" not in text


def test_every_name_of_the_platform_stands_where_it_belongs(root, overlay):
    name, rendered = overlay
    lines = (root / f"deploy/overlays/{name}/platform.env").read_text().splitlines()
    names = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    assert rendered["ConfigMap", "platform"]["data"] == names
    account = rendered["ServiceAccount", "gridos"]["metadata"]["annotations"]
    assert account == {"azure.workload.identity/client-id": names["AZURE_CLIENT_ID"]}
    parameters = rendered["SecretProviderClass", "gridos"]["spec"]["parameters"]
    assert parameters["tenantId"] == names["AZURE_TENANT_ID"]
    assert parameters["keyvaultName"] == names["KEY_VAULT_NAME"]
    assert rendered["Ingress", "gridos"]["spec"]["rules"][0]["host"] == names["INGRESS_HOST"]
    image = rendered["Rollout", "gridos"]["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image.startswith(f"{names['REGISTRY']}/gridos")


def test_the_host_and_the_subnets_are_terraforms(root, overlay):
    name, rendered = overlay
    given = (root / f"infra/terraform/environments/{name}.tfvars").read_text()
    network = (root / "infra/terraform/main.network.tf").read_text()

    def value(key):
        return re.search(rf'^{key}\s*=\s*"([^"]+)"', given, re.MULTILINE)[1]

    def subnet(key):
        bits, number = re.search(
            rf"{key}\s*= \{{\s*cidr\s*= cidrsubnet\(var\.vnet_cidr, (\d+), (\d+)\)", network
        ).groups()
        return str(list(ipaddress.ip_network(value("vnet_cidr")).subnets(int(bits)))[int(number)])

    assert rendered["Ingress", "gridos"]["spec"]["rules"][0]["host"] == value("hostname")
    policies = {n: t["spec"] for (kind, n), t in rendered.items() if kind == "NetworkPolicy"}
    assert policies["gateway"]["ingress"][0]["from"][0]["ipBlock"]["cidr"] == subnet("gateway")
    assert policies["database"]["egress"][0]["to"][0]["ipBlock"]["cidr"] == subnet("database")


def test_the_vaults_secret_is_the_one_that_terraform_makes(root, base):
    vault = (root / "infra/terraform/main.vault.tf").read_text()
    name = re.search(r'api_keys_name\s*=\s*"([^"]+)"', vault)[1]
    wanted = base["SecretProviderClass", "gridos"]["spec"]["parameters"]["objects"]
    (entry,) = [yaml.safe_load(e) for e in yaml.safe_load(wanted)["array"]]
    assert entry == {"objectName": name, "objectAlias": "api-keys", "objectType": "secret"}


def test_the_accounts_name_is_the_one_whose_tokens_the_identity_accepts(root, base):
    identity = (root / "infra/terraform/main.identity.tf").read_text()
    account = base["ServiceAccount", "gridos"]["metadata"]
    assert f"system:serviceaccount:{account['namespace']}:{account['name']}" in identity


def test_a_setting_that_changes_changes_the_pod_template(base):
    rollout = base["Rollout", "gridos"]["spec"]["template"]["spec"]["containers"][0]
    (generated,) = [t for (kind, _), t in base.items() if kind == "ConfigMap"]
    assert rollout["envFrom"][0]["configMapRef"]["name"] == generated["metadata"]["name"]
    assert re.fullmatch(r"gridos-config-[a-z0-9]{10}", generated["metadata"]["name"])


def stopping(spec):
    """Seconds that a pod sleeps before it stops, and that it has in all."""
    pod = spec["template"]["spec"]
    sleep = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    return sleep, pod["terminationGracePeriodSeconds"]


def test_a_step_outlasts_what_the_gateway_needs_to_send_traffic(overlay):
    _, rendered = overlay
    spec = rendered["Rollout", "gridos"]["spec"]
    assert spec["minReadySeconds"] == 60
    assert spec["progressDeadlineSeconds"] > 2 * spec["minReadySeconds"]


def test_a_pod_outlasts_what_the_gateway_needs_to_stop_sending_traffic(base, overlay):
    _, rendered = overlay
    assert stopping(base["Rollout", "gridos"]["spec"]) == (10, 40)
    assert stopping(rendered["Rollout", "gridos"]["spec"]) == (90, 120)
    notes = rendered["Ingress", "gridos"]["metadata"]["annotations"]
    drained = notes["appgw.ingress.kubernetes.io/connection-draining-timeout"]
    assert int(drained) < stopping(rendered["Rollout", "gridos"]["spec"])[0]


def test_the_local_prometheus_scrapes_as_the_podmonitor_says(root):
    local = yaml.safe_load((root / "deploy/overlays/local/prometheus.yml").read_text())
    monitor = manifests.read(documents.read(root / "deploy/base")).pod_monitor
    pods = next(job for job in local["scrape_configs"] if job["job_name"] == "gridos/gridos")
    endpoint = monitor.spec.pod_metrics_endpoints[0]
    assert durations.parse(local["global"]["scrape_interval"]) == endpoint.interval
    assert pods.get("metrics_path", "/metrics") == endpoint.path
    sources = {label for rule in pods["relabel_configs"] for label in rule["source_labels"]}
    port = "__meta_kubernetes_pod_container_port_name"
    kept = [rule["regex"] for rule in pods["relabel_configs"] if rule["source_labels"] == [port]]
    assert kept == [endpoint.port]
    for label in monitor.spec.pod_target_labels:
        assert f"__meta_kubernetes_pod_label_{label.replace('-', '_')}" in sources


def test_the_local_gateway_counts_by_pod_and_is_scraped_for_it(root):
    local = yaml.safe_load((root / "deploy/overlays/local/prometheus.yml").read_text())
    (scrape,) = (job for job in local["scrape_configs"] if job["job_name"] == "gateway")
    envoy = yaml.safe_load((root / "deploy/overlays/local/envoy.yaml").read_text())
    (cluster,) = envoy["static_resources"]["clusters"]
    assert cluster["track_cluster_stats"] == {"per_endpoint_stats": True}
    admin = envoy["admin"]["address"]["socket_address"]["port_value"]
    assert scrape["static_configs"] == [{"targets": [f"gateway.gridos.svc:{admin}"]}]


def values(root, chart):
    return yaml.safe_load((root / f"deploy/argocd/platform/{chart}-values.yaml").read_text())


def test_the_certificate_is_asked_for_by_the_exporter_that_the_platform_brings(root, overlay):
    _, rendered = overlay
    spec = rendered["Probe", "gridos"]["spec"]
    name, namespace, *_ = spec["prober"]["url"].split(".")
    exporter = yaml.safe_load((root / "deploy/argocd/platform/blackbox-exporter.yaml").read_text())
    assert name == values(root, "blackbox-exporter")["fullnameOverride"]
    assert namespace == exporter["spec"]["destination"]["namespace"]
    path = rendered["Ingress", "gridos"]["spec"]["rules"][0]["http"]["paths"][0]["path"]
    assert spec["targets"]["ingress"]["relabelingConfigs"][0]["replacement"] == f"https://$1{path}/"


def test_the_controllers_series_keep_the_namespace_that_they_are_about(root):
    prometheus = values(root, "kube-prometheus-stack")["prometheus"]
    monitors = {m["name"]: m["endpoints"] for m in prometheus["additionalServiceMonitors"]}
    assert monitors.keys() == {"argo-rollouts", "argo-cd"}
    assert all(e["honorLabels"] for endpoints in monitors.values() for e in endpoints)
    # The chart's own monitor, which cannot, would scrape them a second time.
    assert values(root, "argo-rollouts")["controller"]["metrics"] == {"enabled": True}


def test_the_local_gateway_lets_in_what_the_ingress_does(root, base):
    kinds = {"Prefix": "path_separated_prefix", "Exact": "path"}
    paths = base["Ingress", "gridos"]["spec"]["rules"][0]["http"]["paths"]
    envoy = (root / "deploy/overlays/local/envoy.yaml").read_text()
    assert re.findall(r"match: \{(\w+): (\S+)\}", envoy) == [
        (kinds[path["pathType"]], path["path"]) for path in paths
    ]


def test_whatever_the_autoscaler_does_the_shares_stay_near_what_the_steps_ask(overlay):
    _, rendered = overlay
    scaler = rendered["HorizontalPodAutoscaler", "gridos"]["spec"]
    canary = rendered["Rollout", "gridos"]["spec"]["strategy"]["canary"]
    weights = [step["setWeight"] for step in canary["steps"] if "setWeight" in step]
    assert weights == [10, 25, 50, 100]
    for wanted in range(scaler["minReplicas"], scaler["maxReplicas"] + 1):
        for weight in weights:
            new, old = replicas.split(wanted, weight, canary["maxSurge"], canary["maxUnavailable"])
            assert abs(100 * new / (new + old) - weight) < 3.5, (wanted, weight)


def test_the_autoscaler_takes_no_pod_away_within_a_step(base):
    down = base["HorizontalPodAutoscaler", "gridos"]["spec"]["behavior"]["scaleDown"]
    steps = base["Rollout", "gridos"]["spec"]["strategy"]["canary"]["steps"]
    pauses = [durations.parse(step["pause"]["duration"]) for step in steps if "pause" in step]
    assert down["stabilizationWindowSeconds"] > max(pauses)


def test_a_drained_node_takes_one_pod_at_a_time_and_is_never_held_up(base):
    budget = base["PodDisruptionBudget", "gridos"]["spec"]
    assert budget["maxUnavailable"] == 1
    assert "minAvailable" not in budget


def test_environments_differ_to_argo_cd_in_their_overlay_and_their_branch_alone(root):
    told = {}
    for name in AZURE:
        (application,) = objects.read(root / f"deploy/argocd/application-{name}.yaml")
        source = application["spec"]["source"]
        assert source.pop("path") == f"deploy/overlays/{name}"
        assert source.pop("targetRevision") == f"environments/{name}"
        told[name] = application
    assert told["dev"] == told["staging"] == told["production"]


def test_argo_cd_leaves_the_autoscalers_replicas_alone_and_nothing_else(root):
    (application,) = objects.read(root / "deploy/argocd/application-production.yaml")
    spec = application["spec"]
    assert spec["ignoreDifferences"] == [
        {"group": "argoproj.io", "kind": "Rollout", "jsonPointers": ["/spec/replicas"]}
    ]
    # Else a sync would still write what a comparison overlooks.
    assert "RespectIgnoreDifferences=true" in spec["syncPolicy"]["syncOptions"]
    assert spec["syncPolicy"]["automated"] == {"prune": True, "selfHeal": True}


def test_what_the_api_server_would_fill_in_is_said_so_that_argo_cd_sees_no_difference(base):
    """A custom resource's defaults come from its schema; Argo CD compares without them."""
    container = base["Rollout", "gridos"]["spec"]["template"]["spec"]["containers"][0]
    assert all("protocol" in port for port in container["ports"])
