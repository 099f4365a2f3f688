"""A repository of anything is linted: what holds no gate is counted, and what is not read is named."""

import shutil
import time

import pytest
import yaml

from canary.lint import check, repository
from canary.power import catalogue
from canary.tests.test_cli import CANARY, run

HELM = """\
{{- if .Values.canary }}
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: {{ .Values.name }}}
{{- end }}
"""
OPERATORS_CRD = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
spec: {names: {kind: Rollout}, versions: [{schema: {enum: [
- =
]}}]}
"""


@pytest.fixture
def folder(tmp_path):
    """A repository with the good release in a folder of its own."""
    write(tmp_path / "shop/shop.yaml", *(d.body for d in catalogue.good_release()))
    return tmp_path


def write(file, *bodies):
    file.parent.mkdir(parents=True, exist_ok=True)
    text = (b if isinstance(b, str) else yaml.safe_dump(b, sort_keys=False) for b in bodies)
    file.write_text("---\n".join(text), encoding="utf-8")
    return file


def kustomization(folder, **body):
    write(folder / "kustomization.yaml", {"kind": "Kustomization", **body})


def read(folder):
    return check.lint_repository(repository.read([str(folder)]))


def told(report, folder):
    return [str(passed).replace(f"{folder}/", "") for passed in report.passed_over]


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "kind: {{ .Values.kind }}\n",
        "- {op: replace, path: /spec/replicas, value: 3}\n",
        "enum:\n- =\n",
        OPERATORS_CRD,
        "kind: Deployment\nkind: Deployment\n",
        "\x85\x00",
    ],
    ids=["broken", "template", "patch", "equals", "crd", "twice", "bytes"],
)
def test_a_file_without_a_gate_is_counted_and_stops_nothing(folder, text):
    write(folder / "other/file.yaml", text)
    report = read(folder)
    assert (report.findings, report.others, told(report, folder)) == ((), 1, [])
    assert len(report.releases) == 1


def test_a_helm_chart_is_named_once_with_what_renders_it(folder):
    write(folder / "charts/app/Chart.yaml", {"name": "app"})
    for name in ("rollout", "canary"):
        write(folder / f"charts/app/templates/{name}.yaml", HELM)
    chart = folder / "charts/app"
    assert told(read(folder), folder) == [
        "charts/app: templates of Helm or of another tool become manifests once they are rendered — "
        f"helm template {chart} | canary lint -".replace(f"{folder}/", "")
    ]


def test_an_object_that_only_names_a_rollout_is_no_gate(folder):
    differences = [{"kind": "Rollout", "jsonPointers": ["/spec/replicas"]}]
    body = {"kind": "ApplicationSet", "spec": {"name": "{{name}}", "ignore": differences}}
    write(folder / "apps.yaml", body)
    write(
        folder / "broken.yaml", "kind: Application\nignoreDifferences:\n- kind: Rollout\n  a: [\n"
    )
    report = read(folder)
    assert report.broken == ()
    assert len(report.releases) == 1


def test_placeholders_of_argo_are_no_template_of_helm(folder):
    assert len(read(folder).gates) == 4


def test_a_broken_file_of_gates_is_named_the_rest_is_judged_and_it_is_no_pass(folder):
    write(folder / "other/rollout.yaml", "kind: Rollout\nspec: [\n")
    done = run(CANARY, "lint", ".", cwd=folder)
    assert done.returncode == 2
    assert "not judged: other/rollout.yaml: line 3 is not YAML" in done.stdout
    assert "1 canary Rollout(s), 4 gate(s): 0 error(s)" in done.stdout
    told = run(CANARY, "lint", ".", "-o", "github", cwd=folder)
    assert (told.returncode, told.stdout.strip()) == (2, "")
    assert "not judged: other/rollout.yaml: line 3 is not YAML" in told.stderr


def test_one_bad_document_keeps_the_lines_of_the_others(folder):
    bodies = [d.body for d in catalogue.good_release()]
    write(folder / "shop/shop.yaml", "kind: Deployment\n", *bodies)
    (rollout,) = (d.rollout for d in read(folder).releases)
    line = rollout.position("kind")[0]
    assert (folder / "shop/shop.yaml").read_text().splitlines()[line - 1] == "kind: Rollout"


def test_an_overlay_is_rendered_and_its_base_is_not_read_a_second_time(folder):
    shutil.move(folder / "shop", folder / "base")
    kustomization(folder / "base", resources=["shop.yaml"])
    kustomization(folder / "overlays/production", resources=["../../base"], namespace="shop")
    report = read(folder)
    assert [release.rollout.namespace for release in report.releases] == ["shop"]
    assert report.findings == ()


def test_a_patch_is_no_rollout(folder):
    kustomization(folder / "shop", resources=["shop.yaml"], patches=[{"path": "patch.yaml"}])
    patch = {"setWeight": 10}, {"pause": {"duration": "5m"}}
    body = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "shop"}}
    spec = {"strategy": {"canary": {"steps": list(patch)}}}
    write(folder / "shop/patch.yaml", body | {"spec": spec})
    (release,) = read(folder).releases
    assert release.rollout.file == f"{folder}/shop (rendered)"
    assert release.steps == 2


def test_a_kustomization_of_what_is_elsewhere_is_named_and_its_files_are_read(folder):
    kustomization(folder / "shop", resources=["shop.yaml", "https://example.invalid/base"])
    report = read(folder)
    assert len(report.releases) == 1
    assert told(report, folder) == [
        "shop: it lists https://example.invalid/base, which is not here — "
        "kubectl kustomize shop | canary lint -"
    ]


@pytest.mark.parametrize(
    ("version", "kind", "said"),
    [
        ("rollouts.kruise.io/v1beta1", "Rollout", "Kruise's Rollout is not Argo's"),
        ("flagger.app/v1beta1", "Canary", "Flagger's Canary is not Argo's"),
        ("argoproj.io/v1alpha1", "Experiment", "objects of kind Experiment are not judged"),
        ("argoproj.io/v1alpha1", "Rollout", "it has no strategy"),
    ],
)
def test_objects_that_no_rule_judges_are_named(folder, version, kind, said):
    write(folder / "x.yaml", {"apiVersion": version, "kind": kind, "metadata": {"name": "x"}})
    (passed,) = told(read(folder), folder)
    assert passed.startswith(f"x.yaml: {kind}/x: {said}")


def test_steps_that_no_rule_judges_are_named(folder):
    bodies = [d.body for d in catalogue.good_release()]
    (rollout,) = (b for b in bodies if b["kind"] == "Rollout")
    steps = rollout["spec"]["strategy"]["canary"]["steps"]
    rollout = yaml.safe_load(yaml.safe_dump(rollout))
    rollout["spec"]["strategy"]["canary"]["steps"] = [*steps, {"experiment": {}}, {"plugin": {}}]
    write(folder / "shop/shop.yaml", rollout, *bodies[1:])
    assert told(read(folder), folder) == [
        "shop/shop.yaml: Rollout/shop: "
        "steps 5 (experiment), 6 (plugin) not judged, and taken to last no time"
    ]


def test_what_no_rule_knows_of_a_query_is_named_once(folder):
    bodies = yaml.safe_load_all(yaml.safe_dump_all(d.body for d in catalogue.good_release()))
    rollout, template, *others = bodies
    asked = template["spec"]["metrics"][0]["provider"]["prometheus"]
    for query, unknown in (
        (f"topk(1, {asked['query']})", "topk"),
        (asked["query"].replace("increase", "resets"), "resets"),
        (asked["query"].replace("http_requests_total{", '{__name__=~"http_.+", ', 1), "a selector"),
    ):
        asked["query"], before = query, asked["query"]
        write(folder / "shop/shop.yaml", rollout, template, *others)
        (said,) = told(read(folder), folder)
        place = "shop/shop.yaml: AnalysisTemplate/shop-gates: error-ratio not judged: what "
        assert said.startswith(f"{place}{unknown}")
        asked["query"] = before


@pytest.mark.acceptance
def test_a_repository_of_a_thousand_files_is_linted_in_ten_seconds(folder):
    service = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "data": {f"k{i}": "v" * 50 for i in range(50)},
    }
    for number in range(900):
        write(folder / f"apps/{number}/config.yaml", service)
    good = [d.body for d in catalogue.good_release()]
    for number in range(100):
        write(folder / f"shops/{number}/shop.yaml", *good)
    began = time.process_time()
    report = read(folder)
    assert time.process_time() - began < 10
    assert (len(report.releases), report.others, report.findings) == (101, 900, ())


@pytest.mark.parametrize(
    "body",
    [
        {"resources": ["."]},
        {"resources": ["shop.yaml", "../other"]},
        {"resources": [1, None, {}], "patches": [None, 3, {"path": 5}]},
        {"resources": "shop.yaml"},
        {"resources": ["shop.yaml"], "helmCharts": [{"name": "x"}]},
        {"resources": ["shop.yaml"], "configMapGenerator": [{"name": "x", "files": ["gone"]}]},
    ],
    ids=["itself", "each-other", "no-texts", "no-list", "charts", "files"],
)
def test_a_kustomization_that_cannot_be_rendered_leaves_its_files_to_be_read(folder, body):
    kustomization(folder / "shop", **body)
    kustomization(folder / "other", resources=["../shop"])
    report = read(folder)
    assert [release.rollout.name for release in report.releases] == ["shop"]
    assert report.findings == ()


def test_links_in_a_circle_and_to_nowhere_are_passed_by(folder):
    (folder / "shop/again").symlink_to(folder, target_is_directory=True)
    (folder / "shop/gone.yaml").symlink_to(folder / "nowhere.yaml")
    assert len(read(folder).releases) == 1


def test_an_autoscaler_of_another_namespace_is_anothers(folder):
    scaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "shop", "namespace": "other"},
        "spec": {"minReplicas": 2, "scaleTargetRef": {"kind": "Rollout", "name": "shop"}},
    }
    write(folder / "scaler.yaml", scaler)
    assert read(folder).findings == ()
    del scaler["metadata"]["namespace"]
    write(folder / "scaler.yaml", scaler)
    assert {f.rule for f in read(folder).findings} == {"autoscaler-rounds-again"}
