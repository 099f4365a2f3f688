"""The manifests of the load test call the program as it is."""

import re

import pytest
import yaml
from loadtesting import cli, limits, mix


@pytest.fixture(scope="module")
def folder(root):
    return root / "loadtest/cluster"


def read(file):
    return yaml.safe_load(file.read_text())


def container(thing):
    pod = thing["spec"]["template"]["spec"]
    return pod["containers"][0]


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


def test_the_kustomization_names_every_file_but_the_analysis(folder):
    named = set(read(folder / "kustomization.yaml")["resources"])
    present = {file.name for file in folder.glob("*.yaml")}
    assert named == present - {"kustomization.yaml", "analysis-load.yaml"}


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
