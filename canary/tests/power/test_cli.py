"""The program: its formats, its exit codes, its errors."""

import json
import shutil
from xml.etree import ElementTree as ET

import pytest

from acceptance.calling import call
from canary import cli

DESIGN = "canary/tests/power/design.yaml"
# The quickest to follow of the gates that are modelled whole.
MARGINS = "canary/tests/power/margins.yaml"


def run(*arguments, root, given=""):
    return call(cli.main, arguments, root, given)


def test_our_gates_exit_0_and_the_designs_exit_1(root):
    assert run("lint", root=root).returncode == 0
    assert run("lint", DESIGN, root=root).returncode == 1


def test_a_stream_is_read(root):
    text = (root / DESIGN).read_text()
    assert run("lint", "-", root=root, given=text).returncode == 1


def test_the_machine_formats_parse_and_agree_on_the_number_of_findings(root):
    told = {f: run("lint", DESIGN, "-o", f, root=root).stdout for f in ("json", "sarif", "junit")}
    findings = json.loads(told["json"])["findings"]
    assert len(json.loads(told["sarif"])["runs"][0]["results"]) == len(findings)
    assert len(ET.fromstring(told["junit"])) == len(findings)
    github = run("lint", DESIGN, "-o", "github", root=root).stdout.splitlines()
    assert len(github) == len(findings)
    assert all(line.startswith(("::error file=", "::warning file=")) for line in github)
    assert run("lint", DESIGN, "-o", "markdown", root=root).stdout.count("\n| error") > 5


def test_findings_name_the_line_of_what_they_are_about(root):
    lines = (root / DESIGN).read_text().splitlines()
    findings = json.loads(run("lint", DESIGN, "-o", "json", root=root).stdout)["findings"]
    places = {f["path"]: lines[f["line"] - 1] for f in findings if f["object"] == "Rollout/gridos"}
    assert "replicas:" in places["spec.replicas"]
    sarif = json.loads(run("lint", DESIGN, "-o", "sarif", root=root).stdout)
    regions = [
        result["locations"][0]["physicalLocation"]["region"]["startLine"]
        for result in sarif["runs"][0]["results"]
    ]
    assert regions == [finding["line"] for finding in findings]
    assert len(set(regions)) > 3


def test_queries_are_printed_as_the_controller_would_send_them(root):
    printed = run("lint", "--queries", root=root).stdout
    assert "{{" not in printed
    assert 'rollouts_pod_template_hash="latest0hash", status=~"5.."} offset 5s' in printed
    assert 'rollouts_pod_template_hash="latest0hash"}[50s]' in printed


def test_help_teaches(root):
    told = run("lint", "--help", root=root).stdout
    assert "exit codes:" in told
    assert "canary-rehearsal/ignore" in told


def test_power_is_told_as_a_table_as_data_and_as_a_page(root, tmp_path):
    page = tmp_path / "power.html"
    given = ("--rate", "50", "--releases", "200", "--html", str(page))
    done = run("power", MARGINS, *given, root=root)
    assert done.returncode == 0
    assert "smallest errors detected in 95 % of releases" in done.stdout
    assert page.read_text().count("<svg") == 3
    assert "://" not in page.read_text().replace("http://www.w3.org", "")
    data = json.loads(run("power", MARGINS, "--releases", "200", "-o", "json", root=root).stdout)
    assert {curve["kind"] for curve in data["curves"]} == {"errors", "slow", "cpu"}


def test_two_releases_are_drawn_side_by_side(root, tmp_path):
    picture = tmp_path / "gates.svg"
    given = ("--releases", "100", "--baseline", DESIGN, "--svg", str(picture))
    done = run("power", MARGINS, *given, root=root)
    assert done.returncode == 0
    lines = ET.parse(picture).findall(".//{http://www.w3.org/2000/svg}path")
    assert [line.get("class") for line in lines] == ["line canary", "line before"]


@pytest.mark.parametrize(
    "command", ["power", "blind", "simulate", "design --detect 2%"], ids=lambda c: c.split()[0]
)
def test_a_gate_scoped_by_a_label_that_no_pod_exports_is_named_and_nothing_is_computed(
    root, tmp_path, command
):
    shutil.copytree(root / "deploy/base", tmp_path / "base")
    guard = tmp_path / "base/analysis-release-guard.yaml"
    wrong = guard.read_text().replace("rollouts_pod_template_hash", "rollout_pod_template_hash")
    guard.write_text(wrong)
    given = ("--contract", "observability/contract.prom", "--rate", "100", "--routes", "0.9,0.1")
    done = run(*command.split(), str(tmp_path / "base"), *given, root=root)
    assert (done.returncode, done.stdout) == (3, "")
    assert "http_requests_total has no label rollout_pod_template_hash" in done.stderr


def test_a_gate_that_cannot_be_followed_is_named_and_there_is_no_table(root):
    done = run("power", DESIGN, "--releases", "200", root=root)
    assert (done.returncode, done.stdout) == (3, "")
    assert "no table: " in done.stderr
    assert "cpu_usage_seconds_total:sum_rate is not modelled" in done.stderr


@pytest.mark.parametrize(
    ("written", "instead", "said"),
    [
        # which the Prometheus at hand may be too old to read
        ("http_requests_total{", '{"http_requests_total", ', "does not take its query"),
        ("result[0] <", "float(string(result[0])) <", "string() is not read here"),
    ],
)
def test_what_cannot_be_compared_with_a_prometheus_has_no_table(root, written, instead, said):
    text = (root / MARGINS).read_text()
    assert written in text
    given = text.replace(written, instead)
    done = run("power", "-", "--releases", "50", root=root, given=given)
    assert (done.returncode, done.stdout) == (3, "")
    assert said in done.stderr


def test_failures_that_a_gate_leaves_out_are_said_beside_its_table(root):
    given = (root / MARGINS).read_text().replace('status=~"5.."', 'status=~"502|503|504"')
    done = run("power", "-", "--releases", "50", "--offline", root=root, given=given)
    assert "a failed request is a 500" in done.stdout


def test_a_table_says_that_it_was_held_against_a_prometheus_or_that_it_was_not(root):
    checked = run("power", MARGINS, "--releases", "50", root=root).stdout
    assert "model and Prometheus agree on 5 sets of samples" in checked
    assert "not checked" in run("power", MARGINS, "--releases", "50", "--offline", root=root).stdout


def test_routes_of_ones_own_change_nothing_of_what_prometheus_says_of_slow_requests(root):
    given = ("--routes", "30,30,20,19.5,0.5", "--releases", "50")
    done = run("power", "deploy/base", *given, root=root)
    assert done.returncode == 0, done.stderr
    assert "model and Prometheus agree" in done.stdout


def test_the_error_gate_is_compared_with_others(root):
    told = run("power", MARGINS, "--compare-queries", "--releases", "200", root=root).stdout
    assert "canary against stable" in told
    assert "\nsequential" in told


def test_a_design_prints_its_patch_and_what_cannot_be_exits_1(root):
    done = run("design", MARGINS, "--detect", "errors=1%", "--rate", "50", root=root)
    assert (done.returncode, "patches:" in done.stdout) == (0, True)
    assert run("design", MARGINS, "--detect", "latency=400ms@2%", root=root).returncode == 1


def test_simulated_releases_are_counted(root):
    told = run("simulate", "--releases", "2", "--fault", "errors=10%", "-o", "json", root=root)
    (tally,) = json.loads(told.stdout)["tallies"]
    assert tally["rolled_back"] == 2
