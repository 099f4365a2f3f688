"""On a real cluster: the service's lines reach Loki, and its own controllers fill their panels.

The collector is deployed by the manifests of logs/; Loki and a Prometheus with our rules stand beside
the pods, on the node's own address. A faulty release is shipped, aborted by its gate, and asked about.
"""

import os
import time
from pathlib import Path
from string import Template

import pytest
import yaml
from observe import dashboards, loki, queries
from observe.loki import COLLECTOR_IMAGE, Loki

from acceptance.client import ask
from acceptance.cluster import HOST, INSIDE, KUBECONFIG, pods_scrape
from acceptance.observability import panel_coverage
from acceptance.observability.panel_coverage import Recorded
from acceptance.rehearsed import CANARY
from canary.errors import MachineError
from canary.runtime import documents, processes
from canary.runtime.kubectl import connect
from canary.runtime.prometheus import Prometheus
from canary.runtime.waiting import wait_until

LOGS = Path("observability/logs")
RULES = Path("observability/rules")
CLUSTER = Path(__file__).with_name("cluster.yaml")
# What two cores carry beside a cluster, as conformance's own rehearsals.
FAULT, SCALE, RATE = "errors=20%", "3", "60"
REQUEST = "the-request-that-is-asked-for"
# What a rehearsal on one machine has not, and this cluster has; its overlay's kube-state-metrics
# knows pods alone.
MET = {dashboards.CONTROLLER, dashboards.CADVISOR}
REHEARSAL_TIMEOUT_S = 600
READY_TIMEOUT_S = 90
ARRIVE_TIMEOUT_S = 60
LAST_RECORDED = "gridos:slo_time_budget_consumed:ratio"
RECORDED_TIMEOUT_S = 150


@pytest.fixture(scope="module")
def collector(platform):
    """The cluster, with the collector's image."""
    if INSIDE in os.environ:
        return
    for name in ("loki", "otelcol"):
        loki.find(name)
    platform.fake(COLLECTOR_IMAGE, "otelcol")


@pytest.mark.cluster
@pytest.mark.inside
def test_lines_reach_loki_and_panels_that_need_a_cluster_show_its_data(
    cluster, collector, tmp_path, measured
):
    kubectl = connect(None)
    server = Loki(tmp_path / "loki", address=HOST)
    watching = Prometheus(tmp_path / "prometheus", jobs=[], extra=_scraping())
    server.start()
    try:
        _deploy_collector(kubectl, server)
        watching.start()
        began = time.time()
        _ship()
        pods = _pods(kubectl)
        _ask_one(pods)
        for asked, answer, good in _ask(server, kubectl, pods):
            measured(asked, answer)
            assert good, (asked, answer)
        # The last to come of what is recorded: twice a minute's interval after the first requests.
        wait_until(lambda: watching.query(LAST_RECORDED) != (), RECORDED_TIMEOUT_S)
        record = Recorded(tmp_path / "prometheus", began, time.time())
    finally:
        watching.stop()
        server.stop()
    covered = panel_coverage.ask_all(record, dashboards.ALL)
    met = [one for one in covered if one.panel.needs in MET]
    shown = [one for one in met if one.stale]
    measured("panels that need a cluster and show its data", f"{len(shown)} of {len(met)}")
    others = [one for one in covered if one.panel.needs not in MET]
    empty = [one for one in met if not one.stale] + [one for one in others if not one.good]
    assert [(one.dashboard, one.panel.title, one.error) for one in empty] == []


def _scraping():
    """The local overlay's scrapes from outside a pod, the controller's, and our rules."""
    pods = pods_scrape(kubeconfig_file=str(KUBECONFIG))
    others = Template(CLUSTER.read_text("utf-8")).substitute(host=HOST, access=KUBECONFIG)
    return {
        "global": {"scrape_interval": "5s", "scrape_timeout": "4s", "evaluation_interval": "5s"},
        "rule_files": [str(RULES.resolve() / "*.yaml"), str(RULES.resolve() / "alerts/*.yaml")],
        "scrape_configs": [pods, *yaml.safe_load(others)],
    }


def _deploy_collector(kubectl, server):
    """The shipped manifests, led to the Loki that stands beside the pods."""
    rendered = [found.body for found in documents.read(LOGS)]
    (agent,) = [body for body in rendered if body["kind"] == "DaemonSet"]
    (container,) = agent["spec"]["template"]["spec"]["containers"]
    for variable in container["env"]:
        if variable["name"] == "LOKI_ENDPOINT":
            variable["value"] = f"{server.url}/otlp"
    # In two steps, since a namespace must be there before what lies in it.
    kubectl.apply(yaml.safe_dump_all([b for b in rendered if b["kind"] == "Namespace"]))
    kubectl.apply(yaml.safe_dump_all(rendered))
    where = ("-n", agent["metadata"]["namespace"], f"--timeout={READY_TIMEOUT_S}s")
    kubectl.run("rollout", "status", f"daemonset/{agent['metadata']['name']}", *where)


def _ship():
    """A bad release, until its gate has ended it."""
    command = [CANARY, "rehearse", "--target", "cluster", "--time-scale", SCALE]
    command += ["--rate", RATE, "--fault", FAULT]
    done = processes.run(command, check=False, timeout=REHEARSAL_TIMEOUT_S)
    if done.returncode != 1:
        raise MachineError(f"the bad release was not rolled back ({done.returncode})", "see above")


def _pods(kubectl):
    """Addresses of the ready pods, by name."""
    found = kubectl.get("gridos", ["pods"], "app.kubernetes.io/name=gridos")
    return {
        pod["metadata"]["name"]: pod["status"]["podIP"]
        for pod in found
        if pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]
    }


def _ask_one(pods):
    """One request whose id is known, to a pod itself: a gateway may give ids of its own."""
    address = next(iter(pods.values()))
    answer = ask(f"http://{address}:8000/v1/feeders", headers={"X-Request-ID": REQUEST})
    assert answer.status == 200


def _ask(server, kubectl, pods):
    """The questions of logs/queries.yaml, the Logs dashboard's, and whether all has arrived."""
    written = yaml.safe_load((LOGS / "queries.yaml").read_text(encoding="utf-8"))
    yield _request(server, written["all-lines-of-a-request"].replace("{request_id}", REQUEST))
    yield _counts(server, "5xx by route, 5 minutes", written["failures-by-route"], least=1)
    yield _counts(server, "lines by release, 5 minutes", written["canary-against-stable"], least=2)
    yield _complete(server, kubectl, min(pods))
    for panel in dashboards.LOGS.panels:
        asked = [queries.filled(target.query, rate="5m") for target in panel.targets]
        filled = all(server.query(query) for query in asked)
        yield (f"panel {panel.title}", "shows data" if filled else "EMPTY", filled)
    names = server.labels() - {"__stream_shard__", "service_name"}
    yield ("labels", ", ".join(sorted(names)), names <= {"app", "namespace", "env"})


def _request(server, query):
    wait_until(lambda: bool(server.query(query)), ARRIVE_TIMEOUT_S, every_s=0.5)
    lines = [value[1] for stream in server.query(query) for value in stream["values"]]
    good = bool(lines) and all(REQUEST in line for line in lines)
    return (f"all lines of request {REQUEST}", f"{len(lines)} line(s)", good)


def _counts(server, asked, query, least):
    """Counts by the one label that a query keeps: so many of them, and none without it."""
    counts = {
        "".join(found["metric"].values()): float(found["value"][1]) for found in server.query(query)
    }
    said = ", ".join(f"{name or 'unknown'} {count:.0f}" for name, count in sorted(counts.items()))
    return (asked, said, len(counts) >= least and "" not in counts)


def _complete(server, kubectl, pod):
    """Whether every line that a pod has written until now arrives."""
    lines = len(kubectl.run("logs", "-n", "gridos", pod, "-c", "gridos").splitlines())
    counting = f'sum(count_over_time({{app="gridos"}} | k8s_pod_name="{pod}" [1h]))'

    def arrived():
        return sum(int(found["value"][1]) for found in server.query(counting))

    good = wait_until(lambda: arrived() >= lines, ARRIVE_TIMEOUT_S, every_s=1)
    return (f"lines of {pod}", f"{arrived()} of {lines} that it had written", good)
