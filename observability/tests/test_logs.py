"""The service's real lines in a real Loki by way of the real collector, and what is asked of them."""

import functools
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from observe import dashboards, loki, queries
from observe.panels import Source

from acceptance.services import Service
from canary.runtime import documents, processes
from canary.runtime.prometheus import QueryError
from canary.runtime.waiting import wait_until

LOGS = Path(__file__).parent.parent / "logs"
QUERIES = yaml.safe_load((LOGS / "queries.yaml").read_text())
STABLE, CANARY = "gridos-aaa111-pod01", "gridos-bbb222-pod02"
REQUEST = "the-request-that-is-asked-for"


def merged(base, over):
    if isinstance(base, dict) and isinstance(over, dict):
        return base | {key: merged(base.get(key), value) for key, value in over.items()}
    return over


def configuration(*names):
    """A configuration, with those over it that are named after it."""
    return functools.reduce(merged, (yaml.safe_load((LOGS / name).read_text()) for name in names))


@pytest.fixture(scope="session")
def installed(or_skip):
    return lambda name: or_skip(loki.find, name)


@pytest.fixture(scope="module")
def server(tmp_path_factory, installed):
    installed("loki")
    started = loki.Loki(tmp_path_factory.mktemp("loki"), LOGS)
    started.start()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def lines(seeded, tmp_path_factory):
    """Logs of two real pods, the canary's with failures; one request's id is chosen."""
    folder = tmp_path_factory.mktemp("pods")
    for pod, faults in ((STABLE, ""), (CANARY, "errors=100%")):
        given = {"GRIDOS_DATABASE_URL": seeded, "GRIDOS_FAULTS": faults}
        with Service(folder, given, pod) as service:
            service.start().await_ready()
            for number in range(6):
                request_id = REQUEST if (pod, number) == (CANARY, 0) else f"{pod}-{number}"
                service.ask("/v1/feeders", headers={"X-Request-ID": request_id})
            wait_until(lambda log=service.log: written(log) >= 6, timeout_s=60)
    return folder


def written(file):
    return file.read_text().count('"route":"/v1/feeders"')


@pytest.fixture(scope="module")
def shipped(server, lines, tmp_path_factory, installed):
    """Loki with every line of the two pods in it."""
    installed("otelcol")
    collector = loki.Collector(tmp_path_factory.mktemp("otelcol"), lines, server, LOGS)
    collector.start()
    counted = QUERIES["canary-against-stable"]
    assert wait_until(lambda: len(server.query(counted)) == 2, timeout_s=60, every_s=0.5)
    yield server
    collector.stop()


def asked():
    """Every LogQL query there is, its variables filled in."""
    panels = [p for d in dashboards.ALL for p in d.panels if p.source is Source.LOKI]
    of_panels = [queries.filled(t.query, rate="5m") for p in panels for t in p.targets]
    assert len(of_panels) == 3
    return [query.replace("{request_id}", REQUEST) for query in [*QUERIES.values(), *of_panels]]


@pytest.fixture(scope="module")
def grammar(tmp_path_factory):
    """What Grafana's own grammar cannot read of some queries, which needs Node.js and no Loki."""
    if not (shutil.which("npm") and shutil.which("node")):
        pytest.skip("node and npm are not on PATH: install Node.js to parse LogQL without a Loki")
    folder = tmp_path_factory.mktemp("grammar") / "grammar"
    shutil.copytree(LOGS / "grammar", folder, ignore=shutil.ignore_patterns("node_modules"))
    install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    subprocess.run(install, cwd=folder, check=True, capture_output=True, timeout=120)

    def refused(*texts):
        options = {"cwd": folder, "input": json.dumps(texts), "text": True, "timeout": 60}
        return json.loads(subprocess.check_output(["node", "parse.mjs"], **options))

    return refused


def test_the_grammar_reads_every_query(grammar):
    assert grammar(*asked()) == [""] * len(asked())


def test_the_grammar_refuses_a_stage_that_does_not_exist_and_an_open_bracket(grammar):
    assert all(grammar('{app="gridos"} | jsn', 'sum(rate({app="gridos"}[5m])'))


def test_loki_accepts_every_query_and_every_panel_of_the_logs_dashboard(server):
    assert all(server.parse(query) for query in asked())


def test_loki_is_asked_something_it_can_refuse(server):
    with pytest.raises(QueryError, match="parse error"):
        server.parse('{app="gridos"} | jsn')


def test_all_lines_of_a_request_are_found_by_its_id(shipped):
    query = QUERIES["all-lines-of-a-request"].replace("{request_id}", REQUEST)
    found = [value[1] for stream in shipped.query(query) for value in stream["values"]]
    assert len(found) >= 1
    assert all(f'"request_id":"{REQUEST}"' in line or REQUEST in line for line in found)


def test_failures_are_counted_by_route(shipped):
    (route,) = shipped.query(QUERIES["failures-by-route"])
    assert route["metric"] == {"route": "/v1/feeders"}
    assert float(route["value"][1]) == 6


def test_canary_and_stable_are_told_apart(shipped):
    counted = {
        r["metric"]["rollouts_pod_template_hash"]: float(r["value"][1])
        for r in shipped.query(QUERIES["canary-against-stable"])
    }
    assert set(counted) == {"aaa111", "bbb222"}
    assert min(counted.values()) >= 6


def test_labels_stay_few_whatever_the_lines_say(shipped):
    streams = shipped.query('{app="gridos"}', limit="1000")
    assert shipped.labels() <= {"app", "namespace", "env", "__stream_shard__", "service_name"}
    assert streams


def test_azure_differs_in_its_storage_and_enters_it_without_a_key():
    local, azure = configuration("loki.yaml"), configuration("loki.yaml", "loki.azure.yaml")
    assert azure["storage_config"]["azure"]["use_federated_token"] is True
    assert "account_key" not in str(azure)
    (schema,) = azure["schema_config"]["configs"]
    assert (schema["schema"], schema["store"], schema["object_store"]) == ("v13", "tsdb", "azure")
    assert azure["limits_config"] == local["limits_config"]


def test_the_charts_loki_is_the_one_that_is_asked_here_on_azures_storage(root):
    loki = yaml.safe_load((root / "deploy/argocd/platform/loki-values.yaml").read_text())["loki"]
    ours = configuration("loki.yaml", "loki.azure.yaml")
    assert loki["limits_config"] == ours["limits_config"]
    assert loki["schemaConfig"] == ours["schema_config"]
    assert loki["storage"]["azure"]["useFederatedToken"] is True
    storage = ours["storage_config"]["azure"]
    assert loki["storage"]["bucketNames"]["chunks"] == storage["container_name"]
    assert loki["compactor"].items() <= ours["compactor"].items()


def test_the_dashboard_asks_for_the_labels_that_the_collector_sets():
    processors = configuration("collector.yaml")["processors"]
    statements = processors["transform/sort"]["log_statements"][0]["statements"]
    of_loki = configuration("loki.yaml")["limits_config"]["otlp_config"]["resource_attributes"]
    indexed = of_loki["attributes_config"][0]["attributes"]
    assert {s.split('"')[1] for s in statements} == set(indexed)


@pytest.mark.parametrize("over", ["", "logs/collector.local.yaml", "local/collector.docker.yaml"])
def test_the_collector_accepts_its_configuration_with_each_that_goes_over_it(
    over, root, tmp_path, installed
):
    files = [LOGS / "collector.yaml", *([root / "observability" / over] if over else [])]
    named = [f"--config=file:{file}" for file in files]
    environment = {**os.environ, "OTEL_STATE": str(tmp_path), "GRIDOS_LOGS": str(tmp_path)}
    command = [installed("otelcol"), "validate", *named]
    done = processes.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_collector_knows_every_component_by_the_name_that_is_used_and_no_older_one(installed):
    said = subprocess.check_output([installed("otelcol"), "components"], text=True)
    known, ours = yaml.safe_load(said), configuration("collector.yaml")
    kinds = ("receivers", "processors", "exporters", "extensions")
    used = {kind: {name.split("/")[0] for name in ours[kind]} for kind in kinds}
    assert all(used.values())
    for kind, names in used.items():
        assert names <= {component["name"] for component in known[kind]}


@pytest.mark.parametrize("over", [(), ("loki.azure.yaml",)], ids=["", "loki.azure.yaml"])
def test_loki_accepts_its_configuration_on_disc_and_on_azure(over, tmp_path, installed):
    file = tmp_path / "loki.yaml"
    file.write_text(yaml.safe_dump(configuration("loki.yaml", *over)))
    environment = {**os.environ, "LOKI_DATA": str(tmp_path), "LOKI_STORAGE_ACCOUNT": "gridoslogs"}
    command = [installed("loki"), f"-config.file={file}", "-config.expand-env", "-verify-config"]
    done = processes.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


# ------------------------------------------------------------------------ the agent on a cluster


@pytest.fixture(scope="module")
def agent():
    """(the DaemonSet, its one container, every object) as Kustomize renders them."""
    objects = [found.body for found in documents.read(LOGS)]
    (daemons,) = [body for body in objects if body["kind"] == "DaemonSet"]
    (container,) = daemons["spec"]["template"]["spec"]["containers"]
    return daemons, container, objects


def test_the_agent_is_given_every_variable_that_its_configuration_asks_for(agent):
    _, container, objects = agent
    (configuration,) = [body for body in objects if body["kind"] == "ConfigMap"]
    text = configuration["data"]["collector.yaml"]
    assert text == (LOGS / "collector.yaml").read_text()
    given = {variable["name"] for variable in container["env"]}
    asked = set(re.findall(r"\$\{env:(\w+)", text))
    assert asked <= given
    assert len(asked) == 4


def test_the_agent_reads_the_nodes_lines_and_can_write_its_place_in_them_and_nothing_else(agent):
    daemons, container, _ = agent
    on_node = {v["name"]: v for v in daemons["spec"]["template"]["spec"]["volumes"]}
    writable = [m["name"] for m in container["volumeMounts"] if not m.get("readOnly")]
    assert writable == ["state"]
    assert on_node["lines"]["hostPath"]["path"] == "/var/log/pods"
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_the_same_agent_runs_on_a_cluster_and_for_the_compose_file(agent, root):
    _, container, _ = agent
    compose = yaml.safe_load((root / "observability/compose.yaml").read_text())
    assert container["image"] == loki.COLLECTOR_IMAGE
    assert (
        container["image"].removeprefix("docker.io/") == compose["services"]["collector"]["image"]
    )
