"""On a real cluster: the service's lines reach Loki, and its own controllers fill their panels.

`prove` brings the cluster kit up and down; `main` is what runs in the cluster's network. The
collector is deployed by the manifests of logs/; Loki and a Prometheus with our rules stand beside
the pods, on the node's own address. A bad release is shipped, aborted by its gate, and asked about.
"""

from __future__ import annotations

import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from acceptance.conformance import kit
from acceptance.conformance.kit import HOST
from canary.errors import MachineError
from canary.runtime import documents, processes, program
from canary.runtime.kubectl import Kubectl, connect
from canary.runtime.prometheus import Prometheus
from canary.runtime.waiting import wait_until
from observe import dashboards, filling, loki, queries
from observe.filling import Filled, Recorded
from observe.loki import Loki

LOGS = Path("observability/logs")
RULES = Path("observability/rules")
SCRAPES = Path("deploy/overlays/local/prometheus.yml")
COLLECTOR_IMAGE = "docker.io/otel/opentelemetry-collector-contrib:0.160.0"
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


@dataclass(frozen=True)
class Found:
    """What was asked, and what came back."""

    asked: str
    answer: str
    good: bool


def prove(folder: Path) -> int:
    """Brings the kit up, runs `main` there, and takes it down; returns its exit code.

    Raises:
        MachineError: if there is no kit that can be used.
    """
    found = kit.find()
    if found is None:
        raise MachineError("no cluster can be had here", kit.unusable())
    for name in ("loki", "otelcol"):
        loki.find(name)
    try:
        found.up()
        found.stand_in(COLLECTOR_IMAGE, "otelcol")
        command = found.command("python", "-m", "observe.oncluster", str(folder.resolve()))
        return processes.run(command, check=False, cwd=kit.ROOT, timeout=kit.LONG_S).returncode
    finally:
        found.down()


def main(arguments: Sequence[str]) -> int:
    """Prints what was asked and answered; exit 0 if all of it is as it should be."""
    answers, filled = ask(Path(arguments[0]))
    sys.stdout.write(render(answers, filled))
    return 0 if all(one.good for one in answers) and not empty(filled) else 1


def ask(folder: Path) -> tuple[list[Found], list[Filled]]:
    """Ships a bad release on the cluster that is up, and asks its logs and its metrics.

    Raises:
        MachineError: if a part does not come up.
    """
    kubectl = connect(None)
    server = Loki(folder / "loki", address=HOST)
    watching = Prometheus(folder / "prometheus", jobs=[], extra=_scraping())
    server.start()
    try:
        _deploy_collector(kubectl, server)
        watching.start()
        began = time.time()
        _ship()
        pods = _pods(kubectl)
        _ask_one(pods)
        answers = list(_ask(server, kubectl, pods))
        # The last to come of what is recorded: twice a minute's interval after the first requests.
        wait_until(lambda: watching.query(LAST_RECORDED) != (), RECORDED_TIMEOUT_S)
        record = Recorded(folder / "prometheus", began, time.time())
    finally:
        watching.stop()
        server.stop()
    return answers, filling.fill(record, dashboards.ALL)


def render(answers: Sequence[Found], filled: Sequence[Filled]) -> str:
    """What the logs answered, and which panels the cluster filled that a laptop cannot."""
    text = "| asked of the logs | answer |\n|---|---|\n"
    text += "".join(f"| {one.asked} | {one.answer} |\n" for one in answers)
    needing = [one for one in filled if one.panel.needs in MET]
    shown = [one for one in needing if one.stale]
    text += f"\n{len(shown)} of {len(needing)} panels that need a cluster show its data\n"
    return text + "".join(
        f"EMPTY {one.dashboard}, {one.panel.title} {one.error}\n" for one in empty(filled)
    )


def empty(filled: Sequence[Filled]) -> list[Filled]:
    """The panels that show nothing although the cluster has what they need."""
    met = [one for one in filled if one.panel.needs in MET]
    others = [one for one in filled if one.panel.needs not in MET]
    return [one for one in met if not one.stale] + [one for one in others if not one.good]


def _scraping() -> dict[str, Any]:
    """The local overlay's scrapes from outside a pod, the controller's, and our rules."""
    access = str(kit.STATE / "admin.kubeconfig")
    body = yaml.safe_load(SCRAPES.read_text(encoding="utf-8"))
    pods = next(job for job in body["scrape_configs"] if job["job_name"] == "gridos/gridos")
    for discovered in pods["kubernetes_sd_configs"]:
        discovered["kubeconfig_file"] = access
    cadvisor = {
        "job_name": "cadvisor",
        "scheme": "https",
        "metrics_path": "/metrics/cadvisor",
        "tls_config": {"insecure_skip_verify": True},  # the kubelet's own certificate
        "honor_timestamps": False,
        "static_configs": [{"targets": [f"{HOST}:10250"]}],
    }
    state = {
        "job_name": "kube-state-metrics",
        "honor_labels": True,
        "kubernetes_sd_configs": [
            {"role": "pod", "namespaces": {"names": ["monitoring"]}, "kubeconfig_file": access}
        ],
        "relabel_configs": [
            {
                "source_labels": ["__meta_kubernetes_pod_label_app_kubernetes_io_name"],
                "regex": "kube-state-metrics",
                "action": "keep",
            }
        ],
    }
    controller = {
        "job_name": "argo-rollouts",
        "honor_labels": True,
        "static_configs": [{"targets": [f"{HOST}:8090"]}],
    }
    return {
        "global": {"scrape_interval": "5s", "scrape_timeout": "4s", "evaluation_interval": "5s"},
        "rule_files": [str(RULES.resolve() / "*.yaml"), str(RULES.resolve() / "alerts/*.yaml")],
        "scrape_configs": [pods, cadvisor, state, controller],
    }


def _deploy_collector(kubectl: Kubectl, server: Loki) -> None:
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


def _ship() -> None:
    """A bad release, until its gate has ended it."""
    program = str(Path(sys.executable).with_name("canary"))
    command = [program, "rehearse", "--target", "cluster", "--time-scale", SCALE]
    command += ["--rate", RATE, "--fault", FAULT]
    done = processes.run(command, check=False, timeout=REHEARSAL_TIMEOUT_S)
    if done.returncode != 1:
        raise MachineError(f"the bad release was not rolled back ({done.returncode})", "see above")


def _pods(kubectl: Kubectl) -> Mapping[str, str]:
    """Addresses of the ready pods, by name."""
    found = kubectl.get("gridos", ["pods"], "app.kubernetes.io/name=gridos")
    return {
        pod["metadata"]["name"]: pod["status"]["podIP"]
        for pod in found
        if pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]
    }


def _ask_one(pods: Mapping[str, str]) -> None:
    """One request whose id is known, to a pod itself: a gateway may give ids of its own."""
    address = next(iter(pods.values()))
    url = f"http://{address}:8000/v1/feeders"
    request = urllib.request.Request(url, headers={"X-Request-ID": REQUEST})
    urllib.request.urlopen(request, timeout=10).close()


def _ask(server: Loki, kubectl: Kubectl, pods: Mapping[str, str]) -> Iterator[Found]:
    """The questions of logs/queries.yaml, the Logs dashboard's, and whether all has arrived."""
    written = yaml.safe_load((LOGS / "queries.yaml").read_text(encoding="utf-8"))
    yield _request(server, written["all-lines-of-a-request"].replace("{request_id}", REQUEST))
    yield _counts(server, "5xx by route, 5 minutes", written["failures-by-route"], least=1)
    yield _counts(server, "lines by release, 5 minutes", written["canary-against-stable"], least=2)
    yield _complete(server, kubectl, min(pods))
    for panel in dashboards.LOGS.panels:
        asked = [queries.filled(target.query, rate="5m") for target in panel.targets]
        filled = all(server.query(query) for query in asked)
        yield Found(f"panel {panel.title}", "shows data" if filled else "EMPTY", filled)
    names = server.labels() - {"__stream_shard__", "service_name"}
    yield Found("labels", ", ".join(sorted(names)), names <= {"app", "namespace", "env"})


def _request(server: Loki, query: str) -> Found:
    wait_until(lambda: bool(server.query(query)), ARRIVE_TIMEOUT_S, every_s=0.5)
    lines = [value[1] for stream in server.query(query) for value in stream["values"]]
    good = bool(lines) and all(REQUEST in line for line in lines)
    return Found(f"all lines of request {REQUEST}", f"{len(lines)} line(s)", good)


def _counts(server: Loki, asked: str, query: str, least: int) -> Found:
    """Counts by the one label that a query keeps: so many of them, and none without it."""
    counts = {
        "".join(found["metric"].values()): float(found["value"][1]) for found in server.query(query)
    }
    said = ", ".join(f"{name or 'unknown'} {count:.0f}" for name, count in sorted(counts.items()))
    return Found(asked, said, len(counts) >= least and "" not in counts)


def _complete(server: Loki, kubectl: Kubectl, pod: str) -> Found:
    """Whether every line that a pod has written until now arrives."""
    lines = len(kubectl.run("logs", "-n", "gridos", pod, "-c", "gridos").splitlines())
    counting = f'sum(count_over_time({{app="gridos"}} | k8s_pod_name="{pod}" [1h]))'

    def arrived() -> int:
        return sum(int(found["value"][1]) for found in server.query(counting))

    good = wait_until(lambda: arrived() >= lines, ARRIVE_TIMEOUT_S, every_s=1)
    return Found(f"lines of {pod}", f"{arrived()} of {lines} that it had written", good)


if __name__ == "__main__":
    sys.exit(program.run("observe", main))
