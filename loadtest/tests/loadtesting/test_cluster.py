"""The manifests of the load test call the program as it is."""

import re

import pytest
import yaml
from loadtesting import cli, limits, mix

from canary.runtime import documents


@pytest.fixture(scope="module")
def folder(root):
    return root / "loadtest/cluster"


def read(file):
    return yaml.safe_load(file.read_text())


def rendered(folder):
    """((kind, name), object) of a kustomization, by a real Kustomize."""
    for found in documents.read(folder):
        yield (found.kind, found.name), found.body


def container(thing):
    pod = thing["spec"]["template"]["spec"]
    return pod["containers"][0]


def ingress(folder):
    return read(folder / "networkpolicy.yaml")["spec"]["ingress"]


def job_of_the_analysis(folder):
    (metric,) = read(folder / "analysis-load.yaml")["spec"]["metrics"]
    return metric["provider"]["job"]


def test_every_job_calls_the_program_with_options_it_has(folder):
    for thing in (read(folder / "job.yaml"), job_of_the_analysis(folder)):
        cli.parser().parse_args(container(thing)["args"])
        assert thing["spec"]["backoffLimit"] == 0


def test_the_master_waits_for_as_many_workers_as_there_are(folder):
    workers = read(folder / "deployment-workers.yaml")["spec"]["replicas"]
    assert f"--expect-workers={workers}" in container(read(folder / "job.yaml"))["args"]


def test_workers_find_their_master_by_the_services_name_and_port(folder):
    service = read(folder / "service.yaml")
    args = container(read(folder / "deployment-workers.yaml"))["args"]
    assert f"--master-host={service['metadata']['name']}" in args
    labels = read(folder / "job.yaml")["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == labels
    assert service["spec"]["ports"][0]["port"] == 5557  # Locust's default


def test_workers_are_told_of_every_newer_route(folder):
    told = {
        e["name"]: e["value"] for e in container(read(folder / "deployment-workers.yaml"))["env"]
    }
    assert told["LOADTEST_NEWER"].split() == [ask.path for ask in mix.NEWER_READS]


def test_the_kustomization_names_every_file_but_those_of_the_analysis(folder):
    named = set(read(folder / "kustomization.yaml")["resources"])
    present = {file.name for file in folder.glob("*.yaml")}
    analysis = {"analysis-load.yaml", "networkpolicy-analysis.yaml"}
    assert named == present - {"kustomization.yaml"} - analysis


def test_the_analysis_is_let_out_to_the_edge(folder):
    policy = read(folder / "networkpolicy-analysis.yaml")["spec"]
    labels = job_of_the_analysis(folder)["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"] == labels


def test_the_masters_metrics_are_scraped_where_they_are_served(folder):
    (endpoint,) = read(folder / "podmonitor.yaml")["spec"]["podMetricsEndpoints"]
    master = container(read(folder / "job.yaml"))
    (port,) = (p for p in master["ports"] if p["name"] == endpoint["port"])
    assert f"--metrics-port={port['containerPort']}" in master["args"]
    let_in = [p["port"] for rule in ingress(folder) for p in rule["ports"]]
    assert endpoint["port"] in let_in


def test_the_local_overlay_is_the_same_but_for_the_host_and_what_a_laptop_lacks(root, folder):
    shipped = dict(rendered(folder))
    local = dict(rendered(root / "loadtest/cluster-local"))
    assert set(shipped) - set(local) == {("PodMonitor", "load")}
    ours, theirs = (container(bundle["Job", "load"])["args"] for bundle in (local, shipped))
    changed = [(a, b) for a, b in zip(theirs, ours, strict=True) if a != b]
    assert changed == [("--host=https://grid.example", "--host=http://gateway.gridos")]
    assert container(local["Job", "load"])["image"] == "localhost/gridos-load:dev"


def test_the_image_copies_what_is_there_and_is_enough_to_read_the_limits(folder, root, tmp_path):
    sources = re.findall(r"^COPY (.+) \S+$", (folder / "Dockerfile").read_text(), re.MULTILINE)
    files = [root / source for line in sources for source in line.split()]
    assert all(file.exists() for file in files)
    for file in files:
        if "deploy" in file.parts:
            (tmp_path / file.name).write_text(file.read_text())
    read_there = limits.read(tmp_path, root / "loadtest/rehearsal.yaml")
    shipped = limits.read(root / "deploy/base", root / "loadtest/rehearsal.yaml")
    assert read_there.max_error_ratio == shipped.max_error_ratio


def test_nothing_runs_as_root_or_writes_its_root(folder):
    things = [read(folder / "job.yaml"), read(folder / "deployment-workers.yaml")]
    for thing in [*things, job_of_the_analysis(folder)]:
        pod = thing["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert container(thing)["securityContext"]["readOnlyRootFilesystem"]
