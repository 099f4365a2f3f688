"""Our compose file: its files are checked here, since no container engine is needed for that."""

import re

import pytest
import yaml
from observe import alertmanager, promtool

from canary.runtime import processes


@pytest.fixture(scope="module")
def compose(root):
    return yaml.safe_load((root / "observability/compose.yaml").read_text())


def bound_files(compose):
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            source, _, target = volume.partition(":")
            if source.startswith("./"):
                yield source, target


def test_every_port_is_the_machines_own(compose):
    ports = [port for s in compose["services"].values() for port in s.get("ports", [])]
    assert len(ports) == 4
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_every_image_has_a_version(compose):
    for name, service in compose["services"].items():
        assert re.search(r":(v?\d+\.\d+|dev)", service["image"]), name


def test_every_file_that_is_mounted_exists_and_cannot_be_written(compose, root):
    mounted = list(bound_files(compose))
    assert len(mounted) >= 8
    for source, target in mounted:
        assert (root / source).exists(), source
        assert target.endswith(":ro"), source


def test_no_secret_stands_in_it(compose, root):
    text = (root / "observability/compose.yaml").read_text()
    assert not re.search(r"(?i)(password|api_key|token)\s*:\s*\S", text)


def test_the_scrape_finds_the_service_that_the_first_file_starts(root):
    first = yaml.safe_load((root / "compose.yaml").read_text())
    scraped = yaml.safe_load((root / "observability/local/prometheus.yml").read_text())
    targets = [job["static_configs"][0]["targets"] for job in scraped["scrape_configs"]]
    assert ["gridos:8001"] in targets
    assert "gridos" in first["services"]


def test_prometheus_accepts_its_configuration(root, tmp_path):
    source = (root / "observability/local/prometheus.yml").read_text()
    file = tmp_path / "prometheus.yml"
    file.write_text(source.replace("/etc/prometheus/rules", str(root / "observability/rules")))
    command = [promtool.debian().program, "check", "config", file]
    done = processes.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("SUCCESS: ") >= 10  # each rule file is found through the globs


def test_alertmanager_accepts_its_configuration(root, amtool_or_skip):
    assert alertmanager.check(amtool_or_skip, root / "observability/local/alertmanager.yml") == ""


def test_grafana_finds_the_dashboards_where_they_are_mounted(compose, root):
    provider = yaml.safe_load((root / "observability/local/grafana-dashboards.yaml").read_text())
    path = provider["providers"][0]["options"]["path"]
    assert ("./observability/dashboards", f"{path}:ro") in list(bound_files(compose))
    kinds = yaml.safe_load((root / "observability/local/grafana-datasources.yaml").read_text())
    assert {source["type"] for source in kinds["datasources"]} == {"prometheus", "loki"}
